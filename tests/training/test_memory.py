# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Whether a step fits, and what is told if it does not."""

import jax
import jax.numpy as jnp
import pytest
import tiny_runs

from etf_jax import data
from etf_jax.errors import InputError
from etf_jax.training import loop, state
from etf_jax.training.parallel import memory, sharding
from etf_jax.training.setup import lower_step, make_trainer

pytestmark = pytest.mark.slow

GB = 10**9
# 4 GB whatever the batch (2 + 3 - 2 + 1), and 8 GB for its 1024 images.
NEED = memory.Needed(2 * GB, 3 * GB, 2 * GB, 8 * GB, GB)


def test_what_a_step_needs_is_summed_by_hand():
  assert NEED.fixed == 4 * GB
  assert NEED.total == 12 * GB


def test_a_step_that_fits_exactly_is_not_refused():
  assert memory.verdict(NEED, 12 * GB, 1024) is None
  assert memory.verdict(NEED, 12 * GB - 1, 1024) is not None


def test_the_largest_batch_and_the_accumulation_by_hand():
  # 6 GB are left for images of 8/1024 GB: 768. Half the batch fits.
  assert memory.verdict(NEED, 10 * GB, 1024, multiple=8) == (
    "a step needs 12.00 GB on each device and has 10.00 GB:"
    " config.batch_size=1024 does not fit. By an estimate"
    " config.batch_size=768 does, or this one with config.accumulate_steps=2"
  )


@pytest.mark.parametrize(
  ("limit", "multiple", "batch", "steps"),
  [
    (10, 500, 500, None),  # 768 rounded down; 1024 has no parts of 500
    (6, 8, 256, 4),
    (5, 8, 128, 8),
    (5, 100, 100, None),
  ],
)
def test_parts_are_multiples_and_make_up_the_batch(
  limit, multiple, batch, steps
):
  told = memory.verdict(NEED, limit * GB, 1024, multiple=multiple)
  assert f"config.batch_size={batch} does" in told
  assert (f"config.accumulate_steps={steps}" in told) == (steps is not None)
  assert ("accumulate_steps" in told) == (steps is not None)


def test_what_is_accumulated_already_counts():
  # 8 GB for parts of 256: 192 images fit at once, 768 in four; 1024 in eight.
  told = memory.verdict(NEED, 10 * GB, 1024, multiple=64, accumulate_steps=4)
  assert "config.batch_size=768 does" in told
  assert told.endswith("config.accumulate_steps=8")


def test_nothing_fits_beside_a_state_that_does_not():
  told = memory.verdict(NEED, 4 * GB, 1024)
  assert "no other does: 4.00 GB are there whatever its size" in told
  assert "config.mesh.fsdp" in told
  assert "config.data.feed='stream'" in told


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


@pytest.mark.parametrize(
  ("text", "sizes"),
  [
    (
      "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required"
      " for HLO temporaries (40.50G) exceeds available HBM (15.75G).",
      (40.5 * 2**30, 15.75 * 2**30),
    ),
    ("RESOURCE_EXHAUSTED: out of something", None),
    ("INTERNAL: (40.50G) exceeds (15.75G)", None),
  ],
)
def test_what_a_compiler_complains_of(text, sizes):
  assert memory.exhausted(RuntimeError(text)) == sizes


def test_a_compilers_complaint_becomes_one_line():
  config = tiny_runs.config("nowhere", "ce", {"batch_size": 128})
  mesh = sharding.make_mesh(1, 128)
  error = RuntimeError("RESOURCE_EXHAUSTED: (32.0G) exceeds HBM (16.0G).")
  with pytest.raises(InputError, match=r"batch_size=64 does, .*steps=2$"):
    memory.raise_if_exhausted(error, config, mesh)
  memory.raise_if_exhausted(RuntimeError("another"), config, mesh)


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


def test_nothing_is_compared_where_devices_do_not_tell(run):
  def never():
    raise AssertionError("lowered for nothing")

  assert memory.check(never, run.setup.config, run.setup.mesh) is None


@pytest.fixture
def told_size(monkeypatch):
  """Make CPUs tell a size as accelerators do."""

  def tell(limit):
    stats = {"bytes_limit": limit, "bytes_in_use": 0}
    monkeypatch.setattr(
      type(jax.devices()[0]), "memory_stats", lambda _: stats, raising=False
    )

  return tell


@pytest.fixture
def compilations():
  """The durations of compilations, or of reading programs from a cache."""
  seconds = []

  def listen(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
      seconds.append(duration)

  jax.monitoring.register_event_duration_secs_listener(listen)
  yield seconds
  jax.monitoring.unregister_event_duration_listener(listen)


def test_the_program_is_compiled_once(run, told_size, compilations):
  current = state.create_train_state(
    run.setup.model,
    run.setup.optimizer,
    run.setup.input_shape,
    state.draw_classifier(run.setup.model, run.setup.input_shape, 0),
    0,
    run.setup.state_sharding,
  )
  key = state.augment_key(0, sharding.replicated(run.setup.mesh))
  feed = run.open_feed(0, 0)
  told_size(10**9)
  compilations.clear()
  told = memory.check(
    lambda: lower_step(run.setup, run.open_feed, single=False),
    run.setup.config,
    run.setup.mesh,
  )
  assert told == "a step needs 0.00 GB of the 1.00 GB on each device"
  assert len(compilations) == 1
  current, _ = feed.advance(current, 0, key)
  feed.close()
  assert int(current.step) == 1
  assert len(compilations) == 1


def test_a_run_that_does_not_fit_leaves_no_directory(run, told_size, tmp_path):
  told_size(1000)
  with pytest.raises(InputError, match=r"batch_size=122 does not fit"):
    loop.train_seed(run, 0, tmp_path / "run")
  assert not (tmp_path / "run" / "config.json").exists()
