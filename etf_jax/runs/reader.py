# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Read run directories and sort them: seeds into groups, data into sections.

    sections(group(load_all(["runs/digits_lt-ce-1a2b", "runs/other"])))

A group holds the runs that differ in their seed only; a section holds the
groups that saw the same training set, so that their numbers compare.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import os
from pathlib import Path
from typing import Any

from etf_jax.errors import InputError
from etf_jax.runs import files, metrics_rows

# Fields of config.json, or of the config in it, and their types.
_FIELDS = (
  ("", "config", dict),
  ("", "name", str),
  ("", "seed", int),
  ("", "hash", str),
  ("config", "method", str),
  ("config", "data", (dict, type(None))),
  ("", "versions", (dict, type(None))),
  ("", "command", (str, list, type(None))),
  ("", "device", (str, type(None))),
)


@dataclasses.dataclass(frozen=True)
class RunRecord:
  """One run directory, finished or not."""

  directory: Path
  name: str
  method: str
  seed: int
  hash: str
  config: dict[str, Any]
  meta: dict[str, Any]
  class_counts: tuple[int, ...]
  class_names: tuple[str, ...]
  train: tuple[dict[str, Any], ...]
  tests: tuple[dict[str, Any], ...]
  final: dict[str, Any] | None
  collapse: tuple[dict[str, Any], ...] = ()

  @property
  def result(self) -> dict[str, Any]:
    """The final row of a finished run."""
    if self.final is None:
      raise ValueError(f"{self.directory} has not finished")
    return self.final

  @property
  def epoch(self) -> float:
    """Return the epoch that the run came to."""
    return max((row["epoch"] for row in (*self.train, *self.tests)), default=0)


@dataclasses.dataclass(frozen=True)
class Group:
  """Runs of one name, method and configuration, by seed."""

  label: str
  runs: tuple[RunRecord, ...]

  @property
  def first(self) -> RunRecord:
    """Any of the runs: they share everything but the seed."""
    return self.runs[0]

  @property
  def finished(self) -> tuple[RunRecord, ...]:
    """The runs that have a final row."""
    return tuple(run for run in self.runs if run.final)

  @property
  def unfinished(self) -> tuple[RunRecord, ...]:
    """The runs still going, killed, or stopped by an error."""
    return tuple(run for run in self.runs if not run.final)


@dataclasses.dataclass(frozen=True)
class Section:
  """Groups trained on the same classes and counts."""

  title: str
  class_counts: tuple[int, ...]
  class_names: tuple[str, ...]
  groups: tuple[Group, ...]

  @property
  def facts(self) -> str:
    """The training set in one phrase."""
    counts = self.class_counts
    return (
      f"{len(counts)} classes, {sum(counts):,} training images,"
      f" {max(counts):,} to {min(counts):,} a class"
    )


def find(paths: Iterable[str | os.PathLike]) -> list[Path]:
  """List the run directories at or below the given directories.

  Args:
    paths: run directories, or directories that hold some at any depth.

  Returns:
    Each run once, in the given order, sorted by path below each.

  Raises:
    InputError: a directory does not exist or holds no run.
  """
  found: dict[Path, Path] = {}
  for path in map(Path, paths):
    if not path.is_dir():
      raise InputError(f"no such directory: {path}")
    below = sorted(_walk(path))
    if not below:
      raise InputError(
        f"no run in {path}: a run has config.json with class_counts.json or"
        " metrics.jsonl beside it; give a training working directory"
      )
    for directory in below:
      found.setdefault(directory.resolve(), directory)
  if not found:
    raise InputError("no run directory given; give at least one")
  return list(found.values())


def load_run(directory: str | os.PathLike) -> RunRecord:
  """Read one run directory.

  Args:
    directory: what the trainer wrote; a torn last line of metrics (a run in
      progress) is left out.

  Returns:
    The run.

  Raises:
    InputError: a file is missing or does not hold what it should.
  """
  directory = Path(directory)
  meta = _read_json(directory / "config.json", dict)
  for place, key, kind in _FIELDS:
    value = meta.get(place, {}).get(key) if place else meta.get(key)
    if not isinstance(value, kind):
      raise InputError(
        f"{directory / 'config.json'} has no {f'{place}.{key}'.strip('.')!r};"
        " it was not written by etf_jax.main: copy it again"
      )
  counts = _read_json(directory / "class_counts.json", list)
  names = _read_json(directory / "class_names.json", list)
  if not counts or len(counts) != len(names):
    raise InputError(
      f"{directory}: class_counts.json has {len(counts)} classes and"
      f" class_names.json {len(names)}; they must agree"
    )
  for name, good in (
    ("counts", all(isinstance(n, int) and n >= 0 for n in counts)),
    ("names", all(isinstance(n, str) for n in names)),
  ):
    if not good:
      raise InputError(
        f"cannot read {directory / f'class_{name}.json'}: not a list of"
        f" {name}; copy it again"
      )
  found = metrics_rows.read(directory / "metrics.jsonl", len(counts))
  finals = [row for row in found if row["kind"] == "final"]
  return RunRecord(
    directory=directory,
    name=meta["name"],
    method=meta["config"]["method"],
    seed=meta["seed"],
    hash=meta["hash"],
    config=meta["config"],
    meta=meta,
    class_counts=tuple(counts),
    class_names=tuple(names),
    train=tuple(row for row in found if row["kind"] == "train"),
    tests=tuple(
      row for row in found if row["kind"] == "eval" and row["split"] == "test"
    ),
    final=finals[-1] if finals else None,
    collapse=tuple(row for row in found if row["kind"] == "collapse"),
  )


def load_all(paths: Iterable[str | os.PathLike]) -> list[RunRecord]:
  """Read every run at or below the given directories."""
  return [load_run(directory) for directory in find(paths)]


def group(runs: Sequence[RunRecord]) -> list[Group]:
  """Join the seeds of each (name, method, hash).

  Args:
    runs: in the order in which the groups shall come.

  Returns:
    Groups whose labels tell them apart: the method, and where that is not
    enough what differs in the configuration.

  Raises:
    InputError: two directories hold the same run; counted twice it would
      make the deviation over seeds too small.
  """
  members: dict[tuple[str, str, str], dict[int, RunRecord]] = {}
  for run in runs:
    seeds = members.setdefault((run.name, run.method, run.hash), {})
    if run.seed in seeds:
      raise InputError(
        f"the same run (method {run.method}, seed {run.seed}) is in"
        f" {seeds[run.seed].directory} and {run.directory}; give one of them"
      )
    seeds[run.seed] = run
  joined = [
    tuple(run for _, run in sorted(seeds.items())) for seeds in members.values()
  ]
  peers = [seeds[0] for seeds in joined]
  return [
    Group(
      _label(seeds[0], [p for p in peers if _data(p) == _data(seeds[0])]), seeds
    )
    for seeds in joined
  ]


def sections(groups: Sequence[Group]) -> list[Section]:
  """Separate groups that were trained on different classes or counts."""
  found: dict[tuple, list[Group]] = {}
  for entry in groups:
    found.setdefault(_data(entry.first), []).append(entry)
  return [
    Section(title, counts, names, tuple(entries))
    for (title, counts, names), entries in found.items()
  ]


def differences(groups: Sequence[Group]) -> dict[str, list[str]]:
  """List the configuration fields in which groups differ.

  Args:
    groups: what to compare.

  Returns:
    For each differing dotted field one value per group ("not set" where it
    has none), in the order of the first group's configuration.
  """
  flat = [_flatten(entry.first.config) for entry in groups]
  fields = dict.fromkeys(key for config in flat for key in config)
  table = {
    key: [config.get(key, "not set") for config in flat] for key in fields
  }
  return {key: row for key, row in table.items() if len(set(row)) > 1}


def _walk(path: Path) -> Iterable[Path]:
  """Yield the runs at or below a directory.

  A link is followed to a run and no further: it may lead anywhere, or back.
  """

  def refuse(error: OSError) -> None:
    raise InputError(
      f"cannot read {error.filename}: {error.strerror}; name the directories"
      " of runs"
    ) from error

  for folder, names, _ in os.walk(path, onerror=refuse):
    if _is_run(Path(folder)):
      yield Path(folder)
      names.clear()
    for name in names:
      linked = Path(folder, name)
      if linked.is_symlink() and _is_run(linked):
        yield linked


def _is_run(path: Path) -> bool:
  return (path / "config.json").is_file() and any(
    (path / name).is_file() for name in ("class_counts.json", "metrics.jsonl")
  )


def _read_json(path: Path, kind: type) -> Any:
  try:
    content = files.read_json(path)
  except FileNotFoundError as error:
    raise InputError(
      f"{path} is missing; this is no complete run directory"
    ) from error
  except (OSError, ValueError) as error:
    raise InputError(f"cannot read {path}: {error}; copy it again") from error
  if not isinstance(content, kind):
    raise InputError(
      f"cannot read {path}: it does not hold a {kind.__name__}; copy it again"
    )
  return content


def _data(run: RunRecord) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
  data = run.config.get("data")
  name = data.get("name") if isinstance(data, Mapping) else None
  return (name or run.name, run.class_counts, run.class_names)


def _label(run: RunRecord, peers: Sequence[RunRecord]) -> str:
  same = [peer for peer in peers if peer.method == run.method]
  if len(same) == 1:
    return run.method
  others = [_flatten(peer.config) for peer in same]
  config = _flatten(run.config)
  differing = [
    key
    for key in config
    if any(other.get(key, "not set") != config[key] for other in others)
  ]
  if 0 < len(differing) <= 2:
    values = ", ".join(f"{key}={config[key]}" for key in differing)
    return f"{run.method} ({values})"
  return f"{run.method} ({run.name} {run.hash})"


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
  flat: dict[str, str] = {}
  for key, value in config.items():
    if isinstance(value, Mapping):
      flat |= _flatten(value, f"{prefix}{key}.")
    # Seeds differ inside a group, so they tell no two groups apart.
    elif f"{prefix}{key}" not in ("seed", "seeds", "workdir"):
      flat[f"{prefix}{key}"] = str(value)
  return flat
