# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The state of a run: everything that a step changes, and the prototypes."""

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from etf_jax import etf
from etf_jax.errors import InputError
from etf_jax.models import Classifier, ETFHead, heads


class TrainState(struct.PyTreeNode):
  """A pytree; all of it is checkpointed.

  Attributes:
    step: int32 scalar, steps completed.
    params: learned parameters.
    batch_stats: running statistics.
    etf: the fixed classifier.
    opt_state: the optimiser's.
  """

  step: jax.Array
  params: dict
  batch_stats: dict
  etf: dict
  opt_state: optax.OptState

  @property
  def variables(self) -> dict:
    """What the model needs, without the training around it."""
    return {
      "params": self.params,
      "batch_stats": self.batch_stats,
      "etf": self.etf,
    }


def keys(seed: int) -> dict[str, jax.Array]:
  """One independent key per use of a seed."""
  names = ("params", "prototypes", "order", "augment")
  root = jax.random.key(seed)
  return {n: jax.random.fold_in(root, i) for i, n in enumerate(names)}


def draw_classifier(
  model: Classifier, image_shape: tuple[int, ...], seed: int
) -> dict:
  """The collection `etf` of a model whose head is an ETF, else empty.

  The frame is factored on the host, so it is drawn here, outside jit.

  Raises:
    InputError: the features are too narrow for a simplex ETF.
  """
  if not isinstance(model.head, ETFHead):
    return {}
  features = jax.eval_shape(
    lambda: model.init_with_output(
      jax.random.key(0),
      jnp.zeros((1, *image_shape)),
      method=Classifier.features,
    )[0]
  )
  width = heads.projected_width(model.head.projector, features.shape[-1])
  dtype = np.promote_types(features.dtype, np.float32)
  try:
    prototypes = etf.simplex_etf(
      keys(seed)["prototypes"], width, model.head.num_classes, dtype=dtype
    )
  except ValueError as error:
    raise InputError(str(error)) from error
  return {"head": {"prototypes": prototypes}}


def create(
  model: Classifier,
  optimizer: optax.GradientTransformation,
  image_shape: tuple[int, ...],
  fixed: dict,
  seed: int,
  sharding: jax.sharding.Sharding,
) -> TrainState:
  """A fresh state, born where `sharding` says.

  Args:
    model: see `models.create_model`.
    optimizer: see `optimizer.create_optimizer`.
    image_shape: `(H, W, C)`.
    fixed: see `draw_classifier`.
    seed: decides the weights.
    sharding: of every leaf.
  """

  def init(key, fixed):
    _, variables = model.apply(
      {"etf": fixed} if fixed else {},
      jnp.zeros((1, *image_shape)),
      rngs={"params": key},
      mutable=["params", "batch_stats", "etf"],
    )
    params = variables["params"]
    # linen makes running statistics in float32, whatever the rest is.
    widest = np.result_type(np.float32, *jax.tree.leaves(params))
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      batch_stats=jax.tree.map(
        lambda x: x.astype(widest), variables.get("batch_stats", {})
      ),
      etf=variables.get("etf", fixed),
      opt_state=optimizer.init(params),
    )

  return jax.jit(init, out_shardings=sharding)(keys(seed)["params"], fixed)
