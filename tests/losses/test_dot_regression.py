# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Dot regression: values, gradients, invariants and cost."""

import re

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import etf, losses, simplex_etf

BATCH, DIM, CLASSES = 24, 7, 5
PROTOTYPES = simplex_etf(jax.random.key(0), DIM, CLASSES)
SEEDS = st.integers(0, 2**31 - 1)


def batch(seed, unit=True):
  """Random features, and labels that leave out some classes at times."""
  rng = np.random.default_rng(seed)
  features = rng.standard_normal((BATCH, DIM)).astype(np.float32)
  if unit:
    features /= np.linalg.norm(features, axis=1, keepdims=True)
  else:
    features *= rng.uniform(0.1, 10, (BATCH, 1)).astype(np.float32)
  labels = rng.integers(0, rng.integers(1, CLASSES + 1), BATCH)
  return features, labels.astype(np.int32)


@jax.jit
def published(features, labels):
  """The mean loss with the options of the authors' code."""
  return losses.dot_regression_with_integer_labels(
    features,
    labels,
    PROTOTYPES,
    class_lengths=etf.batch_class_lengths(labels, CLASSES),
    feature_length=None,
    scaling="class_balanced",
  ).mean()


def close(actual, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def test_values_by_hand():
  w = jnp.array([3.0, 4.0])  # sqrt(E_W) = 5
  h = jnp.array([1.0, 2.0])  # w.h = 11
  # (11 - 5 * 2)^2 / (2 * 5 * 2), and 5 times that.
  paper = losses.dot_regression(h, w, feature_length=2.0)
  assert float(paper) == pytest.approx(1 / 20)
  balanced = losses.dot_regression(
    h, w, feature_length=2.0, scaling="class_balanced"
  )
  assert float(balanced) == pytest.approx(1 / 4)
  # |h| = sqrt(5): (11 - 5 sqrt 5)^2 / (2 * 5 sqrt 5)
  own = losses.dot_regression(h, w, feature_length=None)
  assert float(own) == pytest.approx((11 - 5 * 5**0.5) ** 2 / (10 * 5**0.5))


def test_a_length_for_every_example():
  features, _ = batch(0)
  targets = jnp.asarray(np.roll(features, 1, axis=0))
  goals = np.linspace(0.5, 3, BATCH).astype(np.float32)
  together = losses.dot_regression(features, targets, feature_length=goals)
  for i, goal in enumerate(goals):
    one = losses.dot_regression(
      features[i], targets[i], feature_length=float(goal)
    )
    close(together[i], one)


def test_labels_choose_columns_and_lengths():
  features, labels = batch(1)
  lengths = jnp.array([0.5, 0.8, 1.0, 1.5, 2.0])
  targets = (np.asarray(PROTOTYPES) * np.asarray(lengths)).T[labels]
  for scaling in ("paper", "class_balanced"):
    close(
      losses.dot_regression_with_integer_labels(
        features, labels, PROTOTYPES, class_lengths=lengths, scaling=scaling
      ),
      losses.dot_regression(features, targets, scaling=scaling),
    )


def test_lengths_of_prototypes_are_measured():
  features, labels = batch(1)
  close(
    losses.dot_regression_with_integer_labels(features, labels, 3 * PROTOTYPES),
    losses.dot_regression_with_integer_labels(
      features, labels, PROTOTYPES, class_lengths=jnp.full(CLASSES, 3.0)
    ),
  )


@given(SEEDS)
def test_gradient_of_the_paper(seed):
  features, labels = batch(seed, unit=False)
  lengths = jnp.array([0.5, 0.8, 1.0, 1.5, 2.0])
  goal = 1.7

  def total(features):
    return losses.dot_regression_with_integer_labels(
      features, labels, PROTOTYPES, class_lengths=lengths, feature_length=goal
    ).sum()

  w = (np.asarray(PROTOTYPES) * np.asarray(lengths)).T[labels]
  norm = np.linalg.norm(features, axis=1)
  cosine = (w * features).sum(1) / norm / np.linalg.norm(w, axis=1)
  expected = -(1 - norm / goal * cosine)[:, None] * w
  close(jax.grad(total)(features), expected, rtol=2e-5, atol=1e-5)


@given(SEEDS)
def test_gradient_of_the_published_code_for_any_length(seed):
  features, labels = batch(seed, unit=False)
  lengths = np.asarray(etf.batch_class_lengths(labels, CLASSES))[labels]
  m = np.asarray(PROTOTYPES).T[labels]
  cosine = (m * features).sum(1) / np.linalg.norm(features, axis=1)
  expected = -(lengths**2 * (1 - cosine))[:, None] * m / BATCH
  gradient = np.asarray(jax.grad(published)(features, labels))
  close(gradient, expected, atol=1e-6)
  # Parallel to the prototype: nothing is left after its part is taken out.
  along = (gradient * m).sum(1, keepdims=True) * m
  close(gradient - along, np.zeros_like(m))


@given(SEEDS)
def test_published_code_written_out(seed):
  features, labels = batch(seed, unit=False)
  present = np.unique(labels)
  total = 0.0
  for h, y in zip(features.astype(np.float64), labels, strict=True):
    n = (labels == y).sum()
    target = np.sqrt(BATCH / len(present) / n) * np.float64(PROTOTYPES[:, y])
    length = max(np.linalg.norm(h), 1e-8)
    goal = np.linalg.norm(target) * length
    total += (h @ target - goal) ** 2 / (2 * length)
  close(published(features, labels), total / BATCH)


@given(SEEDS)
def test_unit_features_give_the_mean_of_class_means(seed):
  features, labels = batch(seed)
  m = np.asarray(PROTOTYPES).T[labels]
  each = (1 - (m * features).sum(1)) ** 2 / 2
  class_means = [each[labels == k].mean() for k in np.unique(labels)]
  close(published(features, labels), np.mean(class_means))


@given(SEEDS)
def test_repeating_the_batch_or_a_class_changes_nothing(seed):
  features, labels = batch(seed)
  loss = published(features, labels)
  twice = published(np.tile(features, (2, 1)), np.tile(labels, 2))
  close(twice, loss)
  # A mask keeps the shape, and with it the compiled program.
  again = labels == labels[0]
  where = np.concatenate([np.ones(BATCH, bool), again])
  close(
    _masked_mean(np.tile(features, (2, 1)), np.tile(labels, 2), where), loss
  )


@jax.jit
def _masked_mean(features, labels, where):
  loss = losses.dot_regression_with_integer_labels(
    features,
    labels,
    PROTOTYPES,
    class_lengths=etf.batch_class_lengths(labels, CLASSES, where=where),
    feature_length=None,
    scaling="class_balanced",
    where=where,
  )
  return loss.sum() / where.sum().astype(loss.dtype)


@given(SEEDS)
def test_rotation_order_and_names_change_nothing(seed):
  features, labels = batch(seed, unit=False)
  rng = np.random.default_rng(seed)
  rotation, _ = np.linalg.qr(rng.standard_normal((DIM, DIM)))
  rotation = rotation.astype(np.float32)
  names = rng.permutation(CLASSES)
  order = rng.permutation(BATCH)
  loss = losses.dot_regression_with_integer_labels(
    features, labels, PROTOTYPES, feature_length=1.5
  )
  changed = losses.dot_regression_with_integer_labels(
    (features @ rotation.T)[order],
    names[labels][order],
    (rotation @ np.asarray(PROTOTYPES))[:, np.argsort(names)],
    feature_length=1.5,
  )
  close(changed, loss[order], rtol=1e-4, atol=1e-4)


def test_theorem_2_ratio():
  # One step of DR at gamma = sqrt(E_H / E_W), which does not depend on h.
  energy_w, energy_h = 4.0, 9.0
  w = jnp.array([energy_w**0.5, 0.0])
  best = jnp.array([energy_h**0.5, 0.0])
  for angle, eta in [
    (0.1, 0.997502),
    (0.5, 0.938791),
    (1.0, 0.770151),
    (1.5, 0.535369),
  ]:
    h = energy_h**0.5 * jnp.array([np.cos(angle), np.sin(angle)])
    gradient = jax.grad(losses.dot_regression)(
      h, w, feature_length=energy_h**0.5
    )
    after = h - (energy_h / energy_w) ** 0.5 * gradient - best
    ratio = jnp.sum(after**2) / jnp.sum((h - best) ** 2)
    assert float(ratio) == pytest.approx(eta, abs=2e-6)


def test_no_gradient_through_the_detached_length():
  h, w = jnp.array([3.0, 4.0]), jnp.array([0.6, 0.8])
  # Along its target the loss is at its minimum whatever its length.
  assert float(losses.dot_regression(h, w, feature_length=None)) == 0
  gradient = jax.grad(losses.dot_regression)(h, w, feature_length=None)
  close(gradient, [0, 0])


def test_zero_feature_is_pulled_with_full_force():
  w = jnp.array([0.6, 0.8])
  gradient = jax.grad(losses.dot_regression)(
    jnp.zeros(2), w, feature_length=None
  )
  close(gradient, -w)


@pytest.mark.parametrize("gradient", [False, True])
def test_logits_are_never_built(gradient):
  features, labels = batch(0)

  def loss(features, labels, prototypes):
    return losses.dot_regression_with_integer_labels(
      features,
      labels,
      prototypes,
      class_lengths=etf.batch_class_lengths(labels, CLASSES),
    ).mean()

  function = jax.value_and_grad(loss) if gradient else loss
  arguments = (features, labels, PROTOTYPES)
  jaxpr = str(jax.make_jaxpr(function)(*arguments))
  hlo = jax.jit(function).lower(*arguments).compile().as_text()
  for text in (jaxpr, hlo):
    assert re.search(rf"\[{BATCH},{DIM}\]", text)
    assert not re.search(rf"\[{BATCH},{CLASSES}\]", text)
    assert not re.search(rf"\[{CLASSES},{BATCH}\]", text)


@pytest.mark.slow
def test_prototypes_can_be_learned():
  features, labels = batch(0)

  def loss(prototypes):
    return losses.dot_regression_with_integer_labels(
      features, labels, prototypes
    ).sum()

  gradient = jax.grad(loss)(PROTOTYPES)
  with jax.enable_x64(True):
    step = 1e-6
    wide = jnp.asarray(PROTOTYPES, jnp.float64)
    up, down = (loss(wide.at[2, 1].add(s)) for s in (step, -step))
    assert float(gradient[2, 1]) == pytest.approx(
      float(up - down) / (2 * step), rel=1e-4
    )


def test_feature_length_penalty_and_its_gradient():
  h = jnp.array([[3.0, 4.0], [0.0, 0.0]])
  close(losses.feature_length_penalty(h), [5, 0])
  gradient = jax.grad(lambda h: losses.feature_length_penalty(h).sum())(h)
  close(gradient, [[0.6, 0.8], [0, 0]])


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"targets": jnp.ones(3)}, r"targets must have the features' shape \(2,\)"),
    ({"scaling": "code"}, "scaling must be one of .*paper.*got 'code'"),
    ({"feature_length": 0.0}, "feature_length must be finite and positive"),
    ({"feature_length": np.nan}, "feature_length must be finite and positive"),
    ({"feature_length": jnp.ones(2)}, "feature_length must be a scalar or"),
    ({"features": jnp.float32(1)}, r"shape \[\.\.\., feature_dim\]"),
  ],
)
def test_wrong_input(changes, message):
  arguments = {"features": jnp.ones(2), "targets": jnp.ones(2)} | changes
  with pytest.raises(ValueError, match=message):
    losses.dot_regression(**arguments)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"prototypes": jnp.ones((3, 4))},
      r"feature_dim 2, got float32 .*\(3, 4\)",
    ),
    ({"prototypes": jnp.ones(2)}, "prototypes must be floating with shape"),
    ({"class_lengths": jnp.ones(2)}, r"class_lengths must have shape \(4,\)"),
    ({"class_lengths": jnp.zeros(4)}, "class_lengths must be finite and pos"),
  ],
)
def test_wrong_prototypes_and_lengths(changes, message):
  arguments = {"prototypes": jnp.ones((2, 4))} | changes
  with pytest.raises(ValueError, match=message):
    losses.dot_regression_with_integer_labels(
      jnp.ones((3, 2)), jnp.zeros(3, int), **arguments
    )
