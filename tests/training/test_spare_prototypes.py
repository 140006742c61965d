# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A frame with room for classes that come later."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special
import trained_runs

import etf_jax
from etf_jax import losses, simplex_etf
from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.models import ETFHead, create_model
from etf_jax.training import methods, state
from etf_jax.training.config import resolve_config

SHAPE = (8, 8, 1)


def config(classes, prototypes, **fields):
  c = base.get_config()
  c.model.name = "trained_runs:Small"
  c.head.num_prototypes = prototypes
  c.update_from_flattened_dict(fields)
  return resolve_config(c, classes)


def frame(classes, prototypes, seed=0, **fields):
  model = create_model(config(classes, prototypes, **fields))
  fixed = state.draw_classifier(model, SHAPE, seed)
  return np.asarray(fixed["head"]["prototypes"])


def test_classes_that_come_later_move_no_other():
  now, later = frame(7, 15), frame(12, 15)
  assert now.shape == (16, 15)
  np.testing.assert_array_equal(now, later)
  # Neither another seed nor another size of the frame does that.
  assert not np.array_equal(now, frame(7, 15, seed=1))
  assert not np.array_equal(now[:, :7], frame(7, 16)[:, :7])


def test_as_many_as_classes_is_the_frame_without_spare_ones():
  np.testing.assert_array_equal(frame(10, 10), frame(10, None))


@pytest.mark.slow
def test_the_output_has_todays_classes_only():
  features = jax.random.normal(jax.random.key(1), (6, 16))
  head = ETFHead(num_classes=9, spare=4)
  variables = head.init(jax.random.key(0), features)
  assert variables["etf"]["prototypes"].shape == (16, 9)
  output = head.apply(variables, features)
  assert output.logits.shape == (6, 5)
  np.testing.assert_array_equal(
    output.weights, variables["etf"]["prototypes"][:, :5]
  )
  # The angles are those of a simplex of nine, not of five.
  cosines = np.asarray(output.weights.T @ output.weights)
  np.testing.assert_allclose(cosines, np.eye(5) * 9 / 8 - 1 / 8, atol=1e-6)


@pytest.mark.slow
def test_dot_regression_is_that_of_the_same_prototypes():
  features = jax.random.normal(jax.random.key(1), (6, 16))
  labels = jnp.array([0, 1, 2, 3, 4, 0])
  head = ETFHead(num_classes=9, spare=4)
  variables = head.init(jax.random.key(0), features)
  whole = ETFHead(num_classes=9).apply(variables, features)
  some = head.apply(variables, features)
  np.testing.assert_array_equal(
    *(
      losses.dot_regression_with_integer_labels(
        output.features, labels, output.weights
      )
      for output in (whole, some)
    )
  )


@pytest.mark.slow
def test_a_run_with_more_classes_starts_from_one_with_less(tmp_path):
  images = trained_runs.photograph_folder()
  for split in ("train", "test"):
    for name in ("ant", "bee"):
      shutil.copytree(images / split / name, tmp_path / "two" / split / name)
  common = (
    "--config=etf_jax:base",
    "--config.data.name=folder",
    "--config.data.profile=none",
    "--config.data.image_size=14",
    "--config.model.name=trained_runs:Small",
    "--config.head.num_prototypes=5",
    "--config.batch_size=25",
    "--config.seeds=4",
    "--config.total_steps=4",
    "--config.eval.every_steps=4",
    "--config.collapse.splits=()",
  )
  first = trained_runs.train(
    tmp_path / "first", *common, f"--config.data.dir={tmp_path / 'two'}"
  )
  second = trained_runs.train(
    tmp_path / "second",
    *common,
    f"--config.data.dir={images}",
    f"--config.init_from={first}",
    "--config.init_parts=all",
  )
  before, after = map(etf_jax.load, (first, second))
  assert before.class_names == ("ant", "bee")
  assert after.class_names == ("ant", "bee", "cat")
  assert after.description.endswith(
    "2 spare prototypes, which no image is given"
  )
  old, new = (
    model.variables["etf"]["head"]["prototypes"] for model in (before, after)
  )
  assert old.shape == (16, 5)
  np.testing.assert_array_equal(old, new)
  image = np.zeros((1, 14, 14, 3), np.uint8)
  assert before(image).probabilities.shape == (1, 2)
  assert after(image).probabilities.shape == (1, 3)


@pytest.mark.parametrize(("classes", "prototypes"), [(10, 12), (10, 100)])
def test_cross_entropy_leans_away_from_todays_mean(classes, prototypes):
  weights = np.asarray(
    simplex_etf(jax.random.key(0), 100, prototypes), np.float64
  )[:, :classes]

  def loss(feature):
    unit = feature / np.linalg.norm(feature)
    return special.logsumexp(unit @ weights) - unit @ weights[:, 0]

  found = optimize.minimize(loss, weights[:, 0], options={"gtol": 1e-7}).x
  spare = prototypes - classes
  expected = np.sqrt(1 - spare / (classes * (prototypes - 1)))
  assert found @ weights[:, 0] / np.linalg.norm(found) == pytest.approx(
    expected, abs=1e-4
  )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["etf_dr", "etf_ce", "etf_hinge"])
def test_every_loss_of_a_frame_takes_spare_ones(method):
  c = config(5, 8, method=method)
  head = create_model(c).head
  features = jax.random.normal(jax.random.key(1), (4, 16))
  output = head.apply(head.init(jax.random.key(0), features), features)
  labels = jnp.array([0, 4, 1, 2])
  loss = methods.create_loss(c, np.array([60, 40, 20, 10, 5]))
  values = loss(output, labels, methods.Context(labels, None, jnp.int32(0)))
  assert values.shape == (4,)
  assert np.all(np.isfinite(values))
  assert output.logits.shape == (4, 5)


@pytest.mark.parametrize(
  ("fields", "said"),
  [
    ({"head.num_prototypes": 4}, "is less than the 5 classes"),
    ({"method": "ce"}, "is for config.head.name='etf'"),
    (
      {"method": "ce", "head.num_prototypes": None, "head.frame": "uniform_qr"},
      "config.head.frame=uniform_qr is for config.head.name='etf'",
    ),
    ({"mesh.model": 3}, "config.mesh.model=3 must divide"),
    ({"head.num_prototypes": 18}, "18"),
  ],
)
def test_what_cannot_be_is_one_line(fields, said):
  fields = {"head.num_prototypes": 8} | fields
  with pytest.raises(InputError) as caught:
    frame(5, **{"prototypes": None} | fields)
  assert said in str(caught.value)
  assert "\n" not in str(caught.value)
