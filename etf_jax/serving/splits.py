# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The splits to evaluate a trained model on: its run's, or other images.

Images are decoded while the model works, so nothing but them is read.
"""

from collections.abc import Collection, Sequence
import re

from absl import flags
from ml_collections import ConfigDict, config_flags
import numpy as np

from etf_jax import data
from etf_jax.data import Encoded, fingerprint, sources
from etf_jax.data.sources import splits
from etf_jax.errors import InputError, unknown_field
from etf_jax.runs import data_record
from etf_jax.serving import image_files, run_directory
from etf_jax.serving.trained import Trained

# Fields that say which data are meant, and those that belong to the model.
_OTHER = ("name", "dir", "train_list", "validation_list", "test_list")
_FIXED = ("image_size", "fit", "feed")


def choose(
  trained: Trained, overrides: Sequence[str], images: str | None
) -> dict[str, Encoded]:
  """Return the splits to evaluate on, by name, `test` the last.

  Args:
    trained: the model.
    overrides: as on the command line, `--config.data.FIELD=VALUE`.
    images: a folder CLASS/IMAGE instead.

  Raises:
    InputError: data that are missing, or not those of this model.
  """
  if images is not None:
    if overrides:
      raise InputError(f"give either --images or {overrides[0]}")
    return {images: of_folder(trained, images)}
  fields, config = _overridden(trained, overrides)
  if fields & set(_OTHER) and not _moved(trained, fields, config):
    if not trained.trust_code:
      run_directory.refuse_addresses(config, fields)
    return _others(trained, config)
  found = of_run(trained, config, fields)
  chosen = {"validation": found.validation, "test": found.test}
  return {k: split for k, split in chosen.items() if isinstance(split, Encoded)}


def require_own(overrides: Sequence[str]) -> None:
  """Refuse arguments that name other data than the run's.

  Raises:
    InputError: one does.
  """
  for argument in overrides:
    if re.match(rf"--?config\.data\.({'|'.join(_OTHER)})=", argument):
      raise InputError(
        f"--fit_temperature with {argument}: it fits to the run's own"
        " validation images, or to those of --images=FOLDER (CLASS/IMAGE)"
      )


def of_folder(trained: Trained, folder: str) -> Encoded:
  """Open the images of a folder CLASS/IMAGE.

  Raises:
    InputError: see `image_files.by_class`.
  """
  source = image_files.by_class(folder, trained.class_names)
  return Encoded(source, trained.pixels)


def of_run(
  trained: Trained, config: ConfigDict, given: Collection[str] = ()
) -> data.Dataset:
  """Open the run's data, to be decoded when they are needed.

  Args:
    trained: the model.
    config: `config.data` of the run, or one with other places; its `feed` is
      changed.
    given: fields of it that the command line gives.

  Raises:
    InputError: they are missing, or not what they were; or the run's directory
      names an address, see `run_directory.refuse_addresses`.
  """
  if not trained.trust_code:
    run_directory.refuse_addresses(config, given)
  config.feed = "stream"
  recorded = data_record.read(trained.run.directory)
  found = data.load(config, recorded and data_record.summary(recorded))
  changes = recorded and data_record.changes(recorded, found.record)
  if changes:
    raise InputError(
      f"config.data.name={config.name!r}: these are not the images of the run"
      f" in {trained.run.directory} ({'; '.join(changes)}); restore them, or"
      " name others with --images=FOLDER (CLASS/IMAGE)"
    )
  if tuple(found.class_counts.tolist()) != trained.class_counts:
    raise InputError(
      f"{trained.run.directory} was trained on {sum(trained.class_counts)}"
      f" images, and {config.name} now has {found.class_counts.sum()}, or"
      " others of each class: prepare the same data again"
    )
  return found


def _moved(trained: Trained, fields: set[str], config: ConfigDict) -> bool:
  """Return True if the images of the run are meant, in another place."""
  recorded = data_record.read(trained.run.directory)
  if recorded is None or "name" in fields:
    return False
  opened = splits.open_splits(config)
  return recorded["splits"] == fingerprint.describe(opened.by_name)


def _others(trained: Trained, config: ConfigDict) -> dict[str, Encoded]:
  opened = splits.open_splits(config)
  found = {}
  for name in ("validation", "test"):
    source = getattr(opened, name)
    if source is None:
      continue
    there = [source.class_names[k] for k in source.labels.tolist()]
    where = f"the {name} split of config.data.name={config.name!r}"
    labels = image_files.class_numbers(there, trained.class_names, where)
    renamed = sources.Subset(
      source,
      np.arange(len(labels)),
      labels.astype(source.labels.dtype),
      trained.class_names,
    )
    found[name] = Encoded(renamed, trained.pixels)
  return found


def _overridden(
  trained: Trained, overrides: Sequence[str]
) -> tuple[set[str], ConfigDict]:
  """Return the overridden fields, and `config.data` with their values."""
  # Read again, since a copy would lose the types of fields that are None.
  config = run_directory.config(trained.run)
  fields = set()
  for argument in overrides:
    match = re.fullmatch(r"--?config\.data\.(\w+)=.*", argument)
    if not match:
      raise InputError(
        f"cannot tell what {argument!r} is; of the config only"
        " --config.data.FIELD=VALUE, which images to take, can be given"
      )
    fields.add(match[1])
  for field in sorted(fields):
    if field not in config.data:
      raise unknown_field(f"data.{field}", (f"data.{k}" for k in config.data))
    if field in _FIXED:
      raise InputError(
        f"config.data.{field} cannot be changed: the model was trained with"
        f" {config.data[field]!r}"
      )
  values, argv = flags.FlagValues(), ["evaluate", *overrides]
  try:
    config_flags.DEFINE_config_dict(
      "config", config, flag_values=values, sys_argv=argv
    )
    values(argv)
  except (flags.Error, TypeError, ValueError) as error:
    raise InputError(" ".join(str(error).split())) from error
  return fields, values.config.data
