# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Learning rates by hand, and SGD against PyTorch's."""

import pathlib

from golden import formula
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from etf_jax.configs import base, cifar10_lt
from etf_jax.training import durations, optimizer

# CIFAR-10-LT at imbalance 0.01: 97 steps an epoch, the last of 118 examples.
CIFAR = durations.Epoch(examples=12_406, batch_size=128)


def rate(config, epoch=CIFAR, epochs=200):
  """The learning rate as a function of the step."""
  total = round(epochs * epoch.steps)
  schedule = jax.jit(schedule_of(config, epoch, total))
  return lambda step: float(schedule(jnp.int32(step)))


def schedule_of(config, epoch, total):
  return optimizer.create_schedule(
    config.schedule, config.optimizer.learning_rate, epoch, total
  )


def test_the_recipe_of_cifar():
  config = cifar10_lt.get_config()
  found = rate(config)
  # Epochs counted from 1, as the recipe does.
  wanted = {
    1: 0.02,
    2: 0.04,
    3: 0.06,
    4: 0.08,
    5: 0.1,
    6: 0.1,
    160: 0.1,
    161: 0.01,
    180: 0.01,
    181: 0.001,
    200: 0.001,
  }
  for epoch, value in wanted.items():
    for step in ((epoch - 1) * 97, epoch * 97 - 1):
      assert found(step) == pytest.approx(value, rel=1e-6), (epoch, step)


def changed(**fields):
  config = base.get_config()
  config.schedule.update(warmup_epochs=0.0)
  config.schedule.update(fields)
  return config


def test_cosine():
  config = changed(name="cosine")
  config.optimizer.learning_rate = 0.4
  found = rate(config, epochs=256)
  assert found(0) == pytest.approx(0.4)
  assert found(96) == found(0)
  assert found(64 * 97) == pytest.approx(0.4 * (1 + np.sqrt(0.5)) / 2)
  assert found(128 * 97) == pytest.approx(0.2)
  last = 0.2 * (1 + np.cos(np.pi * 255 / 256))
  assert found(256 * 97 - 1) == pytest.approx(last, rel=1e-3)
  assert last > 0


def test_constant_after_its_warm_up():
  found = rate(changed(name="constant", warmup_epochs=4.0))
  rates = [found(epoch * 97) for epoch in (0, 1, 2, 3, 4, 199)]
  np.testing.assert_allclose(
    rates, [0.025, 0.05, 0.075, 0.1, 0.1, 0.1], rtol=1e-6
  )


def test_warm_up_in_steps_still_changes_by_epochs():
  # 60 steps are one and a half epochs of 40.
  config = changed(name="constant", warmup_steps=60)
  found = rate(config, durations.Epoch(80, 2))
  rates = [found(step) for step in (0, 39, 40, 80)]
  np.testing.assert_allclose(rates, [0.2 / 3, 0.2 / 3, 0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
  ("epochs", "fraction", "first"),
  [
    (60, 0.8, 48),
    (200, 0.57, 114),
    (100, 0.29, 29),
    (7, 0.5, 4),  # 3.5: the fourth epoch has begun
    (2.5, 0.8, 2),  # a run that ends in the middle of an epoch
  ],
)
def test_decay_begins_with_an_epoch(epochs, fraction, first):
  config = changed(decay_fractions=(fraction,), decay_factor=0.5)
  found = rate(config, epochs=epochs)
  assert found(first * 97 - 1) == pytest.approx(0.1, rel=1e-6)
  assert found(first * 97) == pytest.approx(0.05, rel=1e-6)


def test_rates_that_change_with_each_step():
  # HingeCE's on ImageNet: 100 steps of warm-up, then a cosine.
  config = changed(name="cosine", per_step=True, warmup_steps=100)
  config.optimizer.learning_rate = 0.4
  found = rate(config, epochs=90)
  half = 45 * 97
  rates = [found(step) for step in (0, 1, 49, 99, half)]
  cosines = np.cos(np.pi * np.array([0, 1, 49, 99, half]) / (90 * 97))
  warm = [0.01, 0.02, 0.5, 1, 1]
  np.testing.assert_allclose(rates, 0.2 * (1 + cosines) * warm, rtol=1e-5)
  assert found(half) == pytest.approx(0.2, rel=1e-5)
  assert found(half + 1) < found(half)
  steps = rate(changed(name="step", per_step=True), epochs=10)
  np.testing.assert_allclose(
    [steps(775), steps(776), steps(873)], [0.1, 0.01, 1e-3], rtol=1e-6
  )


def test_rates_are_exact_in_float64():
  with jax.enable_x64(True):
    schedule = schedule_of(changed(), CIFAR, 200 * 97)
    for step, value in ((0, 0.1), (170 * 97, 0.1 * 0.1)):
      found = schedule(jnp.int32(step))
      assert found.dtype == jnp.float64
      assert float(found) == value


def path(config, parameters, gradients, rates):
  """Parameters after each step of our optimiser, in float64."""
  table = jnp.asarray(rates)
  sgd = optimizer.create_optimizer(config.optimizer, lambda step: table[step])
  state, result = sgd.init(parameters), []
  for gradient in gradients:
    updates, state = sgd.update(gradient, state, parameters)
    parameters = optax.apply_updates(parameters, updates)
    result.append(parameters)
  return result


@pytest.mark.parametrize("name", formula.SGD)
def test_steps_are_those_of_pytorch(name):
  golden = pathlib.Path(formula.__file__).with_name("parity.npz")
  with np.load(golden) as file:
    expected = file[f"sgd/{name}"]
  config = base.get_config()
  config.optimizer.update(formula.SGD[name])
  with jax.enable_x64(True):
    start, gradients, rates = formula.sgd_problem()
    found = path(config, jnp.asarray(start), jnp.asarray(gradients), rates)
  np.testing.assert_allclose(np.stack(found), expected, rtol=1e-13, atol=1e-15)


def test_decay_of_kernels_only():
  config = base.get_config()
  config.optimizer.update(decayed="kernels", weight_decay=0.5, momentum=0.0)
  with jax.enable_x64(True):
    parameters = {
      "conv": {"kernel": jnp.full((1, 1, 2, 2), 2.0)},
      "norm": {"scale": jnp.full(2, 2.0), "bias": jnp.full(2, 2.0)},
      "head": {"kernel": jnp.full((2, 3), 2.0), "bias": jnp.full(3, 2.0)},
    }
    gradient = jax.tree.map(jnp.ones_like, parameters)
    (after,) = path(config, parameters, [gradient], [0.1])
  # 2 - .1 (1 + .5 * 2) with decay, 2 - .1 without.
  for place, name, value in (
    ("conv", "kernel", 1.8),
    ("head", "kernel", 1.8),
    ("head", "bias", 1.9),
    ("norm", "scale", 1.9),
    ("norm", "bias", 1.9),
  ):
    np.testing.assert_allclose(after[place][name], value, rtol=1e-15)


@pytest.mark.parametrize("factor", [0.1, 0.0])
def test_the_backbone_has_a_rate_of_its_own(factor):
  """As two parameter groups of PyTorch's SGD would have it."""
  config = base.get_config()
  config.method = "ce"
  config.optimizer.update(formula.SGD["nesterov"])
  config.optimizer.backbone_learning_rate_factor = factor
  with jax.enable_x64(True):
    start, gradients, rates = formula.sgd_problem()
    tree = lambda x: {  # noqa: E731
      "backbone": {"kernel": jnp.asarray(x)},
      "head": {"projector": {"kernel": jnp.asarray(x)}, "bias": jnp.asarray(x)},
    }
    found = path(config, tree(start), [tree(g) for g in gradients], rates)
    # The same steps with the one rate, and with the other.
    config.optimizer.backbone_learning_rate_factor = 1.0
    fast = path(config, start, jnp.asarray(gradients), rates)
    slow = path(
      config, start, jnp.asarray(gradients), [factor * r for r in rates]
    )
  for ours, one, other in zip(found, fast, slow, strict=True):
    for leaf in jax.tree.leaves(ours["head"]):
      np.testing.assert_allclose(leaf, one, rtol=1e-14)
    np.testing.assert_allclose(ours["backbone"]["kernel"], other, rtol=1e-14)


def test_decay_of_everything_is_the_default():
  config = base.get_config()
  with jax.enable_x64(True):
    parameters = {"norm": {"scale": jnp.full(2, 2.0)}}
    zero = jax.tree.map(jnp.zeros_like, parameters)
    (after,) = path(config, parameters, [zero], [0.1])
  np.testing.assert_allclose(
    after["norm"]["scale"], 2 - 0.1 * 2e-4 * 2, rtol=1e-15
  )


def test_adamw_by_hand():
  """Two steps of decoupled decay, which spares the bias."""
  config = changed(name="constant")
  config.optimizer.update(
    name="adamw", learning_rate=0.1, weight_decay=0.5, decayed="kernels"
  )
  adamw = optimizer.create_optimizer(config.optimizer, lambda step: 0.1)
  params = {"head": {"kernel": jnp.full((1, 1), 2.0), "bias": jnp.ones(1)}}
  opt_state = adamw.init(params)
  first, second, decay = np.zeros(2), np.zeros(2), np.array([0.5, 0.0])
  wanted = np.array([2.0, 1.0])
  for number, gradient in enumerate((0.3, -0.2), start=1):
    gradients = jax.tree.map(lambda x, g=gradient: jnp.full_like(x, g), params)
    updates, opt_state = adamw.update(gradients, opt_state, params)
    params = optax.apply_updates(params, updates)
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * gradient**2
    step = first / (1 - 0.9**number)
    step /= np.sqrt(second / (1 - 0.999**number)) + 1e-8
    wanted = wanted - 0.1 * (step + decay * wanted)
  found = params["head"]
  np.testing.assert_allclose(found["kernel"][0, 0], wanted[0], rtol=1e-5)
  np.testing.assert_allclose(found["bias"][0], wanted[1], rtol=1e-5)


LAYERS = (("stem", "norm"), ("block",))
TREE = {
  "backbone": {
    "stem": {"kernel": jnp.full((2, 2), 2.0)},
    "norm": {"bias": jnp.full(2, 2.0)},
    "block": {"kernel": jnp.full((2, 2), 2.0)},
    "token": jnp.full(2, 2.0),
  },
  "head": {"kernel": jnp.full((2, 3), 2.0)},
}


def fine_tuning(name="sgd", **fields):
  config = base.get_config().optimizer
  config.update(name=name, weight_decay=0.0, decayed="kernels")
  config.update(fields)
  return config


def test_layers_have_rates_that_fall_towards_the_input():
  config = fine_tuning(
    momentum=0.0, layer_decay=0.5, backbone_learning_rate_factor=0.8
  )
  sgd = optimizer.create_optimizer(config, lambda step: 0.1, layers=LAYERS)
  ones = jax.tree.map(jnp.ones_like, TREE)
  updates, _ = sgd.update(ones, sgd.init(TREE), TREE)
  found = jax.tree.map(lambda x: float(x.ravel()[0]), updates)
  # The head's .1; .8 and one half of it a layer; what has no layer is first.
  assert found == {
    "backbone": {
      "stem": {"kernel": pytest.approx(-0.02)},
      "norm": {"bias": pytest.approx(-0.02)},
      "block": {"kernel": pytest.approx(-0.04)},
      "token": pytest.approx(-0.02),
    },
    "head": {"kernel": pytest.approx(-0.1)},
  }


def test_gradients_are_clipped_by_their_norm():
  config = fine_tuning(momentum=0.0, clip_norm=1.0)
  sgd = optimizer.create_optimizer(config, lambda step: 0.1)
  ones = jax.tree.map(jnp.ones_like, TREE)  # 18 numbers
  for scale, wanted in ((1.0, 1 / np.sqrt(18)), (0.2, 0.2)):
    gradients = jax.tree.map(lambda x, s=scale: s * x, ones)
    updates, _ = sgd.update(gradients, sgd.init(TREE), TREE)
    for leaf in jax.tree.leaves(updates):
      np.testing.assert_allclose(leaf, -0.1 * wanted, rtol=1e-6)


def test_what_is_not_trained_has_no_part_in_the_norm():
  config = fine_tuning(
    momentum=0.0, clip_norm=1.0, backbone_learning_rate_factor=0.0
  )
  sgd = optimizer.create_optimizer(config, lambda step: 1.0)
  ones = jax.tree.map(jnp.ones_like, TREE)
  updates, _ = sgd.update(ones, sgd.init(TREE), TREE)
  np.testing.assert_allclose(updates["head"]["kernel"], -1 / np.sqrt(6), 1e-6)
  assert not any(x.any() for x in jax.tree.leaves(updates["backbone"]))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_backbone_that_joins_later_starts_as_if_it_were_new(name):
  """Bit-equal until then, without moments; the head goes on as always."""
  config = fine_tuning(name, weight_decay=0.1)
  table = 0.1 / jnp.arange(1.0, 10.0)
  schedule = table.__getitem__
  frozen = optimizer.create_optimizer(config, schedule, freeze_steps=3)
  plain = optimizer.create_optimizer(config, schedule)
  late = optimizer.create_optimizer(config, lambda step: schedule(step + 3))
  random = np.random.default_rng(0)
  gradients = [
    jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), TREE)
    for _ in range(6)
  ]

  def steps(transformation, params, gradients):
    update = jax.jit(transformation.update)
    opt_state, found = transformation.init(params), []
    for gradient in gradients:
      updates, opt_state = update(gradient, opt_state, params)
      params = optax.apply_updates(params, updates)
      found.append(params)
    return found

  found = steps(frozen, TREE, gradients)
  for params in found[:3]:
    jax.tree.map(
      np.testing.assert_array_equal, params["backbone"], TREE["backbone"]
    )
  always = steps(plain, TREE, gradients)
  alone = steps(late, TREE, gradients[3:])
  for ours, one, other in zip(found[3:], always[3:], alone, strict=True):
    for part, wanted in (("head", one), ("backbone", other)):
      jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        ours[part],
        wanted[part],
      )


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_states_are_those_that_checkpoints_have(name):
  """New fields at their defaults leave the tree of the state as it was."""
  config = fine_tuning(name)
  found = optimizer.create_optimizer(config, lambda step: 0.1).init(TREE)
  mask = lambda params: jax.tree.map(lambda x: x.ndim > 1, params)  # noqa: E731
  wanted = {
    "sgd": optax.chain(
      optax.add_decayed_weights(0.0, mask),
      optax.sgd(lambda step: 0.1, 0.9),
    ),
    "adamw": optax.adamw(lambda step: 0.1, mask=mask),
  }[name].init(TREE)
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
