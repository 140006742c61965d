# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows of kind collapse, measured in NumPy on made-up class means."""

import numpy as np


def course(rng, counts, spread, minority, epochs):
  """Make arguments of `synthetic_runs.write_run`: on the way to an ETF, or not.

  Args:
    rng: the noise.
    counts: `[K]` training images.
    spread: of the features at the end.
    minority: how many of the last classes share a classifier vector.
    epochs: of the run.

  Returns:
    A function (split, epoch) -> row.
  """
  k = len(counts)
  frame = np.eye(k) - 1 / k
  noise = rng.normal(size=(2, k, k)) / k**0.5

  def row(split, epoch):
    done, test = 1 - np.exp(-4 * epoch / epochs), split == "test"
    classifier = done * frame + (1 - done) * noise[0]
    if minority:
      tail = classifier[-minority:]
      classifier[-minority:] = tail + 0.97 * done * (tail.mean(0) - tail)
    means = done * classifier + 0.4 * (1 - done + spread) * noise[1]
    means = means + (0.3 * spread + 0.05) * test * noise[1][::-1]
    return measure(
      means,
      classifier,
      spread + (1 - done) + 0.5 * test,
      np.full(k, 20) if test else np.asarray(counts),
      last=epoch == epochs,
    )

  return row


def measure(means, classifier, spread, images, last=False):
  """A row, less kind, split, step and epoch.

  Args:
    means: `[K, d]` class means.
    classifier: `[K, d]`.
    spread: standard deviation of the features around their mean.
    images: `[K]` of each class.
    last: adds the matrices of cosines.

  Returns:
    The row.
  """
  between, own = cosines(means - means.mean(0)), cosines(classifier)
  row = {
    "images": int(images.sum()),
    "absent_classes": [],
    **_around(means, classifier, spread, None),
    "sample_mean": _around(means, classifier, spread, images),
    "nearest_mean_agreement": float(np.exp(-spread / 4)),
    "numerical_rank": 1 + 8 * spread,
    "numerical_rank_centred": 20.0,
    "cos_own_centre": 1 / (1 + spread),
    "cos_other_centres": -0.05,
    "classifier_norms": np.linalg.norm(classifier, axis=1),
    "classifier_nearest": (own - 2 * np.eye(len(own))).max(1),
    "feature_nearest": (between - 2 * np.eye(len(own))).max(1),
  }
  if last:
    row |= {"classifier_cosines": own, "feature_cosines": between}
  return row


def cosines(a, b=None):
  """Cosines between rows."""
  a, b = (
    x / np.linalg.norm(x, axis=1, keepdims=True)
    for x in (a, a if b is None else b)
  )
  return a @ b.T


def _around(means, classifier, spread, weights):
  k = len(means)
  centred = means - np.average(means, axis=0, weights=weights)
  off = ~np.eye(k, dtype=bool)
  between, crossed = cosines(centred), cosines(centred, classifier)
  missed = np.abs(between - np.where(off, -1 / (k - 1), 1))
  lengths = np.linalg.norm(centred, axis=1)
  apart = centred / np.linalg.norm(centred)
  apart = apart - classifier / np.linalg.norm(classifier)
  squares = ((means[:, None] - means[None]) ** 2).sum(-1)
  singular = np.linalg.svd(centred, compute_uv=False)[: k - 1]
  return {
    "nc1": (spread / k / singular) @ (spread / singular),
    "nc2_deviation": np.linalg.norm(missed),
    "nc2_max": missed.max(),
    "equinorm_cv": lengths.std() / lengths.mean(),
    "cos_features_mean": between[off].mean(),
    "cos_features_std": between[off].std(),
    "cos_features_classifier_mean": crossed[off].mean(),
    "cos_features_classifier_std": crossed[off].std(),
    "nc3_alignment_mean": np.diag(crossed).mean(),
    "nc3_alignment_std": np.diag(crossed).std(),
    "nc3_distance": (apart**2).sum(),
    "cdnv": (spread**2 / squares[off]).mean(),
  }
