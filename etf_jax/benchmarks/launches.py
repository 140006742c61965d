# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Launches of a compiled program, and the places where the host waits.

launches(compiled.as_text())["entry"]
waits(compiled.as_text())
"""

import collections
import re

from etf_jax.benchmarks import program


def launches(hlo: str) -> dict[str, dict[str, int]]:
  """Count the kernels that one execution of a GPU's program launches, by kind.

  Args:
    hlo: as `Compiled.as_text` gives it.

  Returns:
    Of the "entry", and of the "loop" with the most, the body once: the kinds
    fusion, convolution, other library call, copy, sort and collective.
  """
  computations = program.computations_of(hlo)
  counted = {"entry": _launched("ENTRY", computations)}
  bodies = [
    _launched(body, computations)
    for body in re.findall(r" while\(.*body=%?([\w.\-]+)", hlo)
  ]
  if bodies:
    counted["loop"] = max(bodies, key=lambda kinds: sum(kinds.values()))
  return counted


def _launched(name, computations) -> dict[str, int]:
  kinds: dict[str, int] = collections.Counter()
  for line in computations.get(name, ()):
    if not (match := program.INSTRUCTION.match(line)):
      continue
    kind = match["kind"]
    if program.COLLECTIVE.match(line):
      kinds["collective"] += 1
    elif kind in ("call", "async-start"):
      kinds.update(_launched(program.CALLED.findall(line)[0], computations))
    elif kind == "custom-call":
      convolves = 'custom_call_target="__cudnn$conv' in line
      kinds["convolution" if convolves else "library call"] += 1
    elif kind == "copy-start":
      kinds["copy"] += 1
    elif kind not in program.STILL and not kind.endswith("-done"):
      kinds[kind] += 1
  return kinds


def waits(hlo: str) -> int:
  """Count the control flow for which the host waits for the device.

  Each conditional, and each loop whose length the compiler does not know.

  Args:
    hlo: as `Compiled.as_text` gives it.
  """
  computations = program.computations_of(hlo)
  unknown = 0
  for line in hlo.splitlines():
    loop = re.search(r" while\(", line) and "known_trip_count" not in line
    unknown += " conditional(" in line
    unknown += bool(loop) and program.loop_bound(line, computations) is None
  return unknown
