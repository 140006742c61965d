# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Losses on logits, class weights and mixup."""

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references

from etf_jax import losses

COUNTS = np.array([500, 100, 20, 4, 1])
SEEDS = st.integers(0, 2**31 - 1)
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


def batch(seed, scale=3.0):
  rng = np.random.default_rng(seed)
  logits = scale * rng.standard_normal((16, len(COUNTS)))
  return logits.astype(np.float32), rng.integers(0, 5, 16).astype(np.int32)


def close(actual, expected, rtol=1e-5, atol=1e-6):
  np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def test_ldam_margins():
  # A margin m is the log-odds that it costs: with equal logits and scale 1
  # the loss is log(1 + exp(m)). 0.5 for the smallest class, 0.5 (1/16)^(1/4)
  # for one of 16 times its size.
  loss = losses.ldam(
    np.zeros((2, 2), np.float32),
    np.array([0, 1]),
    class_counts=[160, 10],
    scale=1.0,
  )
  close(loss, np.log1p(np.exp([0.25, 0.5])))


def test_ldam_without_margin_is_scaled_cross_entropy():
  logits, labels = batch(0)
  loss = losses.ldam(logits, labels, class_counts=COUNTS, max_margin=0.0)
  close(loss, CROSS_ENTROPY(30 * logits, labels))


def test_logit_adjustment_by_hand():
  logits, labels = np.zeros((2, 2), np.float32), np.array([0, 1])
  loss = losses.logit_adjusted(logits, labels, class_counts=[3, 1])
  close(loss, np.log([4 / 3, 4]))
  twice = losses.logit_adjusted(
    logits, labels, class_counts=[3, 1], temperature=2.0
  )
  close(twice, np.log([10 / 9, 10]))


def test_logit_adjustment_at_zero_is_cross_entropy():
  logits, labels = batch(0)
  loss = losses.logit_adjusted(
    logits, labels, class_counts=COUNTS, temperature=0.0
  )
  np.testing.assert_array_equal(loss, CROSS_ENTROPY(logits, labels))


def test_balanced_softmax_is_logit_adjustment():
  logits, labels = batch(0)
  np.testing.assert_array_equal(
    losses.balanced_softmax(logits, labels, class_counts=COUNTS),
    losses.logit_adjusted(logits, labels, class_counts=COUNTS),
  )


@pytest.mark.slow
@given(SEEDS, st.floats(0, 3))
def test_adjusting_undoes_the_adjustment_of_the_loss(seed, temperature):
  logits, labels = batch(seed)
  options = {"class_counts": COUNTS, "temperature": temperature}
  adjusted = losses.adjust_logits(logits, **options)
  loss = losses.logit_adjusted(adjusted, labels, **options)
  close(loss, CROSS_ENTROPY(logits, labels), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@given(SEEDS)
def test_only_the_proportions_of_counts_matter(seed):
  logits, labels = batch(seed)
  for loss in (losses.ldam, losses.logit_adjusted):
    close(
      loss(logits, labels, class_counts=COUNTS),
      loss(logits, labels, class_counts=COUNTS * 0.25),
      rtol=1e-4,
      atol=1e-4,
    )


@pytest.mark.slow
@given(SEEDS)
def test_names_of_classes_and_order_do_not_matter(seed):
  logits, labels = batch(seed)
  rng = np.random.default_rng(seed)
  names, order = rng.permutation(5), rng.permutation(16)
  back = np.argsort(names)
  renamed = (logits[order][:, back], names[labels][order])
  for loss in (losses.ldam, losses.logit_adjusted):
    close(
      loss(*renamed, class_counts=COUNTS[back]),
      loss(logits, labels, class_counts=COUNTS)[order],
      rtol=1e-4,
      atol=1e-4,
    )
  close(losses.focal(*renamed), losses.focal(logits, labels)[order], rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_adjusting_to_counts_by_hand(temperature):
  logits, _ = batch(4)
  targets = COUNTS[::-1]
  shift = np.log(targets / targets.sum()) - np.log(COUNTS / COUNTS.sum())
  adjusted = losses.adjust_logits(
    logits,
    class_counts=COUNTS,
    temperature=temperature,
    target_counts=targets.copy(),
  )
  close(adjusted, logits + temperature * shift, rtol=1e-4, atol=1e-4)
  # Where the model was trained nothing changes.
  same = losses.adjust_logits(logits, class_counts=COUNTS, target_counts=COUNTS)
  close(same, logits, atol=1e-5)


@pytest.mark.slow
@given(SEEDS, st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 1.0]))
def test_vector_scaling_is_cross_entropy_of_changed_logits(seed, gamma, tau):
  logits, labels = batch(seed)
  changed = np.float64(logits) * (COUNTS / COUNTS.max()) ** gamma
  changed += tau * np.log(COUNTS / COUNTS.sum())
  expected = [
    references.cross_entropy(*row) for row in zip(changed, labels, strict=True)
  ]
  arguments = {"class_counts": COUNTS, "temperature": tau}
  loss = losses.vector_scaling(logits, labels, gamma=gamma, **arguments)
  close(loss, expected, rtol=2e-5, atol=2e-6)
  if not gamma:
    close(loss, losses.logit_adjusted(logits, labels, **arguments))


def test_focal_with_weights_of_the_classes():
  logits, labels = batch(5)
  alpha = np.array([0.2, 0.5, 1.0, 2.0, 4.0], np.float32)
  plain = losses.focal(logits, labels)
  close(losses.focal(logits, labels, alpha=alpha), alpha[labels] * plain)
  close(losses.focal(logits, labels, alpha=0.25), 0.25 * plain)
  with pytest.raises(ValueError, match=r"alpha must have shape \(\) or \(5,\)"):
    losses.focal(logits, labels, alpha=alpha[:3])


@pytest.mark.slow
def test_a_mask_broadcasts():
  logits, labels = batch(6)
  logits, labels = logits.reshape(2, 8, 5), labels.reshape(2, 8)
  whole = np.tile(np.arange(8) < 5, (2, 1))
  expected = losses.focal(logits, labels, where=whole)
  for where in (whole[0], whole[:1]):
    close(losses.focal(logits, labels, where=where), expected)
  assert not np.any(losses.focal(logits, labels, where=np.array(False)))


def test_focal_by_hand_and_at_zero():
  # p = 1/4 of four equal classes: (3/4)^2 log 4.
  loss = losses.focal(np.zeros(4, np.float32), 1)
  close(loss, 9 / 16 * np.log(4))
  logits, labels = batch(0)
  close(losses.focal(logits, labels, gamma=0.0), CROSS_ENTROPY(logits, labels))


@pytest.mark.parametrize("lead", [-80.0, -20.0, 0.0, 20.0, 40.0])
def test_focal_keeps_its_digits_at_both_ends(lead):
  # Two classes; 1 - p = 1 / (1 + e^lead) is far below float32's resolution
  # of p = 1.
  z = np.array([lead, 0.0])
  miss = 1 / (1 + np.exp(lead))
  expected = miss**2 * np.log1p(np.exp(-lead))
  loss = losses.focal(z.astype(np.float32), 0)
  close(loss, expected, rtol=2e-5, atol=1e-38)


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_gradient(gamma):
  with jax.enable_x64(True):
    logits, labels = batch(3)
    logits = logits.astype(np.float64)

    def total(logits):
      return losses.focal(logits, labels, gamma=gamma).sum()

    gradient = jax.grad(total)(jnp.asarray(logits))
    step = 1e-6
    for i, k in [(0, 0), (1, 3), (2, int(labels[2])), (5, 4)]:
      moved = logits[i] + step * np.eye(5)[k], logits[i] - step * np.eye(5)[k]
      up, down = (references.focal(z, labels[i], gamma) for z in moved)
      close(gradient[i, k], (up - down) / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_focal_gradient_is_finite_where_it_is_certain():
  gradient = jax.grad(lambda z: losses.focal(z, 0, gamma=0.5))(
    jnp.array([200.0, 0.0])
  )
  close(gradient, [0, 0])


def test_class_balanced_weights_by_hand():
  # Effective numbers 1.5 and 1 at beta = 1/2, so 2/3 : 1, with sum 2.
  close(losses.class_balanced_weights([2, 1], beta=0.5), [0.8, 1.2])


@given(st.floats(0, 0.99999))
def test_class_balanced_weights_in_float64(beta):
  alpha = (1 - beta) / (1 - beta ** COUNTS.astype(np.float64))
  expected = 5 * alpha / alpha.sum()
  close(losses.class_balanced_weights(COUNTS, beta=beta), expected, rtol=2e-5)


def test_class_balanced_weights_between_their_limits():
  np.testing.assert_array_equal(
    losses.class_balanced_weights(COUNTS, beta=0.0), np.ones(5)
  )
  inverse = np.asarray(losses.inverse_frequency_weights(COUNTS))
  close(
    losses.class_balanced_weights(COUNTS, beta=1 - 1e-9),
    5 * inverse / inverse.sum(),
  )


def test_inverse_frequency_weights():
  weights = losses.inverse_frequency_weights(COUNTS)
  close(weights, 1 / (5 * COUNTS))
  assert float(np.sum(np.asarray(weights) * COUNTS)) == pytest.approx(1)


def test_weights_honour_dtypes():
  with jax.enable_x64(True):
    for function in (
      losses.inverse_frequency_weights,
      lambda counts: losses.class_balanced_weights(counts, beta=0.9),
    ):
      assert function(COUNTS).dtype == jnp.float64
      assert function(COUNTS.astype(np.float32)).dtype == jnp.float32
  half = jnp.asarray(COUNTS, jnp.bfloat16)
  assert losses.inverse_frequency_weights(half).dtype == jnp.float32


def test_deferred_weights_switch_under_jit():
  weights = jnp.array([0.5, 1.5])
  schedule = jax.jit(
    lambda step: losses.deferred_weights(weights, step=step, start=160)
  )
  np.testing.assert_array_equal(schedule(159), [1, 1])
  np.testing.assert_array_equal(schedule(160), [0.5, 1.5])
  np.testing.assert_array_equal(schedule(200), [0.5, 1.5])


@pytest.mark.slow
@given(SEEDS, st.floats(0, 1))
def test_mixup_mixes(seed, lam):
  logits, labels = batch(seed)
  partners = labels[::-1]
  mixed = losses.mixup(
    lambda y: losses.focal(logits, y), labels, partners, np.float32(lam)
  )
  close(
    mixed,
    lam * losses.focal(logits, labels)
    + (1 - lam) * losses.focal(logits, partners),
  )


def test_mixup_at_one_is_no_mixup():
  logits, labels = batch(0)
  mixed = losses.mixup(
    lambda y: losses.focal(logits, y), labels, labels[::-1], 1.0
  )
  np.testing.assert_array_equal(mixed, losses.focal(logits, labels))


def test_mixup_takes_a_lambda_for_every_example():
  logits, labels = batch(0)
  lam = np.linspace(0, 1, 16).astype(np.float32)
  mixed = losses.mixup(
    lambda y: losses.focal(logits, y), labels, labels[::-1], lam
  )
  np.testing.assert_array_equal(mixed[0], losses.focal(logits, labels[::-1])[0])
  np.testing.assert_array_equal(mixed[-1], losses.focal(logits, labels)[-1])


def test_weighted_mean():
  values, weights = np.float32([1, 4, np.nan]), np.float32([0.5, 1, 2])
  where = np.array([True, True, False])
  mean = jax.jit(losses.weighted_mean)
  assert float(mean(values, weights, where)) == pytest.approx(3)
  assert float(mean(values, weights, where & False)) == 0
  assert np.isnan(mean(values[:2], -weights[:2]))
  with pytest.raises(ValueError, match=r"weights must lie in \[0, inf\)"):
    losses.weighted_mean(values[:2], -weights[:2])


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: losses.focal(*batch(0), gamma=-1.0), "gamma must lie in .* -1"),
    (
      lambda: losses.focal(np.zeros((2, 1), np.float32), np.zeros(2, int)),
      "at least two classes",
    ),
    (
      lambda: losses.ldam(*batch(0), class_counts=COUNTS, scale=0.0),
      "scale must be finite and positive, got 0",
    ),
    (
      lambda: losses.ldam(*batch(0), class_counts=COUNTS, max_margin=-0.5),
      "max_margin must lie in .* -0.5",
    ),
    (
      lambda: losses.class_balanced_weights(COUNTS, beta=1.0),
      r"beta must lie in \[0, 1\), got 1",
    ),
    (
      lambda: losses.deferred_weights(np.array([1, 2]), step=0, start=1),
      "weights must be floating, got int",
    ),
    (
      lambda: losses.mixup(abs, np.zeros(2, int), np.zeros(3, int), 0.5),
      r"labels_b must have the shape of labels_a \(2,\), got \(3,\)",
    ),
    (
      lambda: losses.mixup(abs, np.zeros(2, int), np.zeros(2, int), 1.5),
      r"lam must lie in \[0, 1\], got 1.5",
    ),
    (
      lambda: losses.mixup(abs, np.zeros(2, int), np.zeros(2, int), np.ones(3)),
      r"lam must be a scalar or have shape \(2,\), got \(3,\)",
    ),
  ],
)
def test_wrong_input(call, message):
  with pytest.raises(ValueError, match=message):
    call()
