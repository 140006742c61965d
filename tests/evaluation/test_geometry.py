# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Neural collapse of a model on a split, against all features at once."""

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
import pytest

from etf_jax import collapse
from etf_jax.data import Split
from etf_jax.data.feeds import resident
from etf_jax.evaluation import evaluator, geometry
from etf_jax.models import Classifier, LinearHead

CLASSES = 4
TAU = np.array([0.0, 1.0, 0.0, 2.0])


class Flat(nn.Module):
  """Pixels as they are."""

  def __call__(self, images, train=False, mask=None):
    return images.reshape(images.shape[0], -1)


def inputs(images, sizes):
  assert sizes is None
  return images.astype(jnp.float32) / 255 - 0.5


@pytest.fixture(scope="module")
def problem():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, 45).astype(np.int32)  # none of class 3
  split = Split(rng.integers(0, 256, (45, 2, 3, 1)).astype(np.uint8), labels)
  model = Classifier(Flat(), LinearHead(CLASSES))
  variables = model.init(jax.random.key(0), jnp.zeros((1, 2, 3, 1)))
  features = split.images.reshape(45, -1) / 255 - 0.5
  return split, model, variables, features


def measure(problem, devices, batch, train=False, **options):
  split, model, variables, _ = problem
  mesh = Mesh(np.asarray(jax.devices()[:devices]), ("data",))
  if train:
    feed = resident.in_order(
      split, resident.put(split, mesh), batch, CLASSES, mesh
    )
  else:
    feed = resident.in_batches(split, batch, CLASSES, mesh)
  run = geometry.create(model, inputs, CLASSES, **options)
  variables = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
  return run(variables, feed, matrices=True)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("devices", "batch", "train"),
  [
    pytest.param(1, 45, False, marks=pytest.mark.slow),
    (1, 7, True),
    pytest.param(8, 16, False, marks=pytest.mark.slow),
    (8, 16, True),
  ],
)
def test_a_row_is_that_of_all_features_at_once(problem, devices, batch, train):
  split, _, variables, features = problem
  labels = split.labels
  row, sums = measure(problem, devices, batch, train, tau=TAU, rank_images=5)
  head = jax.tree.map(np.asarray, variables["params"]["head"])
  weights, logits = head["kernel"], features @ head["kernel"] + head["bias"]
  means = np.stack([features[labels == k].mean(0) for k in range(3)])
  # 1. By hand: what is present, who is nearest, and where features point.
  assert row["images"] == 45
  assert row["absent_classes"] == [3]
  distance = np.linalg.norm(features[:, None] - means[None], axis=-1)
  agreement = np.mean(distance.argmin(1) == logits.argmax(1))
  assert row["nearest_mean_agreement"] == pytest.approx(agreement)
  cos = (features @ means.T) / np.linalg.norm(features, axis=1, keepdims=True)
  cos /= np.linalg.norm(means, axis=1)
  own = cos[np.arange(45), labels]
  assert row["cos_own_centre"] == pytest.approx(own.mean(), rel=1e-5)
  others = (cos.sum(1) - own) / 2
  assert row["cos_other_centres"] == pytest.approx(others.mean(), rel=1e-4)
  vectors = weights / np.linalg.norm(weights, axis=0)
  cos = features / np.linalg.norm(features, axis=1, keepdims=True) @ vectors
  own = cos[np.arange(45), labels]
  assert row["cos_own_vector"] == pytest.approx(own.mean(), rel=1e-4, abs=1e-6)
  others = (cos.sum(1) - own).mean() / (CLASSES - 1)
  assert row["cos_other_vectors"] == pytest.approx(others, rel=1e-4, abs=1e-6)
  odds = np.exp(logits - logits.max(1, keepdims=True))
  odds /= odds.sum(1, keepdims=True)
  truth = np.eye(CLASSES)[labels]
  for name, part in (
    ("classifier_pull", truth * (1 - odds)),
    ("classifier_push", (1 - truth) * odds),
  ):
    forces = np.linalg.norm(features.T @ part, axis=0)
    np.testing.assert_allclose(row[name], forces, rtol=1e-4, atol=1e-6)
  # 2. Only class 1 has both a cone and images.
  mine = features[labels == 1]
  inside = mine @ weights[:, 1] >= (
    np.cos(1.0) * np.linalg.norm(mine, axis=1) * np.linalg.norm(weights[:, 1])
  )
  assert row["in_cone"] == pytest.approx(inside.mean())
  # 3. The rank of the first five images of each class.
  five = [features[labels == k][:5] for k in range(3)]
  sizes = [np.linalg.svd(x, compute_uv=False) for x in five]
  rank = np.mean([s.sum() ** 2 / (s**2).sum() for s in sizes])
  assert row["numerical_rank"] == pytest.approx(rank, rel=1e-5)
  # 4. The streamed metrics are those of the library on everything.
  stats = collapse.update(
    collapse.init(CLASSES, 6), features.astype(np.float32), labels
  )
  for where, name in ((row, "class"), (row["sample_mean"], "sample")):
    direct = collapse.compute(stats, weights, global_mean=name)
    for field in ("nc1", "cdnv", "cos_features_mean", "nc3_distance"):
      expected = float(getattr(direct, field))
      assert where[field] == pytest.approx(expected, rel=1e-4), field
  # 5. Classifier vectors, and the confusion matrix of the same pass.
  norms = np.linalg.norm(weights, axis=0)
  np.testing.assert_allclose(row["classifier_norms"], norms, rtol=1e-5)
  cosines = weights.T @ weights / np.outer(norms, norms)
  np.testing.assert_allclose(row["classifier_cosines"], cosines, atol=6e-5)
  nearest = (cosines - 2 * np.eye(CLASSES)).max(1)
  np.testing.assert_allclose(row["classifier_nearest"], nearest, rtol=1e-4)
  assert np.isnan(row["feature_nearest"]).tolist() == [False] * 3 + [True]
  confusion = np.zeros((CLASSES, CLASSES), int)
  np.add.at(confusion, (labels, logits.argmax(1)), 1)
  np.testing.assert_array_equal(sums.confusion, confusion)


@pytest.mark.slow
def test_sums_are_the_evaluators(problem):
  split, model, variables, _ = problem
  _, sums = measure(problem, 1, 16)
  mesh = Mesh(np.asarray(jax.devices()[:1]), ("data",))
  evaluate = evaluator.create(model, inputs, CLASSES)
  other = evaluate(variables, resident.in_batches(split, 16, CLASSES, mesh))
  for ours, theirs in zip(sums, other, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_features_need_not_be_held(problem):
  row, _ = measure(problem, 1, 16, hold_features=False, tau=TAU)
  assert np.isfinite(row["nc1"])
  absent = {"nearest_mean_agreement", "numerical_rank", "in_cone"}
  assert not absent & set(row)


@pytest.mark.slow
def test_zero_vectors_leave_cosines_undefined(problem):
  split, model, variables, features = problem
  blank = jax.tree.map(jnp.zeros_like, variables)
  row, _ = measure((split, model, blank, features), 1, 16)
  assert np.isnan(row["cos_features_classifier_mean"])
  assert np.isnan(row["nc3_alignment_mean"])
  assert np.isnan(row["classifier_nearest"]).all()
  assert np.isfinite(row["cos_features_mean"])


def test_classes_of_one_image_have_no_spread(problem):
  split, *rest = problem
  _, first = np.unique(split.labels, return_index=True)
  single = (split.choose(first), *rest)
  row, _ = measure(single, 1, 4, rank_images=5)
  assert np.isnan(
    [row[name] for name in ("nc1", "cdnv", "numerical_rank")]
  ).all()
  assert np.isnan(row["sample_mean"]["nc1"])
  assert np.isfinite(row["nc2_deviation"])
