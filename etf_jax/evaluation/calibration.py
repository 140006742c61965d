# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: one number that calibrates confidences.

temperature = calibration.fit_temperature(logits, labels)    # held-out images
before, after = calibration.held_out_likelihoods(logits, labels)  # worth it?
probabilities = softmax(test_logits / temperature)

Guo et al. 2017 (arXiv:1706.04599), section 4.2. The logits of a fixed frame
are cosines in [-1, 1], whose softmax over K classes hardly leaves 1 / K; and
no loss of theirs, as dot regression, asks for more. The order of the classes
does not depend on the temperature.
"""

import numpy as np
from scipy import optimize, special

from etf_jax.evaluation import metrics

# Bounds of the search, in mean distances of the highest to the lowest logit.
_RANGE = (1e-4, 1e4)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
  """Return the unique temperature of least negative log-likelihood.

  Args:
    logits: floats `[N, K]`.
    labels: `[N]` integers in 0..K-1; the mean is over images, so it is for
      data with their shares of the classes.

  Returns:
    A number > 0.

  Raises:
    ValueError: there is none, since the likelihood grows without end as the
      temperature falls (every image is right) or rises (the logits say less
      than nothing).
  """
  logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
  label_logits = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
  if np.all(label_logits == np.max(logits, axis=1)):
    raise _none(labels, "all of them are classified rightly")
  if np.mean(label_logits) <= np.mean(
    logits
  ):  # the slope where 1 / temperature is 0
    raise _none(labels, "the logits tell nothing of their classes")
  unit = np.mean(np.ptp(logits, axis=1))
  found = optimize.minimize_scalar(
    lambda x: negative_log_likelihood(logits, labels, unit * np.exp(x)),
    bounds=np.log(_RANGE),
    method="bounded",
    options={"xatol": 1e-6},
  )
  return float(unit * np.exp(found.x))


def held_out_likelihoods(
  logits: np.ndarray, labels: np.ndarray, folds: int = 5
) -> tuple[float, float]:
  """Return the likelihoods that tell whether a temperature helps.

  Each fold is scaled by the temperature that is fitted to the others; by 1
  where none fits them. Images are dealt to the folds class by class.

  Args:
    logits: floats `[N, K]`, N > 1.
    labels: `[N]` integers in 0..K-1.
    folds: parts of the images, at most N of which are made.

  Returns:
    The mean negative log-likelihood at temperature 1, and that of the folds.
  """
  order = np.argsort(labels, kind="stable")
  fold = np.empty(len(labels), int)
  fold[order] = np.arange(len(labels)) % min(folds, len(labels))
  losses = np.empty(len(labels))
  for number in range(fold.max() + 1):
    inside = fold == number
    try:
      temperature = fit_temperature(logits[~inside], labels[~inside])
    except ValueError:
      temperature = 1.0
    losses[inside] = negative_log_likelihoods(
      logits[inside], labels[inside], temperature
    )
  return negative_log_likelihood(logits, labels), float(np.mean(losses))


def _none(labels: np.ndarray, why: str) -> ValueError:
  return ValueError(
    f"no temperature fits these {len(labels)} images, since {why}; give more of"
    " them, or leave the probabilities as they are"
  )


def confidences(logits: np.ndarray, temperature: float) -> np.ndarray:
  """Return the probability of each image's most probable class.

  Args:
    logits: floats `[N, K]`.
    temperature: > 0.

  Returns:
    `[N]`, in [1 / K, 1].
  """
  scaled = logits / logits.dtype.type(temperature)
  return np.exp(np.max(scaled, axis=1) - special.logsumexp(scaled, axis=1))


def expected_calibration_error(
  confidence: np.ndarray, correct: np.ndarray
) -> float:
  """Return the mean distance of confidence and accuracy over bins of images.

  The bins of `metrics.compute`, and in float64.

  Args:
    confidence: `[N]`, in (0, 1].
    correct: `[N]` booleans.
  """
  bins = np.clip(np.ceil(confidence * metrics.BINS) - 1, 0, None).astype(int)
  gaps = np.bincount(bins, np.asarray(correct) - np.float64(confidence))
  return float(np.sum(np.abs(gaps)) / len(bins))


def negative_log_likelihood(
  logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
  """Return the mean of `negative_log_likelihoods`."""
  return float(np.mean(negative_log_likelihoods(logits, labels, temperature)))


def negative_log_likelihoods(
  logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> np.ndarray:
  """Return -log softmax(logits / temperature) [label] of each image, in nats.

  Args:
    logits: floats `[N, K]`; computed in float64.
    labels: `[N]` integers in 0..K-1.
    temperature: > 0.
  """
  scaled = np.asarray(logits, np.float64) / temperature
  label_logits = np.take_along_axis(
    scaled, np.asarray(labels)[:, None], axis=1
  )[:, 0]
  return special.logsumexp(scaled, axis=1) - label_logits
