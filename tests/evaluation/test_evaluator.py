# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A split through a model: every example once, on any number of devices."""

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
import pytest

from etf_jax.data import Split
from etf_jax.data.feeds import resident
from etf_jax.evaluation import evaluator
from etf_jax.models import Classifier, LinearHead

CLASSES = 4


class Flat(nn.Module):
  """Pixels through BatchNorm, which must not see the batch."""

  @nn.compact
  def __call__(self, images, train=False, mask=None):
    x = images.reshape(images.shape[0], -1)
    mask = None if mask is None else mask[:, None]
    return nn.BatchNorm(use_running_average=not train)(x, mask=mask)


@pytest.fixture(scope="module")
def problem():
  rng = np.random.default_rng(0)
  split = Split(
    rng.integers(0, 256, (45, 2, 2, 1)).astype(np.uint8),
    rng.integers(0, CLASSES, 45).astype(np.int32),
  )
  model = Classifier(Flat(), LinearHead(CLASSES))
  variables = model.init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
  variables["batch_stats"] = jax.tree.map(
    lambda x: x + 0.3, variables["batch_stats"]
  )
  return split, model, variables


def inputs(images, sizes):
  assert sizes is None
  return images.astype(jnp.float32) / 255 - 0.5


@pytest.mark.parametrize(("devices", "batch"), [(1, 45), (1, 7), (8, 16)])
def test_every_example_counts_once(problem, devices, batch):
  split, model, variables = problem
  mesh = Mesh(np.asarray(jax.devices()[:devices]), ("data",))
  evaluate = evaluator.create(model, inputs, CLASSES)
  sums = evaluate(
    jax.device_put(variables, NamedSharding(mesh, PartitionSpec())),
    resident.in_batches(split, batch, CLASSES, mesh),
  )
  # By hand: running mean .3 and variance 1.3 of the pixels.
  x = split.images.reshape(45, -1) / 255 - 0.5
  x = (x - 0.3) / np.sqrt(1.3 + 1e-5)
  head = jax.tree.map(np.asarray, variables["params"]["head"])
  logits = x @ head["kernel"] + head["bias"]
  expected = np.zeros((CLASSES, CLASSES), int)
  np.add.at(expected, (split.labels, logits.argmax(1)), 1)
  np.testing.assert_array_equal(sums.confusion, expected)
  assert sums.bin_count.sum() == 45
  assert all(isinstance(x, np.ndarray | np.generic) for x in sums)
