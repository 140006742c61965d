# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The methods of the papers: their losses in NumPy, their heads, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import losses
from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.models import Output
from etf_jax.training import methods
from etf_jax.training.config import resolve_config

COUNTS = np.array([50, 20, 7, 3])
# Class 2 is not in the batch, class 0 three times; the masked are 1 and 3.
LABELS = np.array([0, 3, 1, 0, 0, 1, 3, 3], np.int32)
WHERE = np.array([True, True, True, True, True, False, True, False])


@pytest.fixture(scope="module")
def output():
  rng = np.random.default_rng(0)
  return Output(
    features=rng.standard_normal((8, 5)),
    weights=rng.standard_normal((5, 4)),
    bias=rng.standard_normal(4),
  )


def resolved(method, /, **changes):
  config = base.get_config()
  config.method = method
  config.update_from_flattened_dict(changes)
  return resolve_config(config, len(COUNTS))


def values(method, output, where=None, labels=LABELS, **changes):
  """The unreduced loss, compiled."""
  config = resolved(method, **changes)
  loss = methods.create_loss(config, COUNTS)

  @jax.jit
  def compiled(output, labels, own, where):
    context = methods.Context(own, where, jnp.int32(0))
    return loss(output, labels, context)

  output = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), output)
  found = compiled(output, jnp.asarray(labels), jnp.asarray(LABELS), where)
  assert found.dtype == jnp.float32
  assert found.shape == LABELS.shape
  return found


def cross_entropy(output, labels=LABELS):
  logits = output.features @ output.weights
  logits = logits if output.bias is None else logits + output.bias
  normaliser = np.log(np.exp(logits).sum(1))
  return normaliser - logits[np.arange(len(labels)), labels]


def dot_regression(
  output, lengths, scaling, feature_length=None, labels=LABELS
):
  """The published code's arithmetic, with the lengths of the classes given."""
  targets = output.weights.T[labels] * lengths[labels][:, None]
  size = np.linalg.norm(targets, axis=1)
  expected = np.linalg.norm(output.features, axis=1)
  if feature_length is not None:
    expected = np.full(len(labels), feature_length)
  inner = (output.features * targets).sum(1)
  loss = (inner - size * expected) ** 2 / (2 * expected)
  return loss / size if scaling == "paper" else loss


@pytest.mark.parametrize("method", ["ce", "ce_frozen", "etf_ce"])
def test_cross_entropy(output, method):
  given = output._replace(bias=None) if method == "etf_ce" else output
  np.testing.assert_allclose(
    values(method, given), cross_entropy(given), rtol=1e-5
  )


def test_weighted_cross_entropy_over_the_batch(output):
  # N / (K n_k), whose mean over the training set is 1.
  weights = COUNTS.sum() / (len(COUNTS) * COUNTS)
  assert np.average(weights, weights=COUNTS) == pytest.approx(1)
  expected = weights[LABELS] * cross_entropy(output)
  found = values("ce_weighted", output)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("where", [None, WHERE])
def test_weighted_cross_entropy_over_the_weights(output, where):
  weight = (COUNTS.sum() / (len(COUNTS) * COUNTS))[LABELS]
  counted = slice(None) if where is None else where
  expected = np.average(cross_entropy(output)[counted], weights=weight[counted])
  found = values(
    "ce_weighted",
    output,
    where=None if where is None else jnp.asarray(where),
    **{"loss.weight_reduction": "weight_sum"},
  )
  mean = methods.masked_mean(
    found, None if where is None else jnp.asarray(where)
  )
  np.testing.assert_allclose(mean, expected, rtol=1e-5)
  public = losses.weighted_mean(
    cross_entropy(output).astype(np.float32), weight.astype(np.float32), where
  )
  np.testing.assert_allclose(public, expected, rtol=1e-5)


# Lengths by hand, sqrt(gamma / n_k): in the batch 3, 2, 0 and 3 examples and
# gamma 8/3; without the masked 3, 1, 0 and 2, gamma 2; in the data set 80 / 4.
BATCH_LENGTHS = np.sqrt([8 / 9, 4 / 3, 1, 8 / 9])
MASKED_LENGTHS = np.sqrt([2 / 3, 2, 1, 1])
GLOBAL_LENGTHS = np.sqrt([20 / 50, 20 / 20, 20 / 7, 20 / 3])


@pytest.mark.parametrize("scaling", ["paper", "class_balanced"])
@pytest.mark.parametrize(
  ("class_lengths", "lengths"),
  [
    ("batch", BATCH_LENGTHS),
    ("global", GLOBAL_LENGTHS),
    ("none", np.ones(4)),
  ],
)
def test_dot_regression(output, class_lengths, lengths, scaling):
  found = values(
    "etf_dr",
    output,
    **{"loss.class_lengths": class_lengths, "loss.scaling": scaling},
  )
  expected = dot_regression(output, lengths, scaling, feature_length=1.0)
  np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_dot_regression_without_the_masked(output):
  found = values("etf_dr", output, where=jnp.asarray(WHERE))
  expected = dot_regression(output, MASKED_LENGTHS, "class_balanced", 1.0)
  expected[~WHERE] = 0
  np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_lengths_come_from_the_batchs_own_labels(output):
  # Mixup asks for the loss of the partners' labels; the lengths stay.
  partners = LABELS[[3, 0, 5, 1, 2, 7, 4, 6]]
  found = values("etf_dr", output, labels=partners)
  expected = dot_regression(
    output, BATCH_LENGTHS, "class_balanced", 1.0, labels=partners
  )
  np.testing.assert_allclose(found, expected, rtol=2e-5)


@pytest.mark.parametrize(
  ("changes", "feature_length"),
  [
    ({"head.l2_normalize": True}, 1.0),
    ({"head.l2_normalize": False}, None),
    ({"head.l2_normalize": False, "loss.feature_length": 2.5}, 2.5),
    ({"loss.feature_length": 2.5}, 2.5),
  ],
)
def test_feature_length_follows_the_head(output, changes, feature_length):
  found = values("etf_dr", output, **changes)
  expected = dot_regression(
    output, BATCH_LENGTHS, "class_balanced", feature_length
  )
  np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_published_loss_weights_classes_equally():
  """At unit features: the mean over classes of the mean (1 - cos)^2 / 2."""
  rng = np.random.default_rng(2)
  unit = lambda x, axis: x / np.linalg.norm(x, axis=axis, keepdims=True)  # noqa: E731
  features = unit(rng.standard_normal((8, 5)), 1)
  weights = unit(rng.standard_normal((5, 4)), 0)
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


@pytest.mark.parametrize(
  ("method", "head", "normalised"),
  [
    ("ce", "linear", False),
    ("ce_weighted", "linear", False),
    ("ce_frozen", "frozen_linear", False),
    ("etf_ce", "etf", True),
    ("etf_dr", "etf", True),
    ("etf_logit_adjusted", "etf", True),
  ],
)
def test_heads_of_the_methods(method, head, normalised):
  config = resolved(method)
  assert config.head.name == head
  assert config.head.batch_norm is config.head.l2_normalize is normalised
  assert config.model.num_classes == 4
  assert methods.METHODS[method].trains == "all"


def test_what_is_given_stays():
  config = resolved(
    "etf_ce", **{"head.batch_norm": False, "model.num_classes": 4}
  )
  assert config.head.batch_norm is False
  assert config.head.l2_normalize is True
  assert config.model.num_classes == 4
  assert resolved("ce", **{"head.name": "etf"}).head.name == "etf"


def test_lengths_of_a_frame():
  # None and not 1, so that runs of before the field stay the runs they are.
  assert resolved("etf_ce").head.length is None
  assert resolved("etf_logit_adjusted").head.length == 10
  assert resolved("etf_ce", **{"head.length": 4.0}).head.length == 4


@pytest.mark.parametrize(
  ("method", "field", "value", "remedy"),
  [
    ("etf_ce", "loss.feature_length", 2.0, "leave it out"),
    ("etf_dr", "head.length", 2.0, "loss.class_lengths"),
    ("etf_dr", "head.learn_length", True, "loss.class_lengths"),
    ("etf_ce", "head.length", -1.0, "> 0"),
  ],
)
def test_lengths_that_do_nothing_are_refused(method, field, value, remedy):
  with pytest.raises(InputError, match=f"config.{field}={value}.*{remedy}"):
    resolved(method, **{field: value})


def test_resolving_leaves_the_given_config_alone():
  config = base.get_config()
  resolve_config(config, 4)
  assert config.head.name is None
  assert config.model.num_classes is None


@pytest.mark.parametrize(
  ("field", "value", "nearest"),
  [
    ("method", "etf_rd", "etf_dr"),
    ("method", "ce_weigthed", "ce_weighted"),
    ("dtype", "bfloat", "bfloat16"),
    ("head.name", "eft", "etf"),
    ("head.name", "frozen", "frozen_linear"),
    ("loss.class_lengths", "batches", "batch"),
    ("loss.scaling", "balanced", "class_balanced"),
    ("loss.weight_reduction", "sum", "weight_sum"),
    ("schedule.name", "cos", "cosine"),
    ("optimizer.decayed", "kernel", "kernels"),
  ],
)
def test_unknown_choices_name_the_nearest(field, value, nearest):
  message = rf"config\.{field}='{value}': unknown; did you mean '{nearest}'"
  with pytest.raises(InputError, match=message) as caught:
    resolved("etf_dr", **{field: value})
  assert "\n" not in str(caught.value)


def test_dot_regression_needs_a_frame():
  with pytest.raises(
    InputError, match=r"method='etf_dr' needs config\.head\.name='etf', not 'l"
  ):
    resolved("etf_dr", **{"head.name": "linear"})


@pytest.mark.parametrize(("count", "word"), [(3, "less"), (6, "more")])
def test_a_head_has_the_classes_of_the_data(count, word):
  with pytest.raises(
    InputError, match=rf"num_classes={count} is {word} than the 4 classes of d"
  ):
    resolved("ce", **{"model.num_classes": count})
