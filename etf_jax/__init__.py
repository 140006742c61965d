# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed classification with fixed simplex-ETF classifiers, in JAX.

    from etf_jax import losses, simplex_etf

This import needs jax and numpy only. Models, data and training are subpackages
to import by name; ``python -m etf_jax.main`` trains.
"""

from etf_jax import losses
from etf_jax.etf import simplex_etf

__version__ = "0.1.0"

__all__ = ["__version__", "losses", "simplex_etf"]
