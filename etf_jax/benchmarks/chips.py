# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""TPU chips and slices with the figures of the maker.

    slice = topology("v5e:2x4")
    slice.chips, slice.links, slice.chip.flops

The figures are those of https://docs.cloud.google.com/tpu/docs/v5e (v4, v5p,
v6e), read in November 2026. Links: Jouppi et al. 2023 (arXiv:2304.01433) for
v4; for the others the bandwidth of a chip over its number of ports.
"""

import math
from typing import Any, NamedTuple

from etf_jax.errors import InputError, nearest


class Chip(NamedTuple):
  """A kind of chip.

  Attributes:
    flops: bfloat16 operations in a second.
    memory: bytes of HBM.
    bandwidth: bytes in a second between HBM and chip.
    link: bytes in a second over one link to a neighbor, in one direction.
    shapes: slices that can be had, the largest only where there are many.
    wraps: number of chips at which an axis is closed to a ring.
    accelerator: what libtpu calls the kind in its environment.
  """

  flops: float
  memory: float
  bandwidth: float
  link: float
  shapes: tuple[str, ...]
  wraps: int
  accelerator: str


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = (
  *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
  *("8x8x12", "8x8x16", "4x4x16", "8x16x16", "16x16x16"),
)
CHIPS = {
  "v4": Chip(275e12, 32 * 2**30, 1200e9, 50e9, _CUBES, 4, "v4"),
  "v5e": Chip(197e12, 16e9, 819e9, 50e9, _FLAT, 16, "v5litepod"),
  "v5p": Chip(459e12, 95e9, 2765e9, 100e9, (*_CUBES, "16x16x24"), 4, "v5p"),
  "v6e": Chip(918e12, 32e9, 1640e9, 100e9, _FLAT, 16, "v6e"),
}


class Topology(NamedTuple):
  """A slice of chips.

  Attributes:
    name: as in "v5e:2x4".
    chip: of which it consists.
    shape: chips along each axis.
  """

  name: str
  chip: Chip
  shape: tuple[int, ...]

  @property
  def chips(self) -> int:
    """Return the number of chips."""
    return math.prod(self.shape)

  @property
  def links(self) -> int:
    """Return the fewest links of a chip, at a corner where axes are open."""
    every = self.chip.wraps
    if len(self.shape) == 3:  # a cube of 4 x 4 x 4, or several, is a torus
      closed = [all(size % every == 0 for size in self.shape)] * 3
    else:
      closed = [size == every for size in self.shape]
    return sum(
      (2 if ring else 1) if size > 1 else 0
      for size, ring in zip(self.shape, closed, strict=True)
    )

  @property
  def description(self) -> dict[str, Any]:
    """Return the arguments that `topologies.get_topology_desc` takes for it."""
    alone = self.chips == 1
    given: dict[str, Any] = {
      "chips_per_host_bounds": (1, 1, 1) if alone else (2, 2, 1)
    }
    if len(self.shape) == 3:  # both cores of a chip as one device
      given["chip_config_name"] = "megacore"
    return {"platform": "tpu", "topology_name": self.name} | given

  @property
  def environment(self) -> dict[str, str]:
    """Return the variables that libtpu needs on a machine without TPUs."""
    cores = 2 if len(self.shape) == 3 else 1
    kind = f"{self.chip.accelerator}-{cores * self.chips}"
    return {
      "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # no chip is taken
      "JAX_PLATFORMS": "cpu",
      "TPU_SKIP_MDS_QUERY": "1",
      "TPU_ACCELERATOR_TYPE": kind,
      "TPU_WORKER_HOSTNAMES": "localhost",
    }


def topology(name: str) -> Topology:
  """Look a slice up.

  Args:
    name: kind and shape, as in "v5e:2x4".

  Raises:
    InputError: there is none of this name; the nearest known is named. libtpu
      itself ends the process at some of them.
  """
  kind, _, shape = name.partition(":")
  known = [f"{k}:{s}" for k, chip in CHIPS.items() for s in chip.shapes]
  if name not in known:
    # Of the same kind if there is one; the shorter axes come first.
    alike = [one for one in known if one.startswith(f"{kind}:")] or known
    sizes = sorted(shape.split("x"), key=lambda size: (len(size), size))
    near = f"{kind}:{'x'.join(sizes)}"
    near = nearest(near, alike)
    raise InputError(
      f"--topology={name!r} is unknown; did you mean {near!r}? (known: "
      + "; ".join(f"{k}: {' '.join(c.shapes)}" for k, c in CHIPS.items())
      + ")"
    )
  return Topology(name, CHIPS[kind], tuple(map(int, shape.split("x"))))
