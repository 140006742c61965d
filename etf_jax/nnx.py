# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The fixed classifier as a module of `flax.nnx`.

head = ETFHead(64, num_classes=10, rngs=nnx.Rngs(0))
optimizer = nnx.Optimizer(head, optax.adamw(1e-3), wrt=nnx.Param)
output = head(features)   # .features .logits .weights
"""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from etf_jax.models import heads

__all__ = ["ETFHead", "Frame"]


class Frame(nnx.Variable):
  """Prototypes, which are no `nnx.Param`: saved, copied and never trained."""


class ETFHead(nnx.Module):
  """A classifier fixed as a random frame; see `etf_jax.models.ETFHead`.

  The prototypes are a `Frame`. An optimizer of ``wrt=nnx.Param`` has no state
  for them and does not move them, by a gradient or by weight decay, and no
  gradient reaches them. ``train()`` and ``eval()`` of the model choose between
  the batch's statistics and the running ones.

  Args:
    in_features: width of the backbone's features.
    num_classes: prototypes of the frame, >= 2, spare ones included.
    batch_norm: see `etf_jax.models.ETFHead`, as all that follow.
    l2_normalize: scale the features to length 1.
    projector: width of a linear layer after the backbone, -1 or None.
    spare: prototypes without a class.
    frame: a name of `etf_jax.models.heads.FRAMES`.
    length: sqrt(E_W) > 0, the length of the prototypes in the output.
    learn_length: make the logarithm of the length a parameter, `log_length`.
    rngs: the stream `params` draws the frame.
  """

  def __init__(
    self,
    in_features: int,
    num_classes: int,
    *,
    batch_norm: bool = True,
    l2_normalize: bool = True,
    projector: int | None = None,
    spare: int = 0,
    frame: str = "haar",
    length: float = 1.0,
    learn_length: bool = False,
    rngs: nnx.Rngs,
  ):
    heads.check_sizes(num_classes, projector)
    heads.check_frame(num_classes, spare, frame, length)
    width = heads.projected_width(projector, in_features)
    self.projector = (
      nnx.Linear(in_features, width, rngs=rngs) if projector else None
    )
    self.norm = (
      nnx.BatchNorm(width, momentum=0.9, epsilon=1e-5, rngs=rngs)
      if batch_norm
      else None
    )
    self.l2_normalize = l2_normalize
    self.classes = num_classes - spare
    self.length = length
    self.log_length = (
      nnx.Param(jnp.asarray(np.log(length), jnp.float32))
      if learn_length
      else None
    )
    self.prototypes = Frame(
      heads.FRAMES[frame](rngs.params(), width, num_classes, dtype=jnp.float32)
    )

  def __call__(
    self, features: jax.Array, *, mask: jax.Array | None = None
  ) -> heads.Output:
    """Map `[..., d]` features to logits against the fixed frame.

    Args:
      features: `[..., d]` floats; computed in at least float32.
      mask: `[...]` booleans; False keeps an example out of the statistics.
    """
    features = features.astype(np.promote_types(features.dtype, np.float32))
    if self.projector is not None:
      features = self.projector(features)
    if self.norm is not None:
      features = self.norm(
        features, mask=None if mask is None else mask[..., None]
      )
    if self.l2_normalize:
      features = heads.unit_length(features)
    prototypes = jax.lax.stop_gradient(self.prototypes[...])[:, : self.classes]
    length: jax.Array | float = self.length
    if self.log_length is not None:
      length = jnp.exp(self.log_length[...])
    return heads.Output(features, length * prototypes)
