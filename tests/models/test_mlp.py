# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Backbones of features against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.models import MLP, mlp

FEATURES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def test_identity_normalizes_by_the_statistics_it_is_given():
  model = MLP(depth=0)
  variables = model.init(jax.random.key(0), FEATURES)
  np.testing.assert_array_equal(model.apply(variables, FEATURES), FEATURES)
  mean, std = np.arange(4.0), np.array([1, 2, 0, 4.0])
  whole = mlp.with_statistics(
    {"backbone": variables["batch_stats"], "head": {}}, mean, std
  )
  found = model.apply({"batch_stats": whole["backbone"]}, FEATURES)
  # A constant feature is divided by 1.
  expected = (FEATURES - mean) / np.array([1, 2, 1, 4.0])
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  assert whole["head"] == {}


def test_statistics_of_other_backbones_stay():
  assert mlp.with_statistics({"backbone": {"x": 1}}, [0.0], [1.0]) == {
    "backbone": {"x": 1}
  }


def test_hidden_layers():
  model = MLP(width=3, depth=2, normalize=False)
  variables = model.init(jax.random.key(0), FEATURES.reshape(6, 1, 1, 4))
  params = variables["params"]
  expected = FEATURES
  for name in ("hidden0", "hidden1"):
    layer = params[name]
    expected = np.maximum(expected @ layer["kernel"] + layer["bias"][None], 0)
  np.testing.assert_allclose(
    model.apply(variables, FEATURES), expected, rtol=1e-5, atol=1e-6
  )


@pytest.mark.slow
def test_dropout_is_for_training_only():
  model = MLP(width=400, dropout=0.25)
  variables = model.init(jax.random.key(0), FEATURES)
  whole = model.apply(variables, FEATURES)
  dropped = model.apply(
    variables, FEATURES, train=True, rngs={"dropout": jax.random.key(1)}
  )
  active = whole > 0
  share = jnp.mean(dropped[active] == 0)
  assert share == pytest.approx(0.25, abs=0.03)
  kept = active & (dropped != 0)
  np.testing.assert_allclose(dropped[kept], whole[kept] / 0.75, rtol=1e-5)


@pytest.mark.parametrize(
  "wrong", [{"width": 0}, {"depth": -1}, {"dropout": 1.0}]
)
def test_fields_out_of_range(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    MLP(**wrong)
