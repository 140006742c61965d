# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The head of nnx: the numbers of linen's, and a frame that stays."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from etf_jax import losses, models
from etf_jax.errors import InputError
from etf_jax.nnx import ETFHead, Frame

H = np.random.default_rng(0).standard_normal((2, 5, 6)).astype(np.float32)
MASK = np.arange(10).reshape(2, 5) < 7


@pytest.mark.slow
@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize(
  "options",
  [{}, {"projector": 8, "spare": 1, "length": 2.0}, {"learn_length": True}],
)
def test_outputs_are_those_of_linen(options, mask):
  head = ETFHead(6, 4, rngs=nnx.Rngs(0), **options)
  linen = models.ETFHead(4, **options)
  variables = linen.init(jax.random.key(0), H)
  variables["etf"]["prototypes"] = head.prototypes[...]
  if head.projector is not None:
    variables["params"]["projector"] = {
      "kernel": head.projector.kernel[...],
      "bias": head.projector.bias[...],
    }
  expected, updates = linen.apply(
    variables, H, train=True, mask=mask, mutable="batch_stats"
  )
  output = nnx.jit(lambda head: head(H, mask=mask))(head)
  np.testing.assert_allclose(output.features, expected.features, atol=1e-5)
  np.testing.assert_allclose(output.logits, expected.logits, atol=1e-5)
  assert output.logits.shape == (2, 5, 4 - options.get("spare", 0))
  head.eval()
  np.testing.assert_allclose(
    head(H).features, linen.apply(variables | updates, H).features, atol=1e-5
  )


def test_padding_of_sequences_changes_nothing():
  head = ETFHead(6, 4, rngs=nnx.Rngs(0))
  padded = head(np.where(MASK[..., None], H, 1e3), mask=MASK).features
  alone = ETFHead(6, 4, rngs=nnx.Rngs(0))(H[MASK]).features
  np.testing.assert_allclose(padded[MASK], alone, atol=1e-5)


def test_no_optimizer_moves_the_frame():
  head = ETFHead(6, 4, rngs=nnx.Rngs(0), projector=6)
  tx = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(1.0, 0.9))
  optimizer = nnx.Optimizer(head, tx, wrt=nnx.Param)
  frame, labels = np.array(head.prototypes[...]), np.arange(10) % 4

  @nnx.jit
  def step(head, optimizer):
    def loss(head):
      output = head(H.reshape(10, 6))
      return losses.dot_regression_with_integer_labels(
        output.features, labels, output.weights
      ).mean()

    value, gradient = nnx.value_and_grad(loss)(head)
    optimizer.update(head, gradient)
    return value

  values = [step(head, optimizer) for _ in range(20)]
  assert values[-1] < values[0] / 2
  np.testing.assert_array_equal(head.prototypes[...], frame)
  assert not jax.tree.leaves(nnx.state(optimizer.opt_state, Frame))


def test_frames_are_drawn_inside_jit():
  def make():
    return ETFHead(6, 4, rngs=nnx.Rngs(0))

  np.testing.assert_array_equal(
    nnx.jit(make)().prototypes[...], make().prototypes[...]
  )
  shapes = nnx.eval_shape(make)
  assert shapes.prototypes.shape == (6, 4)


def test_gradients_of_the_frame_are_zero():
  head = ETFHead(6, 4, rngs=nnx.Rngs(0))
  gradient = nnx.grad(
    lambda head: jnp.sum(head(H).logits ** 2), argnums=nnx.DiffState(0, Frame)
  )(head)
  np.testing.assert_array_equal(gradient["prototypes"][...], 0)


@pytest.mark.parametrize(
  ("field", "value"),
  [("frame", "nope"), ("projector", -5), ("spare", -1), ("length", 0.0)],
)
def test_fields_out_of_range(field, value):
  with pytest.raises(InputError, match=f"{field}=.*"):
    ETFHead(6, 4, rngs=nnx.Rngs(0), **{field: value})
