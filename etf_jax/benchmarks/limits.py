# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What this machine can do at best, measured with two programs.

products = create("float32")
products.limits(flops, accessed, matmul_times, copy_times)
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from etf_jax.benchmarks import report as reports


class Products(NamedTuple):
  """A square matrix product and a copy with an addition.

  Attributes:
    matmul: a turn of products.
    copy: a turn of copies.
    side: of the matrices.
    numbers: float32 numbers that are read and written by a copy.
  """

  matmul: Callable[[int], float]
  copy: Callable[[int], float]
  side: int
  numbers: int

  def limits(
    self,
    flops: float,
    accessed: float,
    matmul: Mapping[str, float],
    copy: Mapping[str, float],
  ) -> dict[str, float]:
    """The least milliseconds of a step, by what limits it.

    Args:
      flops: of the step.
      accessed: bytes that it reads and writes.
      matmul: the `summary` of products ...
      copy: ... and of copies.
    """
    rate = 2 * self.side**3 / (matmul["ms"] / 1e3)
    bandwidth = 2 * 4 * self.numbers / (copy["ms"] / 1e3)
    return {
      "flops": flops,
      "bytes": accessed,
      "flops_per_second": rate,
      "bytes_per_second": bandwidth,
      "compute_ms": 1e3 * flops / rate,
      "memory_ms": 1e3 * accessed / bandwidth,
    }


def create(dtype: str) -> Products:
  """Build them, of a size that fills the device.

  Args:
    dtype: of the matrices.
  """
  small = jax.default_backend() == "cpu"
  side, numbers = (1024, 2**24) if small else (8192, 2**28)
  factor = jnp.ones((side, side), dtype) / side
  vector = jnp.ones(numbers, jnp.float32)
  multiply = jax.jit(jnp.matmul)
  add = jax.jit(lambda x: x + 1)
  return Products(
    reports.synchronised(lambda: multiply(factor, factor)),
    reports.synchronised(lambda: add(vector)),
    side,
    numbers,
  )
