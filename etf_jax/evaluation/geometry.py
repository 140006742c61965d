# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Neural collapse of a model on a split: one forward pass, one row.

measure = geometry.create(model, inputs, num_classes)
row, sums = measure(variables, feed)

The statistics are taken around one example of each class, so they depend on
the model and the data alone and a resumed run measures the same.
"""

from collections.abc import Callable, Sequence
import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from etf_jax import collapse, losses
from etf_jax.data.feeds.resident import EvalBatches
from etf_jax.evaluation import metrics
from etf_jax.models import Output

# Up to this many classes a row may hold whole matrices of cosines.
MATRIX_CLASSES = 100
# Up to this many classes collapse is measured: 46 bytes for each pair were, at
# 8,142 classes, 3.1 GB.
MOST_CLASSES = 10_000
# Features, labels and mask of a batch.
_Part = tuple[jax.Array, jax.Array, jax.Array]


def create(
  model,
  inputs: Callable[..., jax.Array],
  num_classes: int,
  *,
  tau: np.ndarray | None = None,
  hold_features: bool = True,
  rank_images: int = 100,
) -> Callable[..., tuple[dict, metrics.Sums]]:
  """Build `measure(variables, feed, *, matrices=False)`.

  Args:
    model: a linen module that returns an `Output`.
    inputs: (uint8 images, their sizes or None) to what the model takes.
    num_classes: K.
    tau: `[K]` half angles of the classes' cones, in radians; None or 0 where
      there is none.
    hold_features: keep the split's features on the devices (4 N d bytes) for
      what needs the class means first.
    rank_images: the numerical rank is that of the first so many features of
      each class; 0 leaves it out.

  Returns:
    A function of the model's variables and `EvalBatches` to the fields of a
    "collapse" row (etf_jax/reporting/README.md), in which undefined numbers are
    NaN, and to the `metrics.Sums` that the same forward pass gives.
    With `matrices`, and at most 100 classes, it also has the cosines between
    all class means and between all classifier vectors.
  """
  cones = None if tau is None or not np.any(tau) else np.asarray(tau)

  @jax.jit
  def begin(variables, images, sizes):
    output = model.apply(variables, inputs(images, sizes), train=False)
    features = output.features
    stats = collapse.init(*features.shape, reference=features)
    return stats, output.weights, output.bias

  @functools.cache  # for each way to read, which is one a split
  def update_of(take):
    def update(variables, arrays, index, stats, sums):
      batch = take(arrays, index)
      images = inputs(batch.images, batch.sizes)
      output = model.apply(variables, images, train=False)
      labels, where = batch.labels, batch.where
      stats = collapse.update(stats, output.features, labels, where=where)
      sums = metrics.update(sums, output.logits, labels, where=where)
      return stats, sums, (output.features, labels, where)

    return jax.jit(update, donate_argnums=(3, 4))

  @jax.jit
  def toward_vectors(part, weights, bias):
    # Cosines to the classifier's vectors, and the pull and push on them
    # (Yang et al. 2022, remark 2); the bias counts as one more feature.
    features, labels, where = part
    true, others = collapse.centre_cosines(
      features, labels, weights, where=where
    )
    if bias is None:
      bias = jnp.zeros(weights.shape[1], weights.dtype)
    ones = jnp.ones((len(features), 1), features.dtype)
    rows = jnp.where(where[:, None], jnp.hstack([features, ones]), 0)
    forces = losses.pull_push(rows, labels, jnp.vstack([weights, bias[None]]))
    return {
      "cos_own_vector": jnp.sum(true),
      "cos_other_vectors": jnp.sum(others),
      "classifier_pull": forces.classifier_pull[:-1],
      "classifier_push": forces.classifier_push[:-1],
    }

  @jax.jit
  def finish(stats, weights):
    by_class, by_sample = (
      collapse.compute(stats, weights, global_mean=name)
      for name in ("class", "sample")
    )
    means = collapse.class_means(stats)
    centered = means - jnp.nanmean(means, axis=0, keepdims=True)
    return (
      by_class,
      by_sample,
      means,
      collapse.cosines(weights),
      collapse.cosines(centered.T),
      jnp.linalg.norm(weights, axis=0),
    )

  @jax.jit
  def look_again(batch, weights, bias, means):
    features, labels, where = batch
    number = jnp.sum(where, dtype=features.dtype)
    logits = Output(features, weights, bias).logits
    agreement = collapse.nearest_mean_agreement(
      logits, features, means, where=where
    )
    true, others = collapse.centre_cosines(
      features, labels, means.T, where=where
    )
    sums = {
      "nearest_mean_agreement": jnp.where(number > 0, agreement, 0) * number,
      "cos_own_centre": jnp.sum(true),
      "cos_other_centres": jnp.sum(others),
    }
    if cones is not None:
      angles = jnp.asarray(cones, features.dtype)
      has_cone = where & (angles > 0)[labels]
      sums["in_cone"] = jnp.sum(
        collapse.in_cone(features, labels, weights, angles, where=has_cone)
      )
    return sums

  def measure(variables: dict, feed: EvalBatches, *, matrices: bool = False):
    stats, weights, bias = begin(
      variables, feed.references.images, feed.references.sizes
    )
    update, every, sums = update_of(feed.take), [], metrics.zeros(num_classes)
    vectors = None
    for arrays, index in feed.parts():
      stats, sums, batch = update(variables, arrays, index, stats, sums)
      found = toward_vectors(batch, weights, bias)
      if vectors is not None:
        found = jax.tree.map(jnp.add, vectors, found)
      vectors = found
      if hold_features:
        every.append(batch)
    by_class, by_sample, means, classifier, features, norms = finish(
      stats, weights
    )
    sums = metrics.fetch(sums)
    counts = np.asarray(sums.true, np.int64)
    row: dict[str, Any] = {
      "images": int(counts.sum()),
      "absent_classes": np.flatnonzero(counts == 0).tolist(),
      **_numbers(by_class),
      "sample_mean": _numbers(by_sample),
    }
    vectors = metrics.fetch(vectors)
    for name in ("cos_own_vector", "cos_other_vectors"):
      row[name] = float(vectors[name]) / max(1, int(counts.sum()))
    for name in ("classifier_pull", "classifier_push"):
      row[name] = np.linalg.norm(vectors[name], axis=0)
    if hold_features:
      parts = [
        metrics.fetch(look_again(batch, weights, bias, means))
        for batch in every
      ]
      totals = {k: float(sum(part[k] for part in parts)) for k in parts[0]}
      with_cones = counts[cones > 0].sum() if cones is not None else 0
      for name, total in totals.items():
        number = with_cones if name == "in_cone" else counts.sum()
        row[name] = total / number if number else float("nan")
      if rank_images:
        row |= _ranks(every, num_classes, rank_images)
    if counts.max() < 2:
      # Classes of one image have no spread; 0 would look like collapse.
      for fields in (row, row["sample_mean"]):
        fields.update((name, math.nan) for name in _SPREADS if name in fields)
    classifier, features, norms = metrics.fetch((classifier, features, norms))
    row |= {
      "classifier_norms": norms,
      "classifier_nearest": _nearest(classifier),
      "feature_nearest": _nearest(features),
    }
    if matrices and num_classes <= MATRIX_CLASSES:
      row |= {
        "classifier_cosines": classifier.round(4),
        "feature_cosines": features.round(4),
      }
    return row, sums

  return measure


# What tells how the images of a class differ.
_SPREADS = ("nc1", "cdnv", "numerical_rank", "numerical_rank_centred")


def _numbers(found: collapse.Metrics) -> dict[str, float]:
  fields = dataclasses.asdict(metrics.fetch(found))
  return {name: float(value) for name, value in fields.items()}


def _ranks(
  every: Sequence[_Part], num_classes: int, limit: int
) -> dict[str, float]:
  """Return the numerical ranks of the first `limit` examples of a class."""
  counted = np.zeros(num_classes, np.int64)
  features, labels = [], []
  for batch in every:
    part, classes, where = metrics.fetch(batch)
    classes = classes[where]
    # 1. Which example of its class each one is.
    order = np.argsort(classes, kind="stable")
    starts = np.searchsorted(classes[order], np.arange(num_classes))
    place = np.empty(len(classes), np.int64)
    place[order] = np.arange(len(classes)) - starts[classes[order]]
    place += counted[classes]
    counted += np.bincount(classes, minlength=num_classes)
    # 2. The first ones stay, so both ranks see the same examples.
    features.append(part[where][place < limit])
    labels.append(classes[place < limit])
  all_features = np.concatenate(features).astype(np.float64)
  all_labels = np.concatenate(labels)
  return {
    name: float(
      collapse.numerical_rank(
        all_features, all_labels, num_classes, centred=center
      )
    )
    for name, center in (
      ("numerical_rank", False),
      ("numerical_rank_centred", True),
    )
  }


def _nearest(cosines: np.ndarray) -> np.ndarray:
  """Return the largest cosine of each class to another; NaN for none."""
  off = np.where(np.eye(len(cosines), dtype=bool), np.nan, cosines)
  known = np.isfinite(off)
  largest = np.max(off, axis=1, initial=-np.inf, where=known)
  return np.where(known.any(axis=1), largest, np.nan)
