# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""BatchNorm over groups against running the model on each group apart."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
import pytest

from etf_jax.errors import InputError
from etf_jax.models import Classifier, ETFHead, ResNetCIFAR, batch_norm

SIZE, GROUPS = 4, 3
BATCH = SIZE * GROUPS


class Layer(nn.Module):
  """BatchNorm after a dense layer, with the mask that a head gives it."""

  @nn.compact
  def __call__(self, x, *, train, mask=None):
    x = nn.Dense(6)(x)
    mask = None if mask is None else mask[:, None]
    norm = nn.BatchNorm(momentum=0.9, epsilon=1e-5, name="norm")
    return norm(x, use_running_average=not train, mask=mask)


@pytest.fixture(scope="module")
def inputs():
  return jax.random.normal(jax.random.key(1), (BATCH, 5)) * 3 + 1


@pytest.fixture(scope="module")
def layer(inputs):
  model = Layer()
  variables = model.init(jax.random.key(0), inputs, train=True)
  norm = variables["params"]["norm"]
  norm["scale"] = jnp.linspace(0.5, 2, 6)
  norm["bias"] = jnp.linspace(-1, 1, 6)
  return model, variables


def train(model, variables, x, *, size=None, mask=None, merged=False):
  with batch_norm.groups_of(size, merged=merged):
    return model.apply(
      variables, x, train=True, mask=mask, mutable=["batch_stats"]
    )


def assert_close(actual, expected, tolerance=1e-6):
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(
      a, e, rtol=tolerance, atol=tolerance
    ),
    actual,
    expected,
  )


def numpy_groups(layer, x, where):
  """Outputs of what counts, mean and variance of each group, in float64."""
  _, variables = layer
  dense, norm = (variables["params"][k] for k in ("Dense_0", "norm"))
  wide = [np.float64(a) for a in (x, dense["kernel"], dense["bias"])]
  hidden = (wide[0] @ wide[1] + wide[2]).reshape(-1, SIZE, 6)
  scale, bias = (np.asarray(norm[k]) for k in ("scale", "bias"))
  outputs, means, variances = [], [], []
  for rows, counts in zip(hidden, where.reshape(-1, SIZE), strict=True):
    mean, variance = rows[counts].mean(0), rows[counts].var(0)
    scaled = (rows[counts] - mean) / np.sqrt(variance + 1e-5)
    outputs.append(scaled * scale + bias)
    means.append(mean)
    variances.append(variance)
  return np.concatenate(outputs), np.array(means), np.array(variances)


@pytest.mark.parametrize("counted", [None, (4, 3, 1)])
def test_groups_in_numpy(layer, inputs, counted):
  """Each group is normalised alone; the statistics weigh what counts."""
  counts = np.array(counted or [SIZE] * GROUPS)
  where = (np.arange(SIZE) < counts[:, None]).reshape(-1)
  mask = None if counted is None else jnp.asarray(where)
  output, updates = train(*layer, inputs, size=SIZE, mask=mask)
  expected, means, variances = numpy_groups(layer, inputs, where)
  np.testing.assert_allclose(output[where], expected, rtol=2e-4, atol=2e-4)
  found, shares = updates["batch_stats"]["norm"], counts / counts.sum()
  np.testing.assert_allclose(
    found["mean"], 0.1 * shares @ means, rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(
    found["var"], 0.9 + 0.1 * shares @ variances, rtol=1e-4
  )


@pytest.mark.slow
def test_a_group_of_padding_has_no_weight_and_is_finite(layer, inputs):
  model, variables = layer
  mask = jnp.arange(BATCH) < 2 * SIZE
  one = train(model, variables, inputs, size=SIZE, mask=mask)
  fewer = train(model, variables, inputs[: 2 * SIZE], size=SIZE)
  assert_close(one[0][: 2 * SIZE], fewer[0])
  assert_close(one[1], fewer[1])

  def masked_loss(params):
    output, _ = train(
      model, variables | {"params": params}, inputs, size=SIZE, mask=mask
    )
    return jnp.sum(jnp.where(mask[:, None], output**2, 0))

  for leaf in jax.tree.leaves(jax.grad(masked_loss)(variables["params"])):
    assert np.isfinite(leaf).all()


@pytest.mark.slow
def test_the_gradient_of_groups_apart(layer, inputs):
  model, variables = layer
  weights = jax.random.normal(jax.random.key(2), (BATCH, 6))

  def value(params, rows, size=None):
    output, _ = train(
      model, variables | {"params": params}, inputs[rows], size=size
    )
    return jnp.sum(weights[rows] * output**2)

  gradient, everything = jax.grad(value), slice(None)
  apart = [
    gradient(variables["params"], slice(start, start + SIZE))
    for start in range(0, BATCH, SIZE)
  ]
  expected = jax.tree.map(lambda *parts: sum(parts), *apart)
  assert_close(gradient(variables["params"], everything, SIZE), expected, 1e-4)
  other = gradient(variables["params"], everything)
  difference = jax.tree.map(lambda a, b: np.abs(a - b).max(), other, expected)
  assert max(jax.tree.leaves(difference)) > 0.1


def test_a_classifier_has_groups_in_its_backbone_and_its_head(inputs):
  head = ETFHead(4)
  plain, grouped = Classifier(Layer(), head), Classifier(Layer(), head, SIZE)
  variables = plain.init(jax.random.key(1), inputs[:1])

  @functools.partial(jax.jit, static_argnums=0)
  def run(model, x):
    output, updates = model.apply(
      variables, x, train=True, mutable=["batch_stats"]
    )
    return output.features, updates["batch_stats"]

  features, statistics = run(grouped, inputs)
  apart = [
    run(plain, inputs[start : start + SIZE]) for start in range(0, BATCH, SIZE)
  ]
  assert_close(features, jnp.concatenate([part[0] for part in apart]), 1e-4)
  means = [part[1] for part in apart]
  mean = jax.tree.map(lambda *parts: sum(parts) / GROUPS, *means)
  assert_close(statistics, mean, 1e-5)
  assert set(statistics) == {"backbone", "head"}


def test_all_norms_of_a_residual_network_see_groups():
  model = ResNetCIFAR(depth=8)
  images = jnp.zeros((BATCH, 8, 8, 1))
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  program = jax.make_jaxpr(lambda v: train(model, v, images, size=SIZE))
  grouped = [
    equation
    for equation in program(variables).eqns
    if equation.primitive.name == "reshape"
    and equation.invars[0].aval.ndim == 4
    and equation.outvars[0].aval.shape[:2] == (GROUPS, SIZE)
  ]
  assert len(grouped) == len(jax.tree.leaves(variables["batch_stats"])) / 2


def test_what_does_not_train_is_left_to_linen(layer, inputs):
  model, variables = layer

  def outside(variables, x):
    return model.apply(variables, x, train=False, mutable=["batch_stats"])

  for size in (None, SIZE):
    with batch_norm.groups_of(size):
      inside = jax.make_jaxpr(outside)(variables, inputs)
    assert str(inside) == str(jax.make_jaxpr(outside)(variables, inputs))
  assert_close(train(*layer, inputs, size=BATCH), train(*layer, inputs), 1e-5)


def test_on_cpus_and_tpus_a_run_has_linens_bits(layer, inputs):
  """So that runs of versions without merged sums go on to the bit."""
  model, variables = layer

  def trained(variables, x):
    return model.apply(variables, x, train=True, mutable=["batch_stats"])

  expected = str(jax.make_jaxpr(trained)(variables, inputs))
  with batch_norm.groups_of(None):
    assert str(jax.make_jaxpr(trained)(variables, inputs)) == expected


@pytest.mark.parametrize("counted", [BATCH, BATCH - 1, SIZE])
def test_merged_sums_of_groups(layer, inputs, counted):
  mask = jnp.arange(BATCH) < counted
  groups = {"size": SIZE, "mask": mask}
  found = train(*layer, inputs, **groups, merged=True)
  assert_close(found, train(*layer, inputs, **groups), 1e-5)


class Images(nn.Module):
  """linen's BatchNorm, with channels on an axis."""

  axis: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, mask):
    return nn.BatchNorm(
      False, axis=self.axis, dtype=self.dtype, param_dtype=self.dtype
    )(x, mask=mask)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("counted", [None, 5])
@pytest.mark.parametrize(
  ("dtype", "tolerance"), [(jnp.float32, 2e-6), (jnp.float64, 1e-12)]
)
def test_values_and_gradients_are_those_of_linen(
  axis, counted, dtype, tolerance
):
  """Relative to the largest number of an array."""
  with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
    x, weights = 1 + jax.random.normal(
      jax.random.key(0), (2, 8, 4, 6, 5), dtype
    )
    mask = None
    if counted is not None:
      mask = (jnp.arange(8) < counted)[:, None, None, None]
    model = Images(axis, dtype)
    variables = model.init(jax.random.key(1), x, mask)
    variables = jax.tree.map(lambda leaf: leaf.astype(dtype) + 0.3, variables)

    @jax.value_and_grad
    def of_linen(given):
      return value(given)[0]

    def value(given):
      params, x = given
      y, updates = model.apply(
        variables | {"params": params}, x, mask, mutable=["batch_stats"]
      )
      return jnp.mean(weights * jnp.sin(y)), updates

    given = variables["params"], x
    expected = of_linen(given), value(given)
    with batch_norm.groups_of(None, merged=True):
      found = of_linen(given), value(given)
    for ours, theirs in zip(
      *map(jax.tree.leaves, (found, expected)), strict=True
    ):
      assert ours.dtype == theirs.dtype
      np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max()
      )


@pytest.mark.slow
def test_groups_on_their_devices_need_no_communication(layer):
  """Nor do they change with the devices; unlike those of a whole batch."""
  model, variables = layer
  mesh = Mesh(np.asarray(jax.devices()), ("data",))
  spread = NamedSharding(mesh, PartitionSpec("data"))
  everywhere = NamedSharding(mesh, PartitionSpec())
  x = jax.random.normal(jax.random.key(3), (8 * 2 * SIZE, 5))
  mask = jnp.arange(len(x)) < 50

  def program(size):
    def run(variables, x, mask):
      output, _ = train(model, variables, x, size=size, mask=mask)
      return output

    return (
      jax.jit(
        run,
        in_shardings=(everywhere, spread, spread),
        out_shardings=spread,
      )
      .lower(variables, x, mask)
      .compile()
    )

  grouped = program(SIZE)
  for name in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
    assert name not in grouped.as_text()
  assert "all-reduce" in program(None).as_text()
  expected, _ = train(model, variables, x, size=SIZE, mask=mask)
  placed = jax.device_put((variables, x, mask), (everywhere, spread, spread))
  # Among the last ones are groups of padding, which nothing depends on.
  np.testing.assert_allclose(
    grouped(*placed)[:50], expected[:50], rtol=1e-5, atol=1e-5
  )


def test_a_batch_that_is_no_multiple(layer, inputs):
  with pytest.raises(
    InputError,
    match=r"^a batch of 12 examples is no multiple of config.bn_group_size=5",
  ):
    train(*layer, inputs, size=5)
