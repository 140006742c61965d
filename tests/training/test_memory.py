# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A step that does not fit is refused before it is made."""

import jax
import jax.numpy as jnp
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.benchmarks.run import Compilations
from etf_jax.errors import InputError
from etf_jax.training import loop, state
from etf_jax.training.parallel import memory, sharding
from etf_jax.training.setup import create_state, lower_step, make_trainer

GB = 10**9
# 4 GB whatever the batch (2 + 3 - 2 + 1), and 8 GB for its 1024 images.
NEED = memory.Needed(2 * GB, 3 * GB, 2 * GB, 8 * GB, GB)


def test_what_a_step_needs_is_summed_by_hand():
  assert NEED.fixed == 4 * GB
  assert NEED.total == 12 * GB


def test_a_step_that_does_not_fit_is_refused():
  memory.refuse_excess(NEED, 12 * GB, 1024)
  with pytest.raises(InputError, match=r"12\.00 GB .* has 12\.00 GB") as error:
    memory.refuse_excess(NEED, 12 * GB - 1, 1024)
  for part in ("config.batch_size=1024", "4.00 GB", "config.mesh.fsdp"):
    assert part in str(error.value)


class Device:
  """Tells what it has as an accelerator does."""

  def __init__(self, stats):
    self._stats = stats

  def memory_stats(self):
    return self._stats


def test_available_leaves_out_what_others_hold():
  device = Device({"bytes_limit": 100, "bytes_in_use": 30})
  # 20 of the 30 are the program's own arguments.
  assert memory.available(device, 20) == 90
  assert memory.available(device, 50) == 100
  assert memory.available(Device({"bytes_in_use": 3}), 0) is None
  assert memory.available(Device(None), 0) is None


def test_a_compilers_complaint_becomes_one_line():
  text = (
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required"
    " for HLO temporaries (40.50G) exceeds available HBM (15.75G)."
  )
  # In GB of 10^9 bytes: 40.5 and 15.75 times 2^30.
  with pytest.raises(InputError, match=r"=128 does not.* 43\.49 .* 16\.91 GB"):
    memory.raise_if_exhausted(RuntimeError(text), 128)
  for other in ("RESOURCE_EXHAUSTED: of something", "(40.50G) > (15.75G)"):
    memory.raise_if_exhausted(RuntimeError(other), 128)


def test_needed_of_a_program_by_hand():
  program = jax.jit(lambda x, y: (x + 1, y.sum()), donate_argnums=0)
  need = memory.needed(program.lower(jnp.zeros(256), jnp.zeros(1000)).compile())
  assert need.arguments == 4 * (256 + 1000)
  assert need.aliased == 4 * 256
  # The sum, and the table of the two results.
  assert 4 * 257 <= need.outputs <= 4 * 257 + 64


@pytest.fixture(
  scope="module",
  params=[
    {"data.feed": "resident"},
    {"data.feed": "stream"},
    {"steps_per_call": 3},
    {"mesh.fsdp": 2},
  ],
  ids=str,
)
def run(digits_dir, request):
  fields = request.param | {"devices": 2}
  config = tiny_runs.config(digits_dir, "etf_dr", fields)
  return make_trainer(config, data.load(config.data))


@pytest.mark.slow
def test_nothing_is_compared_where_devices_do_not_tell(run):
  def never():
    raise AssertionError("lowered for nothing")

  assert memory.check(never, 122, run.setup.mesh) is None


@pytest.fixture
def told_size(monkeypatch):
  """Make CPUs tell a size as accelerators do."""

  def tell(limit):
    stats = {"bytes_limit": limit, "bytes_in_use": 0}
    monkeypatch.setattr(
      type(jax.devices()[0]), "memory_stats", lambda _: stats, raising=False
    )

  return tell


@pytest.mark.slow
def test_the_program_is_compiled_once(run, told_size):
  current = create_state(run.setup, 0)
  key = state.augment_key(0, sharding.replicated(run.setup.mesh))
  feed = run.open_feed(0, 0)
  told_size(10**9)
  steps = run.setup.config.steps_per_call or 1
  with Compilations() as compilations:
    told = memory.check(
      lambda: lower_step(run.setup, run.open_feed, single=False),
      122,
      run.setup.mesh,
    )
    assert len(compilations.found) == 1
    current, _ = feed.advance(current, 0, key, steps)
  assert told == "a step needs 0.00 GB of the 1.00 GB on each device"
  feed.close()
  assert int(current.step) == steps
  assert len(compilations.found) == 1


@pytest.mark.slow
def test_a_run_that_does_not_fit_leaves_no_directory(run, told_size, tmp_path):
  told_size(1000)
  with pytest.raises(InputError, match=r"batch_size=122 does not fit"):
    loop.train_seed(run, 0, tmp_path / "run")
  assert not (tmp_path / "run" / "config.json").exists()
