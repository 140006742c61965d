# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Temperatures against closed forms and a solver of another kind."""

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from etf_jax.evaluation import calibration, metrics


def test_two_classes_have_a_closed_form():
  # The margin is 2 in every image and 3 of 4 are right, so that the logistic
  # function of 2 / T is 3/4.
  logits = np.array([[2.0, 0.0]] * 4)
  labels = np.array([0, 0, 0, 1])
  found = calibration.fit_temperature(logits, labels)
  assert found == pytest.approx(2 / np.log(3), rel=1e-5)
  # The entropy of 3/4 and 1/4, in nats.
  assert calibration.negative_log_likelihood(
    logits, labels, found
  ) == pytest.approx(-0.75 * np.log(0.75) - 0.25 * np.log(0.25), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_the_calibration_error_is_that_of_the_evaluation(temperature):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(500, 4)).astype(np.float32)
  labels = rng.integers(0, 4, 500)
  confidence = calibration.confidences(logits, temperature)
  found = calibration.expected_calibration_error(
    confidence, np.argmax(logits, axis=1) == labels
  )
  sums = metrics.update(
    metrics.zeros(4),
    jnp.asarray(logits / np.float32(temperature)),
    jnp.asarray(labels),
    where=jnp.ones(500, bool),
  )
  row = metrics.compute(jax.device_get(sums), np.ones(4))
  assert found == pytest.approx(row["ece"], rel=1e-5)


def test_the_calibration_error_by_hand():
  # Bins (1/15, 2/15] and (14/15, 1]: off by |.1 + .12 - 1| and |1 - 1|.
  found = calibration.expected_calibration_error(
    np.array([0.1, 0.12, 1.0]), np.array([True, False, True])
  )
  assert found == pytest.approx(0.78 / 3)


def test_the_likelihood_is_that_of_the_softmax():
  rng = np.random.default_rng(0)
  logits, labels = rng.normal(size=(20, 5)), rng.integers(0, 5, 20)
  probabilities = special.softmax(logits / 0.3, axis=1)
  expected = -np.mean(np.log(probabilities[np.arange(20), labels]))
  assert calibration.negative_log_likelihood(
    logits, labels, 0.3
  ) == pytest.approx(expected, rel=1e-12)
  # Logits that would overflow are none here.
  assert calibration.negative_log_likelihood([[1e5, 0]], [1]) == 1e5


@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 100))
def test_the_slope_is_zero_at_the_temperature(seed, scale):
  rng = np.random.default_rng(seed)
  labels = rng.integers(0, 6, 200)
  logits = rng.normal(size=(200, 6)) + 1.5 * np.eye(6)[labels]
  found = calibration.fit_temperature(scale * logits, labels)

  def slope(inverse):
    """Differentiate by 1 / T: the mean logit minus that of the label."""
    probabilities = special.softmax(inverse * logits, axis=1)
    own = logits[np.arange(200), labels]
    return np.mean(np.sum(probabilities * logits, axis=1) - own)

  inverse = optimize.brentq(slope, 1e-3, 1e3, xtol=1e-12)
  assert found == pytest.approx(scale / inverse, rel=1e-4)


def test_cosines_of_drawn_labels_give_their_temperature():
  rng = np.random.default_rng(1)
  cosines = rng.uniform(-1, 1, (50_000, 10))
  chances = special.softmax(cosines / 0.05, axis=1)
  labels = np.argmax(rng.gumbel(size=cosines.shape) + np.log(chances), axis=1)
  # One standard error is .0004 here.
  assert calibration.fit_temperature(cosines, labels) == pytest.approx(
    0.05, abs=0.0015
  )


@pytest.mark.parametrize(
  ("labels", "why"),
  [([0, 1], "all of them are classified rightly"), ([1, 0], "tell nothing")],
)
def test_no_temperature_is_an_error(labels, why):
  with pytest.raises(ValueError, match=why):
    calibration.fit_temperature(np.eye(2), np.array(labels))


def test_a_temperature_is_judged_on_images_it_was_not_fitted_to():
  # By hand: folds of one image. Three margins of 2 are right and one is wrong.
  logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
  labels = np.array([0, 0, 0, 0])
  before, after = calibration.held_out_likelihoods(logits, labels, folds=4)
  right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
  assert before == pytest.approx((3 * right + wrong) / 4)
  # The others of a right one are 2 right of 3: the margin is log 2. The others
  # of the wrong one are all right, so no temperature fits, and 1 stays.
  assert after == pytest.approx((3 * np.log(1.5) + wrong) / 4)


def test_a_temperature_helps_logits_of_the_wrong_scale_only():
  # Labels drawn from the softmax itself: on average no temperature beats 1 on
  # other images.
  gains = []
  for seed in range(30):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(60, 4))
    chances = special.softmax(logits, axis=1)
    labels = np.array([rng.choice(4, p=p) for p in chances])
    for scale in (0.05, 1.0):
      before, after = calibration.held_out_likelihoods(logits * scale, labels)
      gains.append(before - after)
  assert min(gains[::2]) > 0.1
  assert -0.05 < np.mean(gains[1::2]) < 0
