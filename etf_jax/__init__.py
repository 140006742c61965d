# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed classification with fixed simplex-ETF classifiers, in JAX.

    from etf_jax import losses, simplex_etf

This import needs jax and numpy only. Models, data and training are subpackages
to import by name; ``python -m etf_jax.main`` trains, and ``etf_jax.load`` gives
the trained model to call.
"""

import os
from typing import TYPE_CHECKING

from etf_jax import losses
from etf_jax.etf import simplex_etf

if TYPE_CHECKING:
  from etf_jax.serving.trained import Trained

__version__ = "0.1.0"

__all__ = ["__version__", "load", "losses", "simplex_etf"]


def load(workdir: str | os.PathLike, step: str = "last") -> "Trained":
  """The trained model of a run; see `etf_jax.serving.trained.load`."""
  # Not before it is asked for, since it imports all of the package.
  from etf_jax.serving import trained

  return trained.load(workdir, step)
