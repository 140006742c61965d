# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Two processes measure collapse as one does.

Run as a program, this file is one of the processes.
"""

import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
from jax.experimental import multihost_utils
import numpy as np
import pytest

from etf_jax import collapse
from etf_jax.training.parallel import sharding

pytestmark = pytest.mark.slow

PROCESSES, BATCHES, BATCH = 2, 3, 24
CLASSES, DIM = 6, 4
SECONDS = 120  # until both processes are killed


def draw(dtype):
  """Features [batches, B, d], labels, a mask, a reference and prototypes.

  Class 5 has no example and class 4 only some in the second process. In the
  second batch the second process has none that counts. What does not count is
  poison.
  """
  rng = np.random.default_rng(0)
  shape = (BATCHES, BATCH)
  labels = rng.choice(4, shape, p=[0.6, 0.2, 0.15, 0.05])
  labels[0, -3:], labels[2, -1] = 4, 4
  means = 3 * rng.standard_normal((CLASSES, DIM))
  features = means[labels] + rng.standard_normal((*shape, DIM))
  where = rng.random(shape) < 0.8
  where[0, -3:], where[1, BATCH // 2 :] = True, False
  features[~where], labels[~where] = np.nan, -1
  reference = means + 0.1 * rng.standard_normal((CLASSES, DIM))
  prototypes = rng.standard_normal((DIM, CLASSES))
  return (
    features.astype(dtype),
    labels.astype(np.int32),
    where,
    reference.astype(dtype),
    prototypes.astype(dtype),
  )


def numbers(stats, prototypes):
  """Statistics and both kinds of metrics, as NumPy arrays."""
  found = {
    mean: collapse.compute(stats, prototypes, global_mean=mean)
    for mean in ("class", "sample")
  }
  return stats._asdict() | {
    f"{mean} {name}": value
    for mean, metrics in found.items()
    for name, value in vars(metrics).items()
  }


@jax.jit
def update(stats, features, labels, where):
  return collapse.update(stats, features, labels, where=where)


def over_all_devices(dtype):
  """Global batches, a part of them from each process."""
  *batches, reference, prototypes = draw(dtype)
  mesh = sharding.make_mesh(None, BATCH)
  own = np.arange(BATCH).reshape(PROCESSES, -1)[jax.process_index()]
  stats = collapse.init(CLASSES, DIM, reference=reference)
  stats = jax.device_put(stats, sharding.replicated(mesh))
  for batch in zip(*batches, strict=True):
    parts = [
      jax.make_array_from_process_local_data(
        sharding.batch_sharded(mesh), part[own], part.shape
      )
      for part in batch
    ]
    assert not parts[0].is_fully_addressable
    stats = update(stats, *parts)
  return numbers(stats, prototypes)


def each_its_own(dtype):
  """Statistics of the process's part alone, merged at the end."""
  *batches, reference, _ = draw(dtype)
  own = np.arange(BATCH).reshape(PROCESSES, -1)[jax.process_index()]
  stats = collapse.init(CLASSES, DIM, reference=reference)
  for batch in zip(*batches, strict=True):
    stats = update(stats, *(part[own] for part in batch))
  every = multihost_utils.process_allgather(stats)
  parts = [jax.tree.map(lambda x, i=i: x[i], every) for i in range(PROCESSES)]
  return collapse.merge(*parts)._asdict()


CASES = [
  (over_all_devices, "float32", 3e-5),
  (over_all_devices, "float64", 1e-12),
  (each_its_own, "float64", 1e-12),
]


def process(index, port, folder):
  jax.distributed.initialize(f"localhost:{port}", PROCESSES, index)
  assert jax.process_count() == PROCESSES
  assert jax.device_count() == 2 * PROCESSES
  for way, dtype, _ in CASES:
    with jax.enable_x64(dtype == "float64"):
      np.savez(folder / f"{way.__name__}-{dtype}-{index}.npz", **way(dtype))


def run_processes(folder):
  with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
  environment = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "2",
    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
  }
  logs = [folder / f"{index}.log" for index in range(PROCESSES)]
  running = []
  try:
    for index, log in enumerate(logs):
      with log.open("w") as output:
        running.append(
          subprocess.Popen(
            [sys.executable, __file__, str(index), str(port), str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
          )
        )
    end = time.monotonic() + SECONDS
    # One that fails leaves the other waiting for it.
    while time.monotonic() < end and not any(p.poll() for p in running):
      if all(p.poll() == 0 for p in running):
        break
      time.sleep(0.1)
  finally:
    codes = [p.poll() for p in running]
    for one in running:
      one.kill()
      one.wait()
  said = "\n".join(f"{log.name}:\n{log.read_text()}" for log in logs)
  assert codes == [0] * PROCESSES, f"exit codes {codes}, None: killed\n{said}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("processes")
  run_processes(folder)
  return folder


def in_numpy(dtype):
  """Everything that counts at once, by definition, in float64."""
  from test_collapse import direct

  features, labels, where, reference, prototypes = draw(dtype)
  h, y = np.float64(features[where]), labels[where]
  shifted = h - reference[y]
  member = np.eye(CLASSES)[y]
  return {
    "count": member.sum(axis=0),
    "shifted_sum": member.T @ shifted,
    "shifted_square": member.T @ np.sum(shifted**2, axis=1),
    "shifted_scatter": shifted.T @ shifted,
    "reference": reference,
    **{
      f"{mean} {name}": value
      for mean in ("class", "sample")
      for name, value in direct(h, y, prototypes, mean).items()
    },
  }


def in_one_process(dtype):
  *batches, reference, prototypes = draw(dtype)
  stats = collapse.init(CLASSES, DIM, reference=reference)
  for batch in zip(*batches, strict=True):
    stats = update(stats, *batch)
  return numbers(stats, prototypes)


def assert_close(actual, expected, tolerance):
  assert actual.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(
      actual[name], value, rtol=tolerance, atol=tolerance, err_msg=name
    )


@pytest.mark.parametrize(("way", "dtype", "tolerance"), CASES)
def test_two_processes_are_one(folder, way, dtype, tolerance):
  actual, other = (
    dict(np.load(folder / f"{way.__name__}-{dtype}-{index}.npz"))
    for index in range(PROCESSES)
  )
  np.testing.assert_equal(actual, other)
  assert {value.dtype for value in actual.values()} == {np.dtype(dtype)}
  expected = in_numpy(dtype)
  # What the random numbers are meant to bring.
  assert expected["count"][5] == 0
  assert 0 < expected["count"][4] < expected["count"][0] / 3
  with jax.enable_x64(dtype == "float64"):
    if way is each_its_own:
      actual = numbers(collapse.Statistics(**actual), draw(dtype)[-1])
    assert_close(actual, expected, tolerance)
    assert_close(actual, in_one_process(dtype), tolerance)


if __name__ == "__main__":
  process(int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]))
