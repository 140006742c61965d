# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The state of a run: everything that a step changes, and the prototypes."""

from collections.abc import Callable
from typing import Any, Self

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from etf_jax.data.feeds import resident
from etf_jax.errors import InputError
from etf_jax.models import Classifier, ETFHead, heads


class TrainState(struct.PyTreeNode):
  """A pytree; all of it is checkpointed.

  Attributes:
    step: int32 scalar, steps completed.
    params: learned parameters.
    batch_stats: running statistics.
    etf: the fixed classifier.
    opt_state: the optimizer's.
  """

  step: jax.Array
  params: dict
  batch_stats: dict
  etf: dict
  opt_state: optax.OptState

  @property
  def variables(self) -> dict:
    """Return the collections that the model needs."""
    return {
      "params": self.params,
      "batch_stats": self.batch_stats,
      "etf": self.etf,
    }

  @property
  def eval_variables(self) -> dict:
    """Return the variables to evaluate and to keep, which may be averages."""
    return self.variables

  def begin_from(self, params: dict, batch_stats: dict) -> Self:
    """Return this state with the parameters and statistics of another model."""
    return self.replace(params=params, batch_stats=batch_stats)


class AveragedState(TrainState):
  """A state that also averages its variables over the steps.

  A class of its own, so that the checkpoints of runs without an average have
  no place for one.

  Attributes:
    ema: `params` and `batch_stats`, exponential moving averages.
  """

  ema: dict

  @property
  def eval_variables(self) -> dict:
    """Return the averages and the fixed classifier."""
    return self.ema | {"etf": self.etf}

  def begin_from(self, params: dict, batch_stats: dict) -> Self:
    """Begin the averages from the other model too; see `TrainState`."""
    started = self.replace(params=params, batch_stats=batch_stats)
    # Copies, since a step may not donate an array twice.
    ema = {"params": params, "batch_stats": batch_stats}
    return started.replace(ema=jax.tree.map(jnp.copy, ema))

  def average(
    self, params: dict, batch_stats: dict, decay: float
  ) -> "AveragedState":
    """Let the averages follow what a step has made.

    After t completed steps they keep min(decay, (1 + t) / (10 + t)) of what
    they were, so they look back over a ninth of the run at most, and the
    initial weights do not linger.

    Args:
      params: after the step.
      batch_stats: after the step.
      decay: in (0, 1).
    """
    wide = jnp.result_type(float)
    taken = jnp.maximum(1 - decay, 9 / (10 + self.step.astype(wide)))

    def follow(average, new):
      # Written so that what does not change stays as it is, to the bit.
      return average + taken.astype(new.dtype) * (new - average)

    new = {"params": params, "batch_stats": batch_stats}
    return self.replace(ema=jax.tree.map(follow, self.ema, new))


def keys(seed: int) -> dict[str, jax.Array]:
  """Return one independent key for each use of a seed."""
  # Number 2 was the order of the data, which needs no key of JAX any more.
  numbers = {"params": 0, "prototypes": 1, "augment": 3}
  root = jax.random.key(seed)
  return {name: jax.random.fold_in(root, i) for name, i in numbers.items()}


def augment_key(
  seed: int | tuple[int, ...], sharding: jax.sharding.Sharding
) -> jax.Array:
  """Place the key of a run's train step, so that no step has to move it.

  Args:
    seed: one seed, or a tuple of S seeds.
    sharding: of the key.

  Returns:
    A key; for a tuple of seeds keys `[S]`.
  """
  seeds = seed if isinstance(seed, tuple) else (seed,)
  data = np.stack(
    [np.asarray(jax.random.key_data(keys(s)["augment"])) for s in seeds]
  )
  data = data if isinstance(seed, tuple) else data[0]
  return jax.random.wrap_key_data(resident.place(data, sharding))


def draw_classifier(
  model: Classifier, image_shape: tuple[int, ...], seed: int
) -> dict:
  """Draw the collection `etf` of a model; empty unless its head is an ETF.

  The frame is factored on the host, so it is drawn here, outside jit.

  Raises:
    InputError: the features are too narrow for a simplex ETF.
  """
  like = classifier_shapes(model, image_shape)
  if not like:
    return {}
  like = like["head"]["prototypes"]
  try:
    prototypes = heads.FRAMES[model.head.frame](
      keys(seed)["prototypes"], *like.shape, dtype=like.dtype
    )
  except ValueError as error:
    width, classes = like.shape
    raise InputError(
      f"config.head.frame={model.head.frame!r}: {width} features have no room"
      f" for {classes} classes; set config.head.projector={classes - 1}, or"
      " config.head.frame='softmax_code' (hundreds of classes) or 'random'"
    ) from error
  return {"head": {"prototypes": prototypes}}


def classifier_shapes(model: Classifier, image_shape: tuple[int, ...]) -> dict:
  """Return the shapes of `draw_classifier`, as `jax.ShapeDtypeStruct`s."""
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
  prototypes = jax.ShapeDtypeStruct(
    (width, model.head.num_classes),
    np.promote_types(features.dtype, np.float32),
  )
  return {"head": {"prototypes": prototypes}}


def create_train_state(
  model: Classifier,
  optimizer: optax.GradientTransformation,
  image_shape: tuple[int, ...],
  fixed: dict,
  seed: int,
  sharding: Any,
  *,
  average: bool = False,
) -> TrainState:
  """Create a fresh state where `sharding` places it.

  Args:
    model: see `models.create_model`.
    optimizer: see `optimizer.create_optimizer`.
    image_shape: `(H, W, C)`.
    fixed: see `draw_classifier`.
    seed: decides the weights.
    sharding: of all leaves, or a tree with one for each leaf.
    average: make an `AveragedState`.
  """
  init = make_init(model, optimizer, image_shape, average=average)
  return jax.jit(init, out_shardings=sharding)(keys(seed)["params"], fixed)


def train_state_shapes(
  model: Classifier,
  optimizer: optax.GradientTransformation,
  image_shape: tuple[int, ...],
  *,
  average: bool = False,
) -> TrainState:
  """Return the shapes of `create_train_state`, as `jax.ShapeDtypeStruct`s."""
  return jax.eval_shape(
    make_init(model, optimizer, image_shape, average=average),
    jax.eval_shape(lambda: jax.random.key(0)),
    classifier_shapes(model, image_shape),
  )


def make_init(
  model: Classifier,
  optimizer: optax.GradientTransformation,
  image_shape: tuple[int, ...],
  *,
  average: bool = False,
) -> Callable[[jax.Array, dict], TrainState]:
  """Make a function (key, fixed classifier) -> state, to be jitted.

  Args: as of `create_train_state`.
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
    batch_stats = jax.tree.map(
      lambda x: x.astype(widest), variables.get("batch_stats", {})
    )
    fields = {
      "step": jnp.zeros((), jnp.int32),
      "params": params,
      "batch_stats": batch_stats,
      "etf": variables.get("etf", fixed),
      "opt_state": optimizer.init(params),
    }
    if not average:
      return TrainState(**fields)
    ema = {"params": params, "batch_stats": batch_stats}
    return AveragedState(**fields, ema=ema)

  return init
