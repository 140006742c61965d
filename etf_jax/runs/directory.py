# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The directory of a run: which run it holds, and how runs are told apart.

`config.json` says which run a directory holds. A directory of another run, or
with other files in it, is refused and left as it is.
"""

from collections.abc import Iterator, Mapping
import contextlib
import errno
import json
import logging
import os
from pathlib import Path
import shlex
import shutil
import subprocess
import sys
from typing import Any

import jax
from ml_collections import ConfigDict
import numpy as np

from etf_jax.errors import InputError
from etf_jax.runs import data_record, files, identity

_log = logging.getLogger(__name__)

_LOCK = ".lock"
# Names of the files of a directory before it is a run.
_FIRST = (
  *(_LOCK, "class_counts.json", "class_names.json", "config.json."),
  *(data_record.NAME, ".seen-"),
)
# No space, no quota, no longer file; and disks and shares that fail.
_FULL = (
  *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
  *(errno.EIO, errno.ESTALE, errno.EROFS),
)


def choose(
  config: ConfigDict,
  workdir: str | None,
  seed: int,
  record: Mapping[str, Any] | None = None,
) -> Path:
  """Return the directory of the run of one seed.

  Args:
    config: resolved config.
    workdir: directory of the command line; None: `runs/<name>-<method>-<hash>`.
      The run of a single seed is in `workdir` itself, others in its `seed=N`.
    seed: seed of the run.
    record: which images are meant, see `data_record`.
  """
  # Checkpoints are found by patterns, in which these mean something else.
  if set("[]*?") & set(os.path.abspath(workdir or ".")):
    raise InputError(
      f"--workdir={workdir or os.getcwd()}: has one of [ ] * ? in its path, and"
      " checkpoints could not be read; choose another --workdir"
    )
  if workdir is None:
    now, once = (
      Path("runs", f"{config.name}-{config.method}-{name}", f"seed={seed}")
      for name in (
        identity.fingerprint(config, record),
        identity.fingerprint(config, once=True),
      )
    )
    # A run of a version that named it after other fields goes on.
    old = (once / "config.json").exists() and not (now / "config.json").exists()
    return once if old else now
  if len(config.seeds) == 1:
    return Path(workdir)
  if Path(workdir, "config.json").exists():
    raise InputError(
      f"--workdir={workdir}: holds the run of one seed; give another --workdir"
      f" for config.seeds={tuple(config.seeds)}"
    )
  return Path(workdir, f"seed={seed}")


@contextlib.contextmanager
def only_run(workdir: Path) -> Iterator[None]:
  """Keep other runs out of a directory, which is made if it is missing.

  The system drops the lock with the process that holds it, however it dies.

  Raises:
    InputError: another run is there, the directory holds other files, it
      cannot be written, or its disk is full later on.
  """
  if not (workdir / "config.json").exists():
    _refuse_other_files(workdir)
  with contextlib.ExitStack() as stack:
    try:
      stack.enter_context(files.lock(workdir / _LOCK))
    except files.LockedError as holder:
      raise InputError(
        f"--workdir={workdir}: a run of {holder} is in it; wait for it, end it,"
        " or choose another --workdir"
      ) from holder
    except OSError as error:
      raise _cannot_write(workdir, error) from error
    _remove_leftovers(workdir)
    try:
      yield
    except OSError as error:
      if error.errno not in _FULL:
        raise
      raise InputError(
        f"cannot write to {workdir}: {error.strerror}; make room: the same"
        " command continues from the last checkpoint there"
      ) from error


def _remove_leftovers(workdir: Path) -> None:
  """Remove half-written files and steps of a run that was killed."""
  files.remove_leftovers(workdir)
  for mark in workdir.glob(".seen-*"):
    mark.unlink(missing_ok=True)
  for folder in ("checkpoints", "best"):
    for path in (workdir / folder).glob("*.orbax-checkpoint-tmp*"):
      shutil.rmtree(path, ignore_errors=True)


def _refuse_other_files(workdir: Path) -> None:
  try:
    names = {path.name for path in workdir.glob("*")}
  except OSError as error:
    raise _cannot_write(workdir, error) from error
  # A run that was killed in its first moments has left some of ours, and one
  # that starts at this moment has written config.json before other files.
  if (
    any(not name.startswith(_FIRST) for name in names)
    and not (workdir / "config.json").exists()
  ):
    what, remedy = "it holds no run of ours", ""
    if {"metrics.jsonl", "checkpoints"} & names:
      what, remedy = "nothing says which run this is", "put it back, or "
    raise InputError(
      f"--workdir={workdir}: has files but no config.json, so {what}; {remedy}"
      "choose another --workdir"
    )


def _cannot_write(workdir, error):
  return InputError(
    f"--workdir={workdir}: cannot write to it, {error.strerror}; choose another"
    " --workdir"
  )


def open_run(
  workdir: Path,
  config: ConfigDict,
  seed: int,
  class_counts: np.ndarray,
  class_names: tuple[str, ...],
  record: Mapping[str, Any],
) -> None:
  """Write the description of a run, or check that the directory has the same.

  Args:
    workdir: directory of the run.
    config: resolved config.
    seed: seed of the run.
    class_counts: `[K]` training images.
    class_names: K names.
    record: which images these are, see `data_record`.

  Raises:
    InputError: it holds another run, or one on other images, or cannot be
      written.
  """
  path = workdir / "config.json"
  if path.exists():
    recorded = data_record.read(workdir)
    description = _check_same(path, config, seed, located=recorded is None)
    changes = []
    if recorded is None:
      _check_counts(workdir, config.data, class_counts)
    else:
      changes = data_record.changes(recorded, record)
    if not changes:
      texts = {
        workdir / "class_counts.json": class_counts.tolist(),
        workdir / "class_names.json": list(class_names),
      }
      # The hash tells that these are the images of a record that is lost.
      if description.get("hash") == identity.fingerprint(config, record):
        texts[workdir / data_record.NAME] = record
      _continue(path, description, texts)
      return
    if _has_checkpoint(workdir):
      raise InputError(
        f"{_images(config.data)}: these are not the images of the run in"
        f" {workdir} ({'; '.join(changes)}); restore them, or choose another"
        " --workdir"
      )
    _log.warning(
      f"the images have changed since {workdir} was made ({'; '.join(changes)})"
      " and no step is saved there: the run begins again"
    )
  _write(
    {
      workdir / "class_counts.json": class_counts.tolist(),
      workdir / "class_names.json": list(class_names),
      workdir / data_record.NAME: record,
      # Last, and in one operation: with it the directory is a run.
      path: _description(config, seed, record),
    }
  )


def lacks_description(workdir: Path) -> bool:
  """Return True if a file is missing that `open_run` has written."""
  names = "config.json", "class_counts.json", "class_names.json"
  return not all((workdir / n).exists() for n in (*names, data_record.NAME))


def _write(contents: Mapping[Path, Any]) -> None:
  """Write JSON files of a run in this order."""
  for path, value in contents.items():
    indent = None if path.name == data_record.NAME else 1
    try:
      with files.replacing(path) as opened:
        opened.write((json.dumps(value, indent=indent) + "\n").encode())
    except OSError as error:
      raise _cannot_write(path.parent, error) from error


def _continue(path, description, texts) -> None:
  """Write again what is missing, and keep versions that were others before."""
  missing = {f: value for f, value in texts.items() if not f.exists()}
  for file in missing:
    _log.warning(f"warning: {file} is missing; it is written again")
  _write(missing)
  before, now = description.get("versions"), identity.versions()
  if before == now:
    return
  before = before if isinstance(before, dict) else {}
  changed = [
    f"{name} {before[name]} there, {now.get(name)} here"
    for name in sorted(before)
    if before[name] != now.get(name)
  ]
  if changed:
    _log.warning(
      f"warning: {path.parent} was trained under other versions"
      f" ({'; '.join(changed)}): it goes on, and its numbers may differ from"
      " those of a run under one version"
    )
  history = description.get("history")
  history = history if isinstance(history, list) else []
  _write({path: description | {"versions": now, "history": [*history, before]}})


def _has_checkpoint(workdir: Path) -> bool:
  return any(f.name.isdigit() for f in (workdir / "checkpoints").glob("*"))


def _images(data) -> str:
  """Name the field that says which images are meant, with its value."""
  for field in ("train_list", "dir"):
    if data[field] is not None:
      return f"config.data.{field}={data[field]}"
  return f"config.data.name={data.name}"


def _check_counts(workdir, data, class_counts) -> None:
  """Compare with the counts of a version that recorded nothing else."""
  with contextlib.suppress(OSError, ValueError):
    recorded = files.read_json(workdir / "class_counts.json")
    if recorded != class_counts.tolist():
      raise InputError(
        f"{_images(data)}: the run in {workdir} has {sum(recorded)} training"
        f" images, and now there are {class_counts.sum()}, or others of each"
        " class; restore them, or choose another --workdir"
      )


def _description(config, seed, record) -> dict[str, Any]:
  devices = jax.devices()
  return {
    "config": identity.plain(config),
    "name": config.name,
    "seed": seed,
    "hash": identity.fingerprint(config, record),
    "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    "versions": identity.versions(),
    "git_revision": _git_revision(),
    "device": f"{len(devices)} x {devices[0].device_kind}",
  }


def _check_same(
  path: Path, config: ConfigDict, seed: int, *, located: bool
) -> dict[str, Any]:
  """Compare a config with a recorded one; `located`: also the data's place."""
  try:
    description = files.read_json(path)
    different = identity.conflicts(
      description["config"], config, located=located
    )
    if description["seed"] != seed:
      different.append(f"seed: {description['seed']} there, {seed} here")
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"{path} cannot be read ({error}); choose another --workdir"
    ) from error
  if different and all(line.startswith("total_") for line in different):
    raise InputError(
      f"--workdir={path.parent}: holds a run of another length"
      f" ({'; '.join(different)}), and a schedule belongs to its length; to"
      " train longer choose another --workdir, from the beginning or from these"
      f" weights by config.init_from={path.parent} config.init_parts='all'"
    )
  if different:
    raise InputError(
      f"--workdir={path.parent}: holds another run"
      f" ({'; '.join(different)}); choose another --workdir"
    )
  return description


def _git_revision() -> str | None:
  """Return the git revision that the package runs from; None: no checkout."""
  try:
    return subprocess.run(
      ["git", "rev-parse", "HEAD"],
      cwd=Path(__file__).parent,
      capture_output=True,
      text=True,
      check=True,
    ).stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    return None
