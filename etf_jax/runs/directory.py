# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The directory of a run: which run it holds, and how runs are told apart.

`config.json` says which run a directory holds. A directory of another run, or
with other files in it, is refused and left as it is.
"""

from collections.abc import Iterator
import contextlib
import errno
import functools
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
import platform
import shlex
import subprocess
import sys
from typing import Any

import jax
from ml_collections import ConfigDict
import numpy as np

from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.runs import files

_LOCK = ".lock"
# Names of the files of a directory before it is a run.
_FIRST = (_LOCK, "class_counts.json", "class_names.json", "config.json.")
# No space, no quota, or no longer file.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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
  "checkpoint",
  "collapse",
  "report",
)
# Fields of older versions, which say nothing of a run where they are empty.
_REMOVED = ("imbalances", "learning_rates")
_PACKAGES = (
  "etf_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy",
  "tensorflow-datasets",
)  # fmt: skip


def choose(config: ConfigDict, workdir: str | None, seed: int) -> Path:
  """Return the directory of the run of one seed.

  Args:
    config: resolved config.
    workdir: directory of the command line; None: `runs/<name>-<method>-<hash>`.
      The run of a single seed is in `workdir` itself, others in its `seed=N`.
    seed: seed of the run.
  """
  # Checkpoints are found by patterns, in which these mean something else.
  if set("[]*?") & set(os.path.abspath(workdir or ".")):
    raise InputError(
      f"--workdir={workdir or os.getcwd()}: has one of [ ] * ? in its path, and"
      " checkpoints could not be read; choose another --workdir"
    )
  if workdir is None:
    place = f"{config.name}-{config.method}-{fingerprint(config)}"
    return Path("runs", place, f"seed={seed}")
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
    try:
      yield
    except OSError as error:
      if error.errno not in _FULL:
        raise
      raise InputError(
        f"cannot write to {workdir}: {error.strerror}; make room: the same"
        " command continues from the last checkpoint there"
      ) from error


def _refuse_other_files(workdir: Path) -> None:
  try:
    names = {path.name for path in workdir.glob("*")}
  except OSError as error:
    raise _cannot_write(workdir, error) from error
  # A run that was killed in its first moments has left some of ours.
  if any(not name.startswith(_FIRST) for name in names):
    raise InputError(
      f"--workdir={workdir}: has files but no config.json, so it holds no run"
      " of ours; choose another --workdir"
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
) -> None:
  """Write the description of a run, or check that the directory has the same.

  Raises:
    InputError: it holds another run, or cannot be written.
  """
  recorded = workdir / "config.json"
  if recorded.exists():
    _check_same(recorded, config, seed)
    return
  try:
    for path, value in {
      workdir / "class_counts.json": class_counts.tolist(),
      workdir / "class_names.json": list(class_names),
      # Last, and in one operation: with it the directory is a run.
      recorded: _description(config, seed),
    }.items():
      with files.replacing(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode())
  except OSError as error:
    raise _cannot_write(workdir, error) from error


def shared_facts(config: ConfigDict) -> dict[str, Any]:
  """Return what the processes of one run must have in common, by name."""
  versions = {name: _version(name) for name in ("python", *_PACKAGES)}
  fields = _plain(config)
  # Where its files lie may differ from host to host.
  for name in ("data_dir", "manual_dir", "cache_dir", "dir", "workers"):
    fields["data"].pop(name, None)
  return versions | {
    f"config.{name}": value for name, value in _flat(fields).items()
  }


def fingerprint(config: ConfigDict) -> str:
  """Return eight hexadecimal digits for what a run of any seed computes."""
  text = json.dumps(_identity(_plain(config)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(recorded: dict, config: ConfigDict, *parts: str) -> list[str]:
  """List the fields in which two configs compute different things.

  Args:
    recorded: config as `config.json` records it. None, 0, False and a missing
      field are the same.
    config: resolved config.
    parts: top-level fields to compare.
  """
  old, new = (
    {k: v for k, v in _identity(c).items() if k.split(".")[0] in parts}
    for c in (recorded, _plain(config))
  )
  return _differing(old, new, lambda x: x or None)


def _description(config, seed) -> dict[str, Any]:
  devices = jax.devices()
  return {
    "config": _plain(config),
    "name": config.name,
    "seed": seed,
    "hash": fingerprint(config),
    "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    "versions": {name: _version(name) for name in ("python", *_PACKAGES)},
    "git_revision": _git_revision(),
    "device": f"{len(devices)} x {devices[0].device_kind}",
  }


def _plain(config) -> dict:
  """Return the config as JSON would give it back."""
  return json.loads(json.dumps(config.to_dict()))


def _identity(config: dict) -> dict[str, Any]:
  """Return the fields that decide what a run computes, by dotted names.

  Those that have their default are left out: a field that is added later, with
  a default that changes nothing, leaves every run the one that it was.
  """
  defaults = _defaults()
  return {
    name: value
    for name, value in _flat(config).items()
    if not any(f"{name}.".startswith(f"{i}.") for i in _INCIDENTAL)
    and not (name in defaults and defaults[name] == value)
    and not (name in _REMOVED and not value)
  }


@functools.cache
def _defaults() -> dict[str, Any]:
  return _flat(_plain(base.get_config()))


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


def _check_same(recorded: Path, config: ConfigDict, seed: int) -> None:
  try:
    description = json.loads(recorded.read_text())
    before = _identity(description["config"])
    before["seed"] = description["seed"]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(
      f"{recorded} cannot be read ({error}); choose another --workdir"
    ) from error
  now = _identity(_plain(config)) | {"seed": seed}
  different = _differing(before, now)
  if different:
    raise InputError(
      f"--workdir={recorded.parent}: holds another run"
      f" ({'; '.join(different)}); choose another --workdir"
    )


def _version(package: str) -> str | None:
  if package == "python":
    return platform.python_version()
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


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
