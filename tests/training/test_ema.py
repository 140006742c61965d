# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The average of the weights against a NumPy recursion, and its checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax.data.batch import Batch
from etf_jax.training.checkpoints import manager
from etf_jax.training.setup import create_state, make_setup

COUNTS = np.array([9, 7, 5, 3])
DECAY = 0.6  # reached at the fourth step: (1 + t) / (10 + t) < .6 before t = 13


def built(decay):
  """A fresh state and the jitted step of a tiny model of four classes."""
  config = tiny_runs.config("", "etf_dr", {"ema_decay": decay})
  setup = make_setup(config, tiny_runs.noise(COUNTS))
  return create_state(setup, 0), jax.jit(setup.train_step, donate_argnums=0)


def batch(seed):
  rng = np.random.default_rng(seed)
  return Batch(
    jnp.asarray(rng.integers(0, 256, (24, 8, 8, 1), np.uint8)),
    jnp.asarray(np.repeat(np.arange(4), COUNTS), jnp.int32),
    None,
  )


def advance(current, train_step, first, last):
  """The state after steps first .. last - 1, and the variables after each."""
  seen = []
  for number in range(first, last):
    current, _ = train_step(current, batch(number), jax.random.key(0))
    seen.append(trained(current))
  return current, seen


def trained(current):
  return jax.device_get((current.params, current.batch_stats))


def averaged(current):
  shown = current.eval_variables
  return jax.device_get((shown["params"], shown["batch_stats"]))


def assert_equal(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.fixture(scope="module")
def programs():
  """The tiny run with an average, built once; each test makes its state."""
  fresh, train_step = built(DECAY)
  host = jax.device_get(fresh)
  return lambda: jax.tree.map(jnp.array, host), train_step


def test_a_numpy_recursion(programs):
  begin, train_step = programs
  current = begin()
  average = jax.tree.map(np.float64, trained(current))
  assert_equal(averaged(current), trained(current))
  current, seen = advance(current, train_step, 0, 20)
  kept = []
  for t, new in enumerate(seen):
    kept.append(min(DECAY, (1 + t) / (10 + t)))
    average = jax.tree.map(
      lambda old, x, d=kept[-1]: d * old + (1 - d) * np.float64(x),
      average,
      new,
    )
  # Both branches of the minimum were taken.
  assert kept[0] == 0.1
  assert kept[-1] == DECAY
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-6),
    averaged(current),
    average,
  )
  assert_equal(current.eval_variables["etf"], current.etf)
  # The raw ones are elsewhere by then.
  kernel = current.params["backbone"]["Dense_0"]["kernel"]
  shown = current.eval_variables["params"]["backbone"]["Dense_0"]["kernel"]
  assert np.abs(kernel - shown).max() > 1e-3
  assert_equal(current.variables["params"], current.params)


def test_without_an_average_there_is_no_place_for_one(programs):
  begin, train_step = programs
  plain, plain_step = built(0.0)
  names = {
    jax.tree_util.keystr(path[:1])
    for path, _ in jax.tree_util.tree_leaves_with_path(plain)
  }
  assert names == {".step", ".params", ".batch_stats", ".etf", ".opt_state"}
  plain, _ = advance(plain, plain_step, 0, 4)
  assert_equal(averaged(plain), trained(plain))
  # And it trains as with one, to the bit.
  current, _ = advance(begin(), train_step, 0, 4)
  assert_equal(trained(current), trained(plain))


def test_a_resumed_run_has_the_same_average(tmp_path, programs):
  begin, train_step = programs
  straight, _ = advance(begin(), train_step, 0, 9)
  config = tiny_runs.config("", "etf_dr").checkpoint
  current, _ = advance(begin(), train_step, 0, 5)
  saved = manager.Checkpoints(tmp_path, config)
  saved.save(current, 5)
  saved.close()
  again = manager.Checkpoints(tmp_path, config)
  resumed, step = again.restore(begin())
  assert step == 5
  again.close()
  resumed, _ = advance(resumed, train_step, 5, 9)
  assert_equal(jax.device_get(resumed), jax.device_get(straight))


def test_another_model_restarts_the_average(programs):
  begin, train_step = programs
  trained_one, _ = advance(begin(), train_step, 0, 3)
  current = begin().begin_from(trained_one.params, trained_one.batch_stats)
  assert_equal(averaged(current), trained(trained_one))
  assert_equal(trained(current), trained(trained_one))
  # It can be donated: no array is in it twice.
  advance(current, train_step, 0, 1)


def test_what_stands_still_is_its_own_average(programs):
  begin, _ = programs
  current, third = begin(), jnp.float32(1 / 3)
  frozen = jax.tree.map(lambda x: jnp.full_like(x, third), current.params)
  current = current.begin_from(frozen, current.batch_stats)
  for t in range(4):
    current = current.replace(step=jnp.int32(5 * t))
    current = current.average(frozen, current.batch_stats, 0.7)
  assert_equal(jax.device_get(current.ema["params"]), jax.device_get(frozen))
