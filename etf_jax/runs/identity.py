# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The identity of a run: the fields and the images that decide a result.

A run is known by the fields of its config that are not at their default, but
for those that change where it reads and writes, and by its images.
"""

from collections.abc import Mapping
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from typing import Any

import jax
from ml_collections import ConfigDict

from etf_jax import __version__
from etf_jax.configs import base
from etf_jax.runs import data_record

# Begins `init_from` where it names weights of the Hugging Face Hub.
HUB = "hf:"
# Fields that change where a run reads and writes, not what it computes.
_INCIDENTAL = (
  "seeds",
  "devices",
  "mesh",
  "steps_per_call",
  "pack_seeds",
  "compilation_cache",
  "profile_steps",
  "init_from",  # init_hash says which run that is
  "data.data_dir",
  "data.manual_dir",
  "data.prepare",
  "data.workers",
  "data.cache_dir",
  "data.duplicates",
  "data.follow_links",
  "data.feed",
  "data.corrupt",  # data.json says which images are left out
  "eval.batch_size",
  "checkpoint",
  "collapse",
  "report",
)
# Fields that say where a user's images lie; data.json says which they are.
_PLACES = (
  "data.dir", "data.train_list", "data.validation_list", "data.test_list",
)  # fmt: skip
# Fields that were not incidental before there was data.json.
_ONCE_DECISIVE = (
  "data.feed", "data.corrupt", "data.decoder", "eval.batch_size",
)  # fmt: skip
# Fields of older versions, which say nothing of a run where they are empty.
_REMOVED = ("imbalances", "learning_rates")
# Decoders of equal bits.
_FAST_DECODERS = ("simplejpeg", "opencv")
_PACKAGES = (
  "etf_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy",
  "tensorflow-datasets",
)  # fmt: skip
# Settings of JAX's environment that change the numbers of a run.
_SETTINGS = (
  "jax_threefry_partitionable", "jax_default_prng_impl", "jax_enable_x64",
  "jax_default_matmul_precision",
)  # fmt: skip


def with_absolute_paths(config: ConfigDict) -> ConfigDict:
  """Return a copy whose paths do not depend on the current directory."""
  config = config.copy_and_resolve_references()
  for field in (*_PLACES, "data.data_dir", "data.manual_dir", "data.cache_dir"):
    node = config.data
    name = field.partition(".")[2]
    node[name] = _absolute(node[name])
  config.init_from = _absolute(config.init_from)
  return config


def _absolute(path: str | None) -> str | None:
  if path is None or "://" in path or path.startswith(HUB):
    return path
  return os.path.abspath(os.path.expanduser(path))


def shared_facts(config: ConfigDict) -> dict[str, Any]:
  """Return what the processes of one run must have in common, by name."""
  fields = plain(config)
  # Where its files lie may differ from host to host.
  for name in ("data_dir", "manual_dir", "cache_dir", "workers"):
    fields["data"].pop(name, None)
  for name in _PLACES:
    fields["data"].pop(name.partition(".")[2], None)
  facts = {f"config.{name}": value for name, value in _flat(fields).items()}
  facts["devices of a process"] = jax.local_device_count()
  return versions() | facts


def fingerprint(
  config: ConfigDict,
  record: Mapping[str, Any] | None = None,
  *,
  once: bool = False,
) -> str:
  """Return eight hexadecimal digits for what a run of any seed computes.

  Args:
    config: resolved config.
    record: which images these are; of images in files it counts, and not their
      place.
    once: True for the digits of versions before there was a record.
  """
  fields = _identity(plain(config))
  if once:
    flat, defaults = _flat(plain(config)), _defaults()
    fields |= {k: flat[k] for k in _ONCE_DECISIVE if flat[k] != defaults[k]}
  elif record is not None and data_record.in_files(record):
    fields = _without_places(fields)
    fields["data.record"] = data_record.digest(record)
  text = json.dumps(fields, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(recorded: dict, config: ConfigDict, *parts: str) -> list[str]:
  """List the fields in which two configs compute different things.

  Args:
    recorded: config as `config.json` records it. None, 0, False and a missing
      field are the same.
    config: resolved config.
    parts: top-level fields to compare. Of the data their place is not one.
  """
  old, new = (
    {k: v for k, v in _identity(c).items() if k.split(".")[0] in parts}
    for c in (recorded, plain(config))
  )
  return _differing(
    _without_places(old), _without_places(new), lambda x: x or None
  )


def conflicts(
  recorded: dict, config: ConfigDict, *, located: bool
) -> list[str]:
  """List the fields in which a config is not that of a run.

  Args:
    recorded: config as `config.json` records it.
    config: resolved config.
    located: True to compare where the images lie as well.
  """
  old, new = _identity(recorded), _identity(plain(config))
  if not located:
    return _differing(_without_places(old), _without_places(new))
  for fields in (old, new):
    for name in _PLACES:
      if name in fields:
        fields[name] = _absolute(fields[name])
  return _differing(old, new)


def plain(config) -> dict:
  """Return the config as JSON would give it back."""
  return json.loads(json.dumps(config.to_dict()))


def _identity(config: dict) -> dict[str, Any]:
  """Return the fields that decide what a run computes, by dotted names.

  Those that have their default are left out: a field that is added later, with
  a default that changes nothing, leaves every run the one that it was.
  """
  defaults = _defaults()
  fields = {
    name: value
    for name, value in _flat(config).items()
    if not any(f"{name}.".startswith(f"{i}.") for i in _INCIDENTAL)
    and not (name in defaults and defaults[name] == value)
    and not (name in _REMOVED and not value)
  }
  if fields.get("data.decoder") in _FAST_DECODERS:
    del fields["data.decoder"]
  return fields


def _without_places(fields: Mapping[str, Any]) -> dict[str, Any]:
  return {name: x for name, x in fields.items() if name not in _PLACES}


@functools.cache
def _defaults() -> dict[str, Any]:
  return _flat(plain(base.get_config()))


def _differing(old, new, key=lambda value: value):
  """List where two identities differ; values of equal keys do not."""
  defaults = _defaults()
  pairs = {
    name: [one.get(name, defaults.get(name)) for one in (old, new)]
    for name in sorted(old | new)
  }
  return [
    f"{name}: {before!r} there, {now!r} here"
    for name, (before, now) in pairs.items()
    if key(before) != key(now)
  ]


def _flat(config: dict, prefix: str = "") -> dict[str, Any]:
  flat: dict[str, Any] = {}
  for key, value in config.items():
    name = prefix + key
    if isinstance(value, dict) and value:
      flat |= _flat(value, name + ".")
    else:
      flat[name] = value
  return flat


def versions() -> dict[str, Any]:
  """Return the versions, and the settings of JAX, that decide a result."""
  found = {name: _version(name) for name in ("python", *_PACKAGES)}
  # Of the code, which in a checkout the installed facts may lag behind.
  found["etf_jax"] = __version__
  found |= {name: getattr(jax.config, name) for name in _SETTINGS}
  return found


def _version(package: str) -> str | None:
  if package == "python":
    return platform.python_version()
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
