# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Heads: what is fixed, what is learned, and what a mask keeps out."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.errors import InputError
from etf_jax.models import CosineHead, ETFHead, LinearHead, heads

WIDTH, CLASSES = 6, 4


@contextlib.contextmanager
def float64():
  # linen's normalisation promotes float64 with float32 itself.
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture
def features():
  rng = np.random.default_rng(0)
  return jnp.asarray(rng.standard_normal((5, WIDTH)), jnp.float32)


def head_and_variables(features, kind=ETFHead, **options):
  head = kind(CLASSES, **options)
  return head, head.init(jax.random.key(0), features)


def test_prototypes_are_a_simplex_etf_outside_params(features):
  head, variables = head_and_variables(features)
  assert set(variables) == {"params", "batch_stats", "etf"}
  assert set(variables["etf"]) == {"prototypes"}
  assert set(variables["params"]) == {"norm"}
  prototypes = np.asarray(variables["etf"]["prototypes"], np.float64)
  # K/(K-1) I - 1/(K-1): ones on the diagonal, -1/3 elsewhere.
  gram = np.eye(CLASSES) * 4 / 3 - 1 / 3
  np.testing.assert_allclose(prototypes.T @ prototypes, gram, atol=1e-6)
  output = head.apply(variables, features)
  np.testing.assert_array_equal(output.weights, variables["etf"]["prototypes"])


def test_etf_logits_by_hand(features):
  head, variables = head_and_variables(features)
  variables["params"]["norm"] = {
    "scale": jnp.linspace(0.5, 1.5, WIDTH),
    "bias": jnp.linspace(-1.0, 1.0, WIDTH),
  }
  output, updates = head.apply(
    variables, features, train=True, mutable=["batch_stats"]
  )
  x = np.asarray(features, np.float64)
  mean, variance = x.mean(0), x.var(0)
  y = (x - mean) / np.sqrt(variance + 1e-5)
  y = y * np.linspace(0.5, 1.5, WIDTH) + np.linspace(-1, 1, WIDTH)
  y /= np.linalg.norm(y, axis=1, keepdims=True)
  prototypes = np.asarray(variables["etf"]["prototypes"], np.float64)
  np.testing.assert_allclose(output.features, y, atol=1e-5)
  np.testing.assert_allclose(output.logits, y @ prototypes, atol=1e-5)
  statistics = updates["batch_stats"]["norm"]
  np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-4)
  np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * variance, rtol=1e-4)


def test_evaluation_uses_the_running_statistics(features):
  head, variables = head_and_variables(features, l2_normalize=False)
  variables["batch_stats"]["norm"] = {
    "mean": jnp.full(WIDTH, 2.0),
    "var": jnp.full(WIDTH, 4.0),
  }
  output = head.apply(variables, features)
  np.testing.assert_allclose(output.features, (features - 2) / 2, rtol=1e-4)


def test_without_options_features_pass_unchanged(features):
  head, variables = head_and_variables(
    features, batch_norm=False, l2_normalize=False
  )
  assert set(variables) == {"etf"}
  output = head.apply(variables, features)
  np.testing.assert_array_equal(output.features, features)
  assert output.bias is None


def test_frame_is_the_keys(features):
  first, second = (
    ETFHead(CLASSES).init(jax.random.key(seed), features)["etf"]["prototypes"]
    for seed in (0, 1)
  )
  assert np.abs(first - second).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
  "frame",
  [
    *("haar", "uniform_qr"),
    *(
      pytest.param(x, marks=pytest.mark.slow) for x in ("structured", "random")
    ),
  ],
)
def test_a_frame_is_the_same_wherever_the_head_is_initialized(features, frame):
  head = ETFHead(CLASSES, frame=frame)
  keys = jax.random.split(jax.random.key(3))
  drawn = [head.init(key, features)["etf"]["prototypes"] for key in keys]
  shape = jax.eval_shape(head.init, keys[0], features)["etf"]["prototypes"]
  assert (shape.shape, shape.dtype) == (drawn[0].shape, drawn[0].dtype)
  assert "ETFHead Summary" in head.tabulate(keys[0], features)
  ensemble = jax.vmap(head.init, in_axes=(0, None))(keys, features)
  for key, one, frame in zip(
    keys, drawn, ensemble["etf"]["prototypes"], strict=True
  ):
    jitted = jax.jit(head.init)(key, features)["etf"]["prototypes"]
    np.testing.assert_array_equal(jitted, one)
    np.testing.assert_array_equal(frame, one)


@pytest.mark.slow
def test_lengths_of_the_prototypes(features):
  key = jax.random.key(0)
  plain, longer = ETFHead(CLASSES), ETFHead(CLASSES, length=8.0)
  variables = plain.init(key, features)
  expected = plain.apply(variables, features).weights
  np.testing.assert_allclose(
    longer.apply(variables, features).weights, 8 * expected, rtol=1e-6
  )
  learned = ETFHead(CLASSES, length=8.0, learn_length=True)
  variables = learned.init(key, features)
  weights = learned.apply(variables, features).weights
  np.testing.assert_allclose(weights, 8 * expected, rtol=1e-6)
  gradient = jax.grad(
    lambda params: (
      learned.apply(variables | {"params": params}, features).weights ** 2
    ).sum()
  )(variables["params"])
  # The squares add up to 64 for each class, and to twice that by the log.
  assert float(gradient["log_length"]) == pytest.approx(128 * CLASSES, rel=1e-5)
  with pytest.raises(InputError, match="length=0"):
    ETFHead(CLASSES, length=0.0)


@pytest.mark.slow
def test_a_frame_of_more_classes_than_a_simplex_has_room_for(features):
  classes = features.shape[-1] + 4
  for frame in ("softmax_code", "random"):
    variables = ETFHead(classes, frame=frame).init(jax.random.key(0), features)
    columns = variables["etf"]["prototypes"]
    assert columns.shape == (features.shape[-1], classes)
    np.testing.assert_allclose(jnp.linalg.norm(columns, axis=0), 1, atol=1e-6)


def test_linear_head_by_hand(features):
  head, variables = head_and_variables(features, LinearHead)
  assert set(variables) == {"params"}
  kernel, bias = (variables["params"][n] for n in ("kernel", "bias"))
  output = head.apply(variables, features)
  np.testing.assert_array_equal(output.features, features)
  np.testing.assert_allclose(
    output.logits,
    np.asarray(features, np.float64) @ np.asarray(kernel) + np.asarray(bias),
    atol=1e-5,
  )


def test_linear_initialisation():
  wide = jnp.zeros((1, 400))
  params = LinearHead(50).init(jax.random.key(0), wide)["params"]
  # Kaiming: variance 2 / 400. The bias, as PyTorch's: uniform within 1/20.
  np.testing.assert_allclose(params["kernel"].std(), 0.0707, rtol=0.02)
  bias = np.abs(params["bias"])
  assert 0.04 < bias.max() <= 0.05


def test_frozen_head_learns_nothing(features):
  head, variables = head_and_variables(features, LinearHead, frozen=True)
  assert set(variables) == {"etf"}
  assert set(variables["etf"]) == {"kernel", "bias"}
  output, updates = head.apply(
    variables, features, train=True, mutable=["batch_stats", "params"]
  )
  assert not jax.tree.leaves(updates)
  np.testing.assert_allclose(
    output.logits,
    features @ variables["etf"]["kernel"] + variables["etf"]["bias"][None],
    atol=1e-5,
  )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ETFHead, LinearHead])
def test_projector_comes_first(features, kind):
  head, variables = head_and_variables(
    features, kind, batch_norm=True, l2_normalize=True, projector=9
  )
  projector = variables["params"]["projector"]
  assert projector["kernel"].shape == (WIDTH, 9)
  variables["params"]["projector"]["bias"] = jnp.linspace(-3.0, 3.0, 9)
  output = head.apply(variables, features)
  y = features @ projector["kernel"] + jnp.linspace(-3.0, 3.0, 9)[None]
  y /= np.linalg.norm(y, axis=1, keepdims=True)
  np.testing.assert_allclose(output.features, y, atol=1e-5)
  assert output.features.min() < 0
  assert output.weights.shape == (9, CLASSES)


def test_too_narrow_features_for_a_frame():
  with pytest.raises(ValueError, match=r"needs num_classes - 1 = 3.*Project"):
    ETFHead(4).init(jax.random.key(0), jnp.zeros((1, 2)))


@pytest.mark.slow
def test_unit_length_and_its_gradient():
  x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-9, 0.0]])
  value, pullback = jax.vjp(heads.unit_length, x)
  np.testing.assert_allclose(value, [[0.6, 0.8], [0, 0], [0, 0]], rtol=1e-6)
  (gradient,) = pullback(jnp.ones_like(x))
  # (I - u u^T) 1 / |x| at (3, 4): ((1, 1) - 1.4 (.6, .8)) / 5.
  np.testing.assert_allclose(
    gradient, [[0.032, -0.024], [0, 0], [0, 0]], rtol=1e-4, atol=1e-7
  )


@pytest.mark.slow
def test_a_masked_batch_is_the_batch_without_the_masked():
  rng = np.random.default_rng(1)
  with float64():
    x = jnp.asarray(rng.standard_normal((8, WIDTH)))
    mask = jnp.array([True, True, False, True, True, True, False, False])
    head, variables = head_and_variables(x, projector=9)
    prototypes = np.asarray(variables["etf"]["prototypes"])
    direction = jnp.asarray(rng.standard_normal((8, CLASSES)))

    def loss(params, x, mask, direction):
      output, updates = head.apply(
        variables | {"params": params},
        x,
        train=True,
        mask=mask,
        mutable=["batch_stats"],
      )
      values = jnp.sum(jnp.sin(output.logits) * direction, axis=1)
      counted = values if mask is None else jnp.where(mask, values, 0)
      return jnp.sum(counted), (output.features, updates)

    gradient = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    params = variables["params"]
    (padded, x_padded), (features, updates) = gradient(
      params, x, mask, direction
    )
    (alone, x_alone), (features_alone, updates_alone) = gradient(
      params, x[mask], None, direction[mask]
    )
  # All of it stays float64, and the frame is one to that precision.
  assert features.dtype == padded["norm"]["scale"].dtype == np.float64
  gram = np.eye(CLASSES) * 4 / 3 - 1 / 3
  np.testing.assert_allclose(prototypes.T @ prototypes, gram, atol=1e-15)
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-13)  # noqa: E731
  jax.tree.map(close, padded, alone)
  jax.tree.map(close, updates, updates_alone)
  close(features[mask], features_alone)
  close(x_padded[mask], x_alone)
  np.testing.assert_array_equal(x_padded[~mask], np.zeros((3, WIDTH)))


def test_one_example_alone_gives_no_nan(features):
  head, variables = head_and_variables(features)
  mask = jnp.arange(5) == 2

  def loss(params, features, mask):
    output, updates = head.apply(
      variables | {"params": params},
      features,
      train=True,
      mask=mask,
      mutable=["batch_stats"],
    )
    own = output.logits[:, 1]
    return jnp.mean((own - 1) ** 2), (output, updates)

  gradient = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
  for x, where in ((features[2:3], None), (features, mask)):
    gradients, (output, updates) = gradient(variables["params"], x, where)
    # BatchNorm leaves nothing of it, so it teaches nothing.
    alone = output.features if where is None else output.features[2:3]
    np.testing.assert_array_equal(alone, np.zeros((1, WIDTH)))
    for leaf in jax.tree.leaves((gradients, updates, output)):
      assert np.isfinite(leaf).all()
    assert np.abs(gradients[1]).max() < 1e3


def test_bfloat16_features_are_classified_in_float32(features):
  head, variables = head_and_variables(features, projector=9)
  narrow = features.astype(jnp.bfloat16)
  output, updates = jax.jit(
    lambda v, x: head.apply(v, x, train=True, mutable=["batch_stats"])
  )(variables, narrow)
  assert output.features.dtype == output.logits.dtype == jnp.float32
  assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.dtype("float32")}
  # Nothing is rounded to bfloat16 on the way.
  wide, _ = head.apply(
    variables,
    narrow.astype(jnp.float32),
    train=True,
    mutable=["batch_stats"],
  )
  np.testing.assert_allclose(output.logits, wide.logits, atol=1e-5)


def test_cosine_head(features):
  features = np.asarray(features)
  head = CosineHead(num_classes=4)
  variables = head.init(jax.random.key(0), features)
  kernel = np.asarray(variables["params"]["kernel"], np.float64)
  assert kernel.shape == (WIDTH, 4)
  np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1, rtol=1e-6)
  # Neither the lengths of features nor those of columns matter.
  longer = {"params": {"kernel": jnp.asarray(kernel * [[1, 2, 3, 4]])}}
  longer = jax.tree.map(lambda x: x.astype(jnp.float32), longer)
  output = head.apply(longer, 7 * features)
  unit = features / np.linalg.norm(features, axis=1, keepdims=True)
  np.testing.assert_allclose(output.logits, unit @ kernel, atol=1e-6)
  assert output.bias is None
  plain = CosineHead(num_classes=4, l2_normalize=False)
  np.testing.assert_allclose(
    plain.apply(longer, features).logits, features @ kernel, atol=1e-5
  )


def test_cosine_columns_of_many_draws_are_isotropic(features):
  head = CosineHead(num_classes=4000)
  kernel = np.asarray(
    head.init(jax.random.key(1), features)["params"]["kernel"]
  )
  np.testing.assert_allclose(
    kernel @ kernel.T / 4000, np.eye(WIDTH) / WIDTH, atol=0.02
  )


@pytest.mark.parametrize("make", [ETFHead, LinearHead, CosineHead])
@pytest.mark.parametrize(
  ("projector", "width"), [(None, WIDTH), (0, WIDTH), (-1, WIDTH), (8, 8)]
)
def test_projector(features, make, projector, width):
  options = {"batch_norm": False, "l2_normalize": False}
  head = make(num_classes=4, projector=projector, **options)
  output, variables = head.init_with_output(jax.random.key(0), abs(features))
  assert output.features.shape == (5, width)
  assert output.weights.shape == (width, 4)
  if projector:
    layer = variables["params"]["projector"]
    expected = abs(features) @ layer["kernel"] + layer["bias"][None]
    np.testing.assert_allclose(output.features, expected, rtol=1e-4, atol=1e-6)
    # The reason to have it: what it gives is not confined to an orthant.
    assert output.features.min() < 0
  else:
    assert "projector" not in variables.get("params", {})
    np.testing.assert_array_equal(output.features, abs(features))
