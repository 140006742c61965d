# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The methods: their losses in NumPy, their frames, whole runs."""

import dataclasses

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax import data, losses, models
from etf_jax.configs import base
from etf_jax.models import Output
from etf_jax.training import loop, methods, state
from etf_jax.training.config import resolve_config
from etf_jax.training.setup import create_state, make_trainer

COUNTS = np.array([160, 51, 50, 10])
# Class 2 is not in the batch, class 0 three times; the masked are 1 and 3.
LABELS = np.array([0, 3, 1, 0, 0, 1, 3, 3], np.int32)
WHERE = np.array([True, True, True, True, True, False, True, False])
ONE_HOT = np.eye(4)[LABELS]
RNG = np.random.default_rng(0)
WEIGHTS, BIAS = RNG.standard_normal((5, 4)), RNG.standard_normal(4)
# On the side of their own class, so that some are in its cone.
OUTPUT = Output(WEIGHTS.T[LABELS] + RNG.standard_normal((8, 5)), WEIGHTS, BIAS)
FRAME = OUTPUT._replace(bias=None)
LOGITS = OUTPUT.features @ WEIGHTS


def resolved(method, **fields):
  """The config with fields of `loss`, or others by dotted names."""
  config = base.get_config()
  config.method = method
  config.update_from_flattened_dict(
    {k if "." in k else f"loss.{k}": v for k, v in fields.items()}
  )
  return resolve_config(config, len(COUNTS))


def values(
  method, output=OUTPUT, labels=LABELS, where=None, progress=0.0, **fields
):
  """The unreduced loss as the trainer computes it, in float32."""
  loss = methods.create_loss(resolved(method, **fields), COUNTS)

  @jax.jit
  def compiled(output, labels, batch_labels, where):
    context = methods.Context(
      batch_labels, where, jnp.int32(0), jnp.float32(progress)
    )
    return loss(output, labels, context)

  output = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), output)
  found = compiled(output, jnp.asarray(labels), jnp.asarray(LABELS), where)
  assert (found.dtype, found.shape) == (jnp.float32, LABELS.shape)
  return found


def cross_entropy(logits=LOGITS + BIAS, targets=ONE_HOT):
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  return -(targets * log_p).sum(1)


def assert_close(found, expected):
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("method", "output", "expected"),
  [
    ("ce", OUTPUT, cross_entropy()),
    ("ce_frozen", OUTPUT, cross_entropy()),
    ("etf_ce", FRAME, cross_entropy(LOGITS)),
    ("balanced_softmax", OUTPUT, cross_entropy(LOGITS + BIAS + np.log(COUNTS))),
    ("logit_adjusted", FRAME, cross_entropy(LOGITS + 0.5 * np.log(COUNTS))),
    ("focal", OUTPUT, cross_entropy() * (1 - np.exp(-cross_entropy())) ** 1.5),
  ],
)
def test_losses_on_logits(method, output, expected):
  found = values(method, output, temperature=0.5, focal_gamma=1.5)
  assert_close(found, expected)


def effective_weights(beta):
  weights = (1 - beta) / (1 - beta ** COUNTS.astype(np.float64))
  return len(COUNTS) * weights / weights.sum()


# N / (K n_k), whose mean over the training set is 1.
INVERSE = COUNTS.sum() / (len(COUNTS) * COUNTS)
WEIGHTED = [
  ("ce_weighted", INVERSE),
  ("class_balanced", effective_weights(0.99)),
]


@pytest.mark.parametrize(("method", "weights"), WEIGHTED)
def test_weights_of_classes(method, weights):
  weight = weights[LABELS]
  expected = weight * cross_entropy()
  assert_close(values(method, class_balanced_beta=0.99), expected)
  fields = {"class_balanced_beta": 0.99, "weight_reduction": "weight_sum"}
  # The mean weight is that of the examples that count.
  for where in (None, WHERE):
    found = values(method, where=where, **fields)
    counted = slice(None) if where is None else where
    assert_close(found, expected / weight[counted].mean())
    mean = np.average(cross_entropy()[counted], weights=weight[counted])
    assert_close(methods.masked_mean(found, where), mean)
    public = losses.weighted_mean(
      cross_entropy().astype(np.float32), weight.astype(np.float32), where
    )
    assert_close(public, mean)


@pytest.mark.parametrize(("method", "weights"), [("ce", np.ones(4)), *WEIGHTED])
def test_every_cross_entropy_smooths(method, weights):
  found = values(method, label_smoothing=0.1, class_balanced_beta=0.99)
  smoothed = cross_entropy(targets=0.9 * ONE_HOT + 0.1 / 4)
  assert_close(found, weights[LABELS] * smoothed)


def test_ldam_defers_its_weights():
  logits = 2 * (LOGITS - ONE_HOT * 0.4 * (10 / COUNTS) ** 0.25)
  expected = cross_entropy(logits)
  weight = effective_weights(0.9999)[LABELS]
  # Four fifths of 60 epochs are 48, in spite of the rounding of .8.
  for epoch, wanted in (
    (47, expected),
    (48, expected * weight / weight[WHERE].mean()),
  ):
    fields = {"progress": epoch / 60, "where": WHERE}
    found = values(
      "ldam_drw", FRAME, ldam_max_margin=0.4, ldam_scale=2.0, **fields
    )
    assert_close(found, wanted)


def hinged(tau_plus, tau_minus):
  lengths = np.linalg.norm(OUTPUT.features, axis=1)[:, None]
  lengths = lengths * np.linalg.norm(WEIGHTS, axis=0)
  own = np.minimum(LOGITS, lengths * np.cos(tau_plus))
  return np.where(
    ONE_HOT > 0, own, np.maximum(LOGITS, lengths * np.cos(tau_minus))
  )


def test_hinge_opens_the_cones_of_minor_classes():
  fields = {"hinge_tau_minor": 1.4, "hinge_tau_major": 0.2}
  # The class of 50 images is minor, that of 51 is not.
  tau_plus = np.array([0.2, 0.2, 1.4, 1.4])
  settings = resolved("etf_hinge", **fields).loss
  assert_close(methods.hinge_tau(settings, COUNTS), tau_plus)
  found = values(
    "etf_hinge", FRAME, hinge_tau_minus=1.7, label_smoothing=0.3, **fields
  )
  smoothed = 0.7 * ONE_HOT + 0.3 / 4
  expected = cross_entropy(hinged(tau_plus, 1.7), smoothed)
  assert not np.allclose(expected, cross_entropy(hinged(0.2, 1.7), smoothed))
  assert_close(found, expected)


def dot_regression(lengths, scaling, feature_length=None, labels=LABELS):
  """The published code's arithmetic, with the lengths of the classes given."""
  targets = WEIGHTS.T[labels] * lengths[labels][:, None]
  size = np.linalg.norm(targets, axis=1)
  expected = np.linalg.norm(OUTPUT.features, axis=1)
  if feature_length is not None:
    expected = np.full(len(labels), feature_length)
  inner = (OUTPUT.features * targets).sum(1)
  loss = (inner - size * expected) ** 2 / (2 * expected)
  return loss / size if scaling == "paper" else loss


# Lengths by hand, sqrt(gamma / n_k): in the batch 3, 2, 0 and 3 examples and
# gamma 8/3; without the masked 3, 1, 0 and 2, gamma 2; in the data set 271 / 4.
BATCH_LENGTHS = np.sqrt([8 / 9, 4 / 3, 1, 8 / 9])
MASKED_LENGTHS = np.sqrt([2 / 3, 2, 1, 1])
GLOBAL_LENGTHS = np.sqrt([67.75 / 160, 67.75 / 51, 67.75 / 50, 67.75 / 10])


@pytest.mark.parametrize("scaling", ["paper", "class_balanced"])
@pytest.mark.parametrize(
  ("class_lengths", "lengths"),
  [
    ("batch", BATCH_LENGTHS),
    ("global", GLOBAL_LENGTHS),
    ("none", np.ones(4)),
  ],
)
def test_dot_regression(class_lengths, lengths, scaling):
  fields = {"class_lengths": class_lengths, "scaling": scaling}
  expected = dot_regression(lengths, scaling, feature_length=1.0)
  assert_close(values("etf_dr", FRAME, **fields), expected)


def test_dot_regression_without_the_masked():
  expected = dot_regression(MASKED_LENGTHS, "class_balanced", 1.0)
  expected[~WHERE] = 0
  assert_close(values("etf_dr", FRAME, where=WHERE), expected)


def test_lengths_come_from_the_batchs_own_labels():
  # Mixup asks for the loss of the partners' labels; the lengths stay.
  partners = LABELS[[3, 0, 5, 1, 2, 7, 4, 6]]
  expected = dot_regression(BATCH_LENGTHS, "class_balanced", 1.0, partners)
  assert_close(values("etf_dr", FRAME, labels=partners), expected)


@pytest.mark.parametrize(
  ("normalized", "asked", "feature_length"),
  [(True, None, 1.0), (False, None, None), (False, 2.5, 2.5), (True, 2.5, 2.5)],
)
def test_feature_length_follows_the_head(normalized, asked, feature_length):
  fields = {"head.l2_normalize": normalized, "feature_length": asked}
  expected = dot_regression(BATCH_LENGTHS, "class_balanced", feature_length)
  assert_close(values("etf_dr", FRAME, **fields), expected)


def test_published_loss_weights_classes_equally():
  """At unit features: the mean over classes of the mean (1 - cos)^2 / 2."""
  features, weights = (
    x / np.linalg.norm(x, axis=axis, keepdims=True)
    for x, axis in ((OUTPUT.features, 1), (WEIGHTS, 0))
  )
  found = values("etf_dr", Output(features, weights))
  cosines = (features * weights.T[LABELS]).sum(1)
  per_class = [
    np.mean((1 - cosines[k == LABELS]) ** 2 / 2) for k in np.unique(LABELS)
  ]
  assert float(found.mean()) == pytest.approx(np.mean(per_class), rel=1e-5)


def test_masked_mean():
  x = jnp.array([1.0, 2.0, 6.0, jnp.nan])
  where = jnp.array([True, False, True, False])
  assert float(methods.masked_mean(x, where)) == 3.5
  assert float(methods.masked_mean(x[:3], None)) == 3.0
  gradient = jax.grad(lambda x: methods.masked_mean(x, where))(x)
  np.testing.assert_array_equal(gradient, [0.5, 0, 0.5, 0])


@pytest.mark.parametrize(("projector", "width"), [(-1, 16), (0, 16), (24, 24)])
def test_the_frame_fits_the_projector(projector, width):
  config = tiny_runs.config(
    "unused", "etf_hinge", {"head.projector": projector}
  )
  model = models.create_model(resolve_config(config, 10))
  fixed = state.draw_classifier(model, (8, 8, 1), seed=0)
  assert fixed["head"]["prototypes"].shape == (width, 10)


@pytest.fixture(scope="module")
def dataset(digits_dir):
  return data.load(tiny_runs.config(digits_dir, "ce").data)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["etf_hinge", "ldam_drw"])
def test_trains_and_resumes(method, digits_dir, dataset, tmp_path):
  # The weights of LDAM come in within these steps.
  config = tiny_runs.config(digits_dir, method, {"loss.drw_start": 0.5})
  trainer = make_trainer(config, dataset)
  straight = tmp_path / "straight"
  loop.train_seed(trainer, 0, straight)
  losses = [row["loss"] for row in tiny_runs.rows(straight, "train")]
  assert len(losses) == tiny_runs.STEPS
  assert np.mean(losses[4:8]) < 0.9 * np.mean(losses[:4])

  resumed = tiny_runs.interrupted(straight, tmp_path / "resumed", step=8)
  loop.train_seed(trainer, 0, resumed)
  assert tiny_runs.rows(resumed) == tiny_runs.rows(straight)


@pytest.mark.slow
def test_dot_regression_builds_logits_for_the_accuracy_only(
  digits_dir, dataset
):
  """Count in the trainer's step, at sizes that nothing else in it has."""
  batch, classes = 13, 11
  dataset = dataclasses.replace(
    dataset,
    num_classes=classes,
    class_counts=np.append(dataset.class_counts, 1),
  )

  def matrices(method):
    """Float [B, K] values of the step."""
    config = tiny_runs.config(digits_dir, method, {"batch_size": batch})
    trainer = make_trainer(config, dataset)
    fresh = create_state(trainer.setup, 0)
    keys = state.keys(0)
    feed = trainer.open_feed(0, 0)
    closed = jax.make_jaxpr(
      lambda current: feed.advance(current, 0, keys["augment"])
    )(fresh)
    return sum(
      sorted(variable.aval.shape) == sorted((batch, classes))
      and jnp.issubdtype(variable.aval.dtype, jnp.floating)
      for variable in variables(closed.jaxpr)
    )

  assert matrices("ce") > 1
  assert matrices("etf_dr") == 1


def variables(jaxpr):
  """All values of a program and of those in it."""
  for equation in jaxpr.eqns:
    yield from equation.outvars
    for part in jax.extend.core.jaxprs_in_params(equation.params):
      yield from variables(part)
