# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""TPU slices and hosts of GPUs with the figures of the maker.

    slice = topology("v5e:2x4")    # or "h200:8"
    slice.chips, slice.links, slice.chip.flops

The figures are those of https://docs.cloud.google.com/tpu/docs/v5e (v4, v5p,
v6e), read in November 2026. Links: Jouppi et al. 2023 (arXiv:2304.01433) for
v4; for the others the bandwidth of a chip over its number of ports. GPUs: the
data sheets of the H100 SXM and the H200, dense bfloat16, NVLink in one
direction; a launch is taken to cost 2 us.
"""

import math
from typing import Any, NamedTuple

from etf_jax.errors import InputError, did_you_mean


class Chip(NamedTuple):
  """A kind of chip.

  Attributes:
    flops: bfloat16 operations in a second.
    memory: bytes of HBM.
    bandwidth: bytes in a second between HBM and chip.
    link: bytes in a second over one link to a neighbor, in one direction; of a
      GPU over all its links.
    shapes: slices that can be had, the largest only where there are many.
    wraps: number of chips at which an axis is closed to a ring.
    accelerator: its name in libtpu's environment, or to the CUDA compiler.
    launch: seconds between two kernels of a GPU; 0: a program is one launch.
  """

  flops: float
  memory: float
  bandwidth: float
  link: float
  shapes: tuple[str, ...]
  wraps: int
  accelerator: str
  launch: float = 0.0


_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = (
  *("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
  *("8x8x12", "8x8x16", "4x4x16", "8x16x16", "16x16x16"),
)
_HOST = ("1", "2", "4", "8")
CHIPS = {
  "v4": Chip(275e12, 32 * 2**30, 1200e9, 50e9, _CUBES, 4, "v4"),
  "v5e": Chip(197e12, 16e9, 819e9, 50e9, _FLAT, 16, "v5litepod"),
  "v5p": Chip(459e12, 95e9, 2765e9, 100e9, (*_CUBES, "16x16x24"), 4, "v5p"),
  "v6e": Chip(918e12, 32e9, 1640e9, 100e9, _FLAT, 16, "v6e"),
  "h100": Chip(989e12, 80e9, 3350e9, 450e9, _HOST, 0, "NVIDIA H100", 2e-6),
  "h200": Chip(989e12, 141e9, 4800e9, 450e9, _HOST, 0, "NVIDIA H200", 2e-6),
}
# XLA's GpuTargetConfigProto of a Hopper with 132 multiprocessors.
_TARGET = """\
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448 threads_per_core_limit: 2048
  core_count: 132 fpus_per_core: 128 block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: {chip.bandwidth:.0f} l2_cache_size: 62914560
  clock_rate_ghz: 1.98 device_memory_size: {chip.memory:.0f}
  cuda_compute_capability {{ major: 9 }} registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 12 }}
runtime_version {{ major: 13 }} device_description_str: "{chip.accelerator}"
"""


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
  def on_gpus(self) -> bool:
    """Return True if these are GPUs."""
    return self.chip.launch > 0

  @property
  def compiler(self) -> tuple[str, str]:
    """Return the module that compiles for it, and the extra that brings it."""
    return ("jax_cuda13_plugin", "cuda") if self.on_gpus else ("libtpu", "tpu")

  @property
  def links(self) -> int:
    """Return the fewest links of a chip, at a corner where axes are open."""
    if self.on_gpus:
      return 1
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
    if self.on_gpus:
      return {
        "platform": "cuda",
        "target_config": _TARGET.format(chip=self.chip),
        "topology": f"1x1x{self.chips}",
      }
    alone = self.chips == 1
    given: dict[str, Any] = {
      "chips_per_host_bounds": (1, 1, 1) if alone else (2, 2, 1)
    }
    if len(self.shape) == 3:  # both cores of a chip as one device
      given["chip_config_name"] = "megacore"
    return {"platform": "tpu", "topology_name": self.name} | given

  @property
  def environment(self) -> dict[str, str]:
    """Return the variables that a compiler needs on a machine without them."""
    if self.on_gpus:
      return {
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
        "XLA_FLAGS": "--xla_gpu_autotune_level=0",  # nothing to time on
      }
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
    near = did_you_mean(f"{kind}:{'x'.join(sizes)}", alike)
    raise InputError(
      f"--topology={name!r} is unknown{near} (known: "
      + "; ".join(f"{k}: {' '.join(c.shapes)}" for k, c in CHIPS.items())
      + ")"
    )
  return Topology(name, CHIPS[kind], tuple(map(int, shape.split("x"))))
