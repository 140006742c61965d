# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run's directory: whose it is, and the facts written beside its results.

`config.json` says which run a directory holds. A directory of another run, or
with other files in it, is refused and left as it is.
"""

from collections.abc import Iterator, Mapping
import contextlib
import errno
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
import platform
import shlex
import socket
import subprocess
import sys
from typing import Any

import jax
from ml_collections import ConfigDict
import numpy as np

from etf_jax.configs import base
from etf_jax.errors import InputError

_LOCK = ".lock"
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
  "checkpoint",
  "collapse",
  "report",
)
_PACKAGES = (
  "etf_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy",
  "tensorflow-datasets",
)  # fmt: skip


def choose(
  config: ConfigDict,
  workdir: str | None,
  seed: int,
  values: Mapping[str, float] | None = None,
) -> Path:
  """The directory of one seed's run.

  Args:
    config: resolved.
    workdir: as given, or None for `runs/<name>-<method>-<hash>`. A run of one
      seed that was given a directory is in it; others in its `seed=N`.
    seed: of the run.
    values: its own by field, where runs differ in more than their seed: that
      run is in `FIELD=VALUE/seed=N` of a given directory.
  """
  if workdir is None:
    place = f"{config.name}-{config.method}-{fingerprint(config)}"
    return Path("runs", place, f"seed={seed}")
  if len(config.seeds) == 1 and not values:
    return Path(workdir)
  if Path(workdir, "config.json").exists():
    several = f"seeds={tuple(config.seeds)}"
    if values:
      several = f"{next(iter(values))}s"
    raise InputError(
      f"{workdir} holds the run of one seed; give another --workdir for"
      f" config.{several}"
    )
  below = (f"{field}={value}" for field, value in (values or {}).items())
  return Path(workdir, *below, f"seed={seed}")


@contextlib.contextmanager
def only_run(workdir: Path) -> Iterator[None]:
  """Keep other runs out of a directory, which is made if it is missing.

  The system drops the lock with the process that holds it, however it dies.

  Raises:
    InputError: another run is there, the directory holds other files, it
      cannot be written, or its disk is full later on.
  """
  try:
    if not (workdir / "config.json").exists() and any(
      path.name != _LOCK for path in workdir.glob("*")
    ):
      raise InputError(
        f"{workdir} has files but no config.json, so it holds no run of ours:"
        " choose another --workdir"
      )
    workdir.mkdir(parents=True, exist_ok=True)
    file = (workdir / _LOCK).open("a+")
  except OSError as error:
    raise _cannot_write(workdir, error) from error
  with file:
    _lock(file, workdir)
    try:
      yield
    except OSError as error:
      if error.errno not in _FULL:
        raise
      raise InputError(
        f"cannot write to {workdir}: {error.strerror}; make room: the same"
        " command continues from the last checkpoint there"
      ) from error


def _lock(file, workdir):
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    file.seek(0)
    holder = file.read().strip() or "another process"
    raise InputError(
      f"a run of {holder} is in {workdir}: wait for it, end it, or choose"
      " another --workdir"
    ) from error
  except OSError as error:
    if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
      raise _cannot_write(workdir, error) from error
    print(
      f"warning: {workdir} lies on a file system without locks: see to it that"
      " no other run uses it",
      file=sys.stderr,
    )
  file.truncate(0)
  file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
  file.flush()


def _cannot_write(workdir, error):
  return InputError(
    f"cannot write to {workdir}: {error.strerror}; choose another --workdir"
  )


def open_run(
  workdir: Path,
  config: ConfigDict,
  seed: int,
  class_counts: np.ndarray,
  class_names: tuple[str, ...],
) -> None:
  """Make a directory that of a run, or checks that it holds this very run.

  Raises:
    InputError: it holds another run, or cannot be written.
  """
  recorded = workdir / "config.json"
  if recorded.exists():
    _check_same(recorded, config, seed)
    return
  try:
    _write(workdir / "class_counts.json", class_counts.tolist())
    _write(workdir / "class_names.json", list(class_names))
    # Last, and in one operation: with it the directory is a run.
    _write(recorded, _facts(config, seed))
  except OSError as error:
    raise _cannot_write(workdir, error) from error


def shared_facts(config: ConfigDict) -> dict[str, Any]:
  """What the processes of one run must have in common, by name."""
  versions = {name: _version(name) for name in ("python", *_PACKAGES)}
  fields = _plain(config)
  # Where its files lie may differ from host to host.
  for name in ("data_dir", "manual_dir", "cache_dir", "dir", "workers"):
    fields["data"].pop(name, None)
  return versions | {
    f"config.{name}": value for name, value in _flat(fields).items()
  }


def fingerprint(config: ConfigDict) -> str:
  """Eight hexadecimal digits of what the run computes, seeds apart."""
  text = json.dumps(_identity(_plain(config)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(there: dict, here: ConfigDict, *parts: str) -> list[str]:
  """The fields that decide what a run computes, where two configs differ.

  Args:
    there: a config as `config.json` records it. None, 0, False and a field
      that it lacks are the same.
    here: a resolved config.
    parts: the top-level fields to compare.
  """
  old, new = (
    {k: v for k, v in _identity(c).items() if k.split(".")[0] in parts}
    for c in (there, _plain(here))
  )
  return _differing(old, new, lambda x: x or None)


def _facts(config, seed) -> dict[str, Any]:
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
  """As JSON would give it back."""
  return json.loads(json.dumps(config.to_dict()))


def _identity(config: dict) -> dict[str, Any]:
  """The fields that decide what a run computes, by their dotted names.

  Those that have their default are left out: a field that is added later, with
  a default that changes nothing, leaves every run the one that it was.
  """
  defaults = _defaults()
  return {
    name: value
    for name, value in _flat(config).items()
    if not any(f"{name}.".startswith(f"{i}.") for i in _INCIDENTAL)
    and not (name in defaults and defaults[name] == value)
  }


@functools.cache
def _defaults() -> dict[str, Any]:
  return _flat(_plain(base.get_config()))


def _differing(old, new, key=lambda value: value):
  """Where two identities differ, in words; values of equal keys do not."""
  defaults = _defaults()
  pairs = {
    name: [one.get(name, defaults.get(name)) for one in (old, new)]
    for name in sorted(old | new)
  }
  return [
    f"{name}: {there!r} there, {here!r} here"
    for name, (there, here) in pairs.items()
    if key(there) != key(here)
  ]


def _flat(config: dict, prefix: str = "") -> dict[str, Any]:
  flat = {}
  for key, value in config.items():
    name = prefix + key
    if isinstance(value, dict) and value:
      flat |= _flat(value, name + ".")
    else:
      flat[name] = value
  return flat


def _check_same(recorded: Path, config: ConfigDict, seed: int) -> None:
  try:
    facts = json.loads(recorded.read_text())
    there = _identity(facts["config"]) | {"seed": facts["seed"]}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise InputError(
      f"{recorded} cannot be read ({error}): choose another --workdir"
    ) from error
  here = _identity(_plain(config)) | {"seed": seed}
  different = _differing(there, here)
  if different:
    raise InputError(
      f"{recorded.parent} holds another run ({'; '.join(different)}): choose"
      " another --workdir"
    )


def _write(path: Path, value: Any) -> None:
  temporary = path.with_name(path.name + ".tmp")
  temporary.write_text(json.dumps(value, indent=1) + "\n")
  os.replace(temporary, path)


def _version(package: str) -> str | None:
  if package == "python":
    return platform.python_version()
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git_revision() -> str | None:
  """The revision of the checkout that the package runs from, if it is one."""
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
