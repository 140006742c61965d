# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Bytes, exchanges and least time of a compiled program.

found = collectives(compiled.as_text())
limits(flops, accessed, found, slice)
"""

import collections
from collections.abc import Iterator
import math
import re
from typing import NamedTuple

from etf_jax.benchmarks.chips import Topology

_KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "ragged-all-to-all",
  "collective-permute",
  "collective-broadcast",
)
COLLECTIVE = re.compile(
  r"^\s+(?:ROOT )?%?[\w.\-]+ = (?P<type>.*?) "
  rf"(?P<kind>{'|'.join(_KINDS)})(?P<start>-start)?\("
)
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_PLACED = re.compile(_ARRAY.pattern + r"(\{[^}]*\})?")
INSTRUCTION = re.compile(
  r"^\s+(?P<root>ROOT )?%?(?P<name>[\w.\-]+) = (?P<type>.*?) "
  r"(?P<kind>[a-z][a-z\-]*)\((?P<operands>[^)]*)\)"
)
# They move nothing themselves: names for arrays, calls, and ends of copies.
STILL = frozenset(
  {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast"),
    *("while", "conditional", "call", "after-all", "partition-id"),
    *("async-start", "async-update", "async-done", "send-done", "recv-done"),
  }
)
_READ_IN_PART = ("gather", "dynamic-slice")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) (?:\(|\{)")
CALLED = re.compile(
  r"(?:calls|body|to_apply|condition|called_computation|"
  r"true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_CONDITION = re.compile(r" while\(.*condition=%?([\w.\-]+)")
_BOUND = re.compile(r" = s32\[\]\S* constant\((\d+)\)")


class Collective(NamedTuple):
  """One of the instructions by which chips exchange arrays.

  Attributes:
    kind: its name in HLO.
    bytes: of the whole array that a chip ends up with, sums up or passes on.
    group: chips that take part together.
    times: executions in a step, those of a loop counted.
    waits: whether the chip does nothing else meanwhile; one that is started
      and awaited further on leaves it free in between.
  """

  kind: str
  bytes: int
  group: int
  times: int
  waits: bool = True

  @property
  def sent(self) -> float:
    """Bytes that a chip must at least send in one execution.

    An all-reduce is a reduce-scatter and an all-gather; each of the two passes
    on all but a chip's own share.
    """
    if self.kind in ("collective-permute", "collective-broadcast"):
      return float(self.bytes)
    passes = 2 if self.kind == "all-reduce" else 1
    return passes * self.bytes * (self.group - 1) / self.group


def collectives(hlo: str, chips: int) -> list[Collective]:
  """Return the collectives of the text of an optimized HLO module.

  Args:
    hlo: as `Compiled.as_text` gives it.
    chips: of the program; of a group that is not spelled out.
  """
  computations = computations_of(hlo)
  times = _executions(computations)
  found = []
  for name, lines in computations.items():
    for line in lines:
      match = COLLECTIVE.match(line)
      if not match:
        continue
      kind, group = match["kind"], _group(line, chips)
      if times[name] and (group > 1 or kind == "collective-permute"):
        size = _payload(kind, match["type"], bool(match["start"]), group)
        waits = not match["start"]
        found.append(Collective(kind, size, group, times[name], waits))
  return found


def hbm_bytes(hlo: str) -> float:
  """Bytes that go to and from HBM in one execution of a scheduled module.

  `cost_analysis` counts an array wherever it lies. Here those that the layout
  puts in a memory on the chip, S(1), are left out, and of what is gathered,
  sliced or updated in place only that part is counted. Padding is not counted.

  Args:
    hlo: as `Compiled.as_text` gives it.
  """
  computations = computations_of(hlo)
  times = _executions(computations)
  parsed = {
    name: [match for line in lines if (match := INSTRUCTION.match(line))]
    for name, lines in computations.items()
  }
  called = re.findall(r" fusion\(.*?calls=%?([\w.\-]+)", hlo)
  inside = set(called)
  total = 0
  for name, instructions in parsed.items():
    if name in inside or not times[name]:
      continue
    sizes = {one["name"]: _hbm(one["type"]) for one in instructions}
    lines = (line for line in computations[name] if INSTRUCTION.match(line))
    for one, line in zip(instructions, lines, strict=True):
      total += times[name] * _moved(one, line, sizes, parsed)
  return float(total)


def _hbm(type_: str) -> int:
  return sum(
    _bytes(dtype, shape)
    for dtype, shape, layout in _PLACED.findall(type_)
    if not re.search(r"S\([1-9]", layout)
  )


def _moved(one, line, sizes, parsed):
  """Bytes of HBM that an instruction reads and writes."""
  kind = one["kind"]
  if kind in STILL or kind.endswith("-done") or "AllocateBuffer" in line:
    return 0
  if "cross_program_prefetch_index" in line:
    return 0  # the execution before this one ended with this copy
  if kind == "copy-start":  # (destination, source, a word of state)
    return sizes[one["name"]]
  operands = _names(one)
  read = [sizes.get(name, 0) for name in operands]
  written = sizes[one["name"]]
  if kind in _READ_IN_PART and read:
    read[0] = min(read[0], _whole(one["type"]))
  elif kind == "dynamic-update-slice":
    written, read[0] = min(written, read[1]), 0
  elif kind == "fusion":
    body = parsed.get(re.search(r"calls=%?([\w.\-]+)", line)[1], [])
    read = [min(r, part) for r, part in zip(read, _parts(body), strict=False)]
    written = min(written, _written(body))
  return sum(read) + written


def _names(one) -> list[str]:
  return re.findall(r"%([\w.\-]+)", one["operands"])


def _whole(type_: str) -> int:
  return sum(_bytes(*array) for array in _ARRAY.findall(type_))


def _parts(body) -> list[float]:
  """Return the bytes read of each parameter of a fusion, or infinity."""
  found = {}
  for one in body:
    if one["kind"] == "parameter":
      users = [user for user in body if one["name"] in _names(user)]
      sliced = users and all(
        user["kind"] in _READ_IN_PART and _names(user)[0] == one["name"]
        for user in users
      )
      updated = users and all(
        user["kind"] == "dynamic-update-slice"
        and _names(user)[0] == one["name"]
        for user in users
      )
      looked_at = sum(_whole(user["type"]) for user in users)
      found[int(one["operands"])] = (
        looked_at if sliced else 0 if updated else math.inf
      )
  return [found[number] for number in sorted(found)]


def _written(body) -> float:
  """Bytes of the part that a fusion updates in place, or infinity."""
  types = {one["name"]: one["type"] for one in body}
  for one in body:
    if one["root"] and one["kind"] == "dynamic-update-slice":
      return _whole(types[_names(one)[1]])
  return math.inf


def by_kind(found: list[Collective]) -> dict[str, dict[str, float]]:
  """Sum executions, bytes and the bytes that a chip sends by kind."""
  kinds: dict[str, dict[str, float]] = {}
  for one in found:
    row = kinds.setdefault(one.kind, {"count": 0, "bytes": 0, "sent_bytes": 0})
    row["count"] += one.times
    row["bytes"] += one.times * one.bytes
    row["sent_bytes"] += one.times * one.sent
  return kinds


def limits(
  flops: float,
  accessed: float,
  found: list[Collective],
  slice_: Topology,
  launched: int = 0,
) -> dict[str, float]:
  """Seconds that a step takes at least, by what limits it.

  Nothing else is counted: no latency, which many small collectives feel, and
  no wait of one kind of work for another.

  Args:
    flops: of one chip, in a step.
    accessed: bytes that it reads from HBM and writes to it.
    found: the collectives of a step.
    slice_: the chips.
    launched: kernels of a step.

  Returns:
    "compute" at the peak in bfloat16, "hbm", "links", those of the chip that
    has the fewest, and for GPUs "launches".
  """
  chip = slice_.chip
  seconds = {
    "compute": flops / chip.flops,
    "hbm": accessed / chip.bandwidth,
    "links": _exchange(found, slice_),
  }
  if chip.launch:
    seconds["launches"] = launched * chip.launch
  return seconds


def efficiency(
  limits: dict[str, float], found: list[Collective], slice_: Topology
) -> float:
  """Return the share of time in which a chip does not wait for others.

  A chip that did the same work alone would take as long as its arithmetic, its
  memory or its launches, whichever is slowest. To that come the collectives
  during which nothing else runs; those that are started and awaited later count
  only for what they take longer than all of this.

  Args:
    limits: see `limits`.
    found: the collectives of a step.
    slice_: the chips.
  """
  alone = max(seconds for name, seconds in limits.items() if name != "links")
  waited = _exchange([one for one in found if one.waits], slice_)
  return alone / max(alone + waited, limits["links"])


def _exchange(found, slice_):
  sent = sum(one.times * one.sent for one in found)
  return sent / (slice_.links * slice_.chip.link) if sent else 0.0


def computations_of(hlo: str) -> dict[str, list[str]]:
  """Return the lines of each computation by name; "ENTRY" is the entry."""
  found: dict[str, list[str]] = {}
  lines: list[str] = []
  for line in hlo.splitlines():
    match = _COMPUTATION.match(line)
    if match and line.endswith("{"):
      name = "ENTRY" if line.startswith("ENTRY") else match[1]
      lines = found.setdefault(name, [])
    else:
      lines.append(line)
  return found


def _executions(computations: dict[str, list[str]]) -> dict[str, int]:
  """Count the runs of each computation in one execution of the program.

  A conditional counts as if all of its branches ran. A loop counts from 0 to
  the one number that its condition compares with, as JAX's do; any other as if
  it ran once.
  """
  times: dict[str, int] = collections.Counter()

  def visit(name, count):
    times[name] += count
    for line in computations.get(name, ()):
      trips = loop_bound(line, computations) or 1
      for called in _called(line):
        visit(called, count * trips)

  visit("ENTRY", 1)
  return times


def loop_bound(line: str, computations: dict[str, list[str]]) -> int | None:
  """Return the number that the condition of a loop compares with, or None."""
  match = _CONDITION.search(line)
  condition = "\n".join(computations.get(match[1], ())) if match else ""
  bounds = _BOUND.findall(condition)
  known = len(bounds) == 1 and "=LT" in condition
  return int(bounds[0]) if known else None


def _called(line: str) -> Iterator[str]:
  # A sum inside a reduction is called once an element and holds no collective.
  if COLLECTIVE.match(line):
    return
  yield from CALLED.findall(line)
  for branches in _BRANCHES.findall(line):
    yield from (name.strip().lstrip("%") for name in branches.split(","))


def _payload(kind: str, result: str, start: bool, group: int) -> int:
  sizes = [_bytes(*array) for array in _ARRAY.findall(result)]
  if start and kind == "all-gather":
    # ((operands), (results)), as many of the one as of the other.
    sizes = sizes[len(sizes) // 2 :]
  elif start and kind == "collective-permute":
    sizes = sizes[1:2]  # operand, result, two words of state
  return sum(sizes) * (group if kind == "reduce-scatter" else 1)


def _bytes(dtype: str, shape: str) -> int:
  digits = re.search(r"\d+", dtype)
  bits = int(digits[0]) if digits else 8  # pred has none
  return math.prod(int(n) for n in shape.split(",") if n) * bits // 8


def _group(line: str, chips: int) -> int:
  """Return the chips of a group.

  2 for `{{0,1},{2,3}}`, `[2,2]<=[4]` and `mesh['a'=2,'b'=2] {'a'}`.
  """
  match = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
  if match:
    return len(match[1].split(","))
  match = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
  if match:
    return int(match[1])
  match = re.search(r"replica_groups=mesh\[([^\]]*)\]\S* \{([^}]*)\}", line)
  if match:
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", match[1]))
    axes = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", match[2])
    return math.prod(int(part or sizes[axis]) for axis, part in axes)
  return chips
