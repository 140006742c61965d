# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The recipes' page: accuracies of the trainer, and frames that do not move."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.configs import digits_lt
from etf_jax.training import train as training

PAGE = pathlib.Path(__file__).parents[2] / "etf_jax" / "losses" / "RECIPES.md"
SETUP, *RECIPES = re.findall(
  r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL
)
NAMES = ("nnx", "equinox", "optax")
SEEDS = (0, 1, 2)


def run(recipe, seed, capsys):
  """Return the variables of a recipe and the accuracy that it prints."""
  names = {}
  code = SETUP.replace("seed = 0", f"seed = {seed}") + recipe
  # A reader's bias is added as NumPy adds it.
  with jax.numpy_rank_promotion("allow"):
    exec(compile(code, str(PAGE), "exec"), names)
  return names, float(capsys.readouterr().out.split()[-1])


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
  """Test accuracies of the trainer."""
  config = digits_lt.get_config()
  config.seeds = SEEDS
  config.model.name = "mlp"
  config.head.batch_norm = False
  config.augment.crop_padding = 0
  config.schedule.name = "constant"
  config.schedule.warmup_epochs = 0.0
  config.report.html = False
  results = training.train(config, tmp_path_factory.mktemp("trainer"))
  return [result.last["accuracy"] for result in results]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "recipe"), list(zip(NAMES, RECIPES, strict=True)), ids=NAMES
)
def test_recipes_agree_with_the_trainer(name, recipe, expected, capsys):
  if name == "equinox":
    pytest.importorskip("equinox")
  capsys.readouterr()
  accuracies = []
  for seed in SEEDS:
    names, accuracy = run(recipe, seed, capsys)
    np.testing.assert_array_equal(names["after"], names["before"])
    accuracies.append(accuracy)
  variance = np.var(accuracies, ddof=1) + np.var(expected, ddof=1)
  difference = abs(np.mean(accuracies) - np.mean(expected))
  assert difference <= 2 * np.sqrt(variance / len(SEEDS)), (
    accuracies,
    expected,
  )


def test_a_step_is_of_fifteen_lines_or_so():
  for recipe in RECIPES:
    code = [line for line in recipe.splitlines() if line.strip()]
    assert len(code) <= 30


@pytest.mark.slow
def test_stop_gradient_does_not_stop_weight_decay(capsys):
  recipe = (
    RECIPES[2]
    .replace(
      "state = optimizer.init",
      "params['w'] = prototypes\nstate = optimizer.init",
    )
    .replace("y, prototypes)", "y, jax.lax.stop_gradient(params['w']))")
  )
  names, _ = run(recipe, 0, capsys)
  lengths = jnp.linalg.norm(names["params"]["w"], axis=0)
  assert jax.numpy.all(jnp.abs(lengths - 0.955) < 0.005), lengths
