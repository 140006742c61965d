# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The methods beside CE and DR: their heads, their losses, whole runs."""

import dataclasses

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax import data, models
from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.models import Output
from etf_jax.training import loop, methods, state
from etf_jax.training.config import resolve_config
from etf_jax.training.setup import create_state, make_trainer

pytestmark = pytest.mark.slow

COUNTS = np.array([160, 51, 50, 10])
RNG = np.random.default_rng(0)
LABELS = np.array([0, 1, 2, 3, 3, 0])
WEIGHTS = RNG.standard_normal((5, 4)).astype(np.float32)
BIAS = RNG.standard_normal(4).astype(np.float32)
# On the side of their own class, so that some are in its cone.
FEATURES = WEIGHTS.T[LABELS] + RNG.standard_normal((6, 5)).astype(np.float32)
WHERE = np.array([True, True, True, True, False, True])


def per_example(method, *, bias=BIAS, epoch=0, total=10, where=None, **fields):
  """The loss of FEATURES as the trainer computes it."""
  config = base.get_config()
  config.method = method
  config.loss.update(fields)
  config = resolve_config(config, len(COUNTS))
  context = methods.Context(
    jnp.asarray(LABELS),
    where if where is None else jnp.asarray(where),
    jnp.int32(epoch),
    jnp.float32(epoch / total),
  )
  output = Output(
    jnp.asarray(FEATURES),
    jnp.asarray(WEIGHTS),
    None if bias is None else jnp.asarray(bias),
  )
  loss = methods.create_loss(config, COUNTS)
  return jax.jit(lambda output: loss(output, context.labels, context))(output)


def cross_entropy(logits, targets=None):
  """In float64, of one-hot targets unless given."""
  logits = logits.astype(np.float64)
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  targets = np.eye(4)[LABELS] if targets is None else targets
  return -(targets * log_p).sum(1)


LOGITS = FEATURES.astype(np.float64) @ WEIGHTS + BIAS


@pytest.mark.parametrize(
  ("method", "expected"),
  [
    ("ce", cross_entropy(LOGITS)),
    ("balanced_softmax", cross_entropy(LOGITS + np.log(COUNTS))),
    ("logit_adjusted", cross_entropy(LOGITS + 0.5 * np.log(COUNTS))),
    (
      "focal",
      cross_entropy(LOGITS) * (1 - np.exp(-cross_entropy(LOGITS))) ** 1.5,
    ),
  ],
)
def test_losses_on_logits(method, expected):
  found = per_example(method, temperature=0.5, focal_gamma=1.5)
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def effective_weights(beta):
  weights = (1 - beta) / (1 - beta ** COUNTS.astype(np.float64))
  return len(COUNTS) * weights / weights.sum()


def test_class_balanced():
  weight = effective_weights(0.99)[LABELS]
  expected = weight * cross_entropy(LOGITS)
  found = per_example("class_balanced", class_balanced_beta=0.99)
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
  found = per_example(
    "class_balanced",
    class_balanced_beta=0.99,
    weight_reduction="weight_sum",
    where=WHERE,
  )
  # The mean weight is that of the examples that count.
  expected /= weight[WHERE].mean()
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_ldam_defers_its_weights():
  margins = 0.4 * (10 / COUNTS) ** 0.25
  expected = cross_entropy(2 * (LOGITS - np.eye(4)[LABELS] * margins))

  def found(epoch):
    return per_example(
      "ldam_drw",
      epoch=epoch,
      total=60,
      ldam_max_margin=0.4,
      ldam_scale=2.0,
      where=WHERE,
    )

  np.testing.assert_allclose(found(47), expected, rtol=2e-5, atol=1e-6)
  weight = effective_weights(0.9999)[LABELS]
  weighted = expected * weight / weight[WHERE].mean()
  # Four fifths of 60 epochs are 48, in spite of the rounding of .8.
  np.testing.assert_allclose(found(48), weighted, rtol=2e-5, atol=1e-6)


def hinged(tau_plus, tau_minus):
  lengths = np.linalg.norm(FEATURES.astype(np.float64), axis=1)[:, None]
  lengths = lengths * np.linalg.norm(WEIGHTS.astype(np.float64), axis=0)
  logits = FEATURES.astype(np.float64) @ WEIGHTS
  own = np.minimum(logits, lengths * np.cos(tau_plus))
  other = np.maximum(logits, lengths * np.cos(tau_minus))
  return np.where(np.eye(4, dtype=bool)[LABELS], own, other)


def test_hinge_opens_the_cones_of_minor_classes():
  # The class of 50 images is minor, that of 51 is not.
  tau_plus = np.array([0.2, 0.2, 1.4, 1.4])
  smoothed = 0.7 * np.eye(4)[LABELS] + 0.3 / 4
  found = per_example(
    "etf_hinge",
    bias=None,
    hinge_tau_minor=1.4,
    hinge_tau_major=0.2,
    hinge_tau_minus=1.7,
    label_smoothing=0.3,
  )
  expected = cross_entropy(hinged(tau_plus, 1.7), smoothed)
  assert not np.allclose(expected, cross_entropy(hinged(0.2, 1.7), smoothed))
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("method", "weight"),
  [
    ("ce", 1.0),
    ("ce_weighted", COUNTS.sum() / (4 * COUNTS[LABELS])),
    ("class_balanced", effective_weights(0.9999)[LABELS]),
  ],
)
def test_every_cross_entropy_smooths(method, weight):
  smoothed = 0.9 * np.eye(4)[LABELS] + 0.1 / 4
  found = per_example(method, label_smoothing=0.1)
  expected = weight * cross_entropy(LOGITS, smoothed)
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_defaults_of_the_methods():
  def resolved(method):
    config = base.get_config()
    config.method = method
    return resolve_config(config, 10)

  hinge, ldam = resolved("etf_hinge"), resolved("ldam_drw")
  assert hinge.head.name == "etf"
  assert (hinge.head.batch_norm, hinge.head.l2_normalize) == (False, False)
  assert hinge.head.projector == -1
  assert hinge.loss.hinge_tau_minor == pytest.approx(np.pi / 4)
  assert hinge.loss.hinge_minor_count == 50
  assert (hinge.loss.hinge_tau_major, hinge.loss.hinge_tau_minus) == (0, np.pi)
  assert (ldam.head.name, ldam.head.l2_normalize) == ("cosine", True)
  assert (ldam.loss.ldam_max_margin, ldam.loss.ldam_scale) == (0.5, 30)
  assert (ldam.loss.drw_start, ldam.loss.class_balanced_beta) == (0.8, 0.9999)
  assert ldam.loss.weight_reduction == "weight_sum"
  assert resolved("class_balanced").loss.weight_reduction == "batch_size"
  assert resolved("focal").loss.focal_gamma == 2
  for method in ("logit_adjusted", "balanced_softmax", "focal", "ce"):
    head = resolved(method).head
    assert (head.name, head.projector) == ("linear", 0)


@pytest.mark.parametrize(("projector", "width"), [(-1, 16), (0, 16), (24, 24)])
def test_the_frame_fits_the_projector(projector, width):
  config = tiny_runs.config(
    "unused", "etf_hinge", {"head.projector": projector}
  )
  model = models.create_model(resolve_config(config, 10))
  fixed = state.draw_classifier(model, (8, 8, 1), seed=0)
  assert fixed["head"]["prototypes"].shape == (width, 10)


@pytest.mark.parametrize(
  ("method", "fields", "message"),
  [
    (
      "etf_hinge",
      {"loss.hinge_tau_minor": 45.0},
      "config.loss.hinge_tau_minor=45.0 must be an angle in radians",
    ),
    (
      "etf_hinge",
      {"loss.hinge_tau_minus": float("nan")},
      "config.loss.hinge_tau_minus=nan must be an angle",
    ),
    (
      "etf_hinge",
      {"loss.hinge_tau_major": -0.1},
      "config.loss.hinge_tau_major=-0.1 must be an angle",
    ),
    (
      "etf_hinge",
      {"loss.hinge_minor_count": -1},
      "config.loss.hinge_minor_count=-1 must be finite and >= 0",
    ),
    (
      "etf_hinge",
      {"head.name": "linear"},
      "config.method='etf_hinge' needs config.head.name='etf', not 'linear'",
    ),
    (
      "etf_hinge",
      {"head.projector": -2},
      "config.head.projector=-2 must be a width, 0 or -1",
    ),
    (
      "ce",
      {"loss.label_smoothing": 1.5},
      "config.loss.label_smoothing=1.5 must lie in [0, 1]",
    ),
    (
      "focal",
      {"loss.label_smoothing": 0.1},
      "config.loss.label_smoothing=0.1 does nothing with config.method='focal'",
    ),
    (
      "focal",
      {"loss.focal_gamma": -1.0},
      "config.loss.focal_gamma=-1.0 must be finite and >= 0",
    ),
    (
      "logit_adjusted",
      {"loss.temperature": float("inf")},
      "config.loss.temperature=inf must be finite and >= 0",
    ),
    (
      "class_balanced",
      {"loss.class_balanced_beta": 1.0},
      "config.loss.class_balanced_beta=1.0 must lie in [0, 1)",
    ),
    (
      "ldam_drw",
      {"loss.drw_start": 80.0},
      "config.loss.drw_start=80.0 must lie in [0, 1]",
    ),
    (
      "ldam_drw",
      {"loss.ldam_scale": 0.0},
      "config.loss.ldam_scale=0.0 must be finite and > 0",
    ),
    (
      "ldam_drw",
      {"loss.ldam_max_margin": -0.5},
      "config.loss.ldam_max_margin=-0.5 must be finite and >= 0",
    ),
    (
      "ldam_drw",
      {"loss.weight_reduction": "sum"},
      "config.loss.weight_reduction='sum': unknown; did you mean",
    ),
    (
      "ldam",
      {},
      "config.method='ldam': unknown; did you mean 'ldam_drw'?",
    ),
    (
      "ce",
      {"head.name": "cosin"},
      "config.head.name='cosin': unknown; did you mean 'cosine'?",
    ),
  ],
)
def test_bad_input(method, fields, message):
  config = base.get_config()
  config.method = method
  config.update_from_flattened_dict(fields)
  with pytest.raises(InputError) as caught:
    resolve_config(config, 10)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def dataset(digits_dir):
  return data.load(tiny_runs.config(digits_dir, "ce").data)


@pytest.mark.parametrize(
  "method",
  [
    "etf_hinge",
    "ldam_drw",
    "logit_adjusted",
    "balanced_softmax",
    "focal",
    "class_balanced",
  ],
)
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


def test_dot_regression_builds_logits_for_the_accuracy_only(
  digits_dir, dataset
):
  """Of the trainer's own step, at sizes that nothing else in it has."""
  batch, classes = 13, 11
  dataset = dataclasses.replace(
    dataset,
    num_classes=classes,
    class_counts=np.append(dataset.class_counts, 1),
  )

  def matrices(method):
    """Float [B, K] values outside and inside the conditional."""
    config = tiny_runs.config(digits_dir, method, {"batch_size": batch})
    trainer = make_trainer(config, dataset)
    fresh = create_state(trainer.setup, 0)
    keys = state.keys(0)
    feed = trainer.open_feed(0, 0)
    closed = jax.make_jaxpr(
      lambda current: feed.advance(current, 0, keys["augment"])
    )(fresh)
    found = {"outside": 0, "inside": 0}
    for variable, place in values(closed.jaxpr, "outside"):
      if sorted(variable.aval.shape) == sorted((batch, classes)):
        found[place] += jnp.issubdtype(variable.aval.dtype, jnp.floating)
    return found

  assert matrices("ce")["outside"] > 0
  found = matrices("etf_dr")
  assert found["outside"] == 0
  assert found["inside"] > 0


def values(jaxpr, place):
  """All values of a program and of those in it, by where they stand."""
  for equation in jaxpr.eqns:
    inner = "inside" if equation.primitive.name == "cond" else place
    yield from ((variable, place) for variable in equation.outvars)
    for part in jax.extend.core.jaxprs_in_params(equation.params):
      yield from values(part, inner)
