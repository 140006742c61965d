# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Closed forms for the tests of both layer-peeled models."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from etf_jax import simplex_etf


def etf(energy=1.0, dim=6, classes=5):
  with jax.enable_x64(True):
    frame = simplex_etf(jax.random.key(3), dim, classes, dtype=jnp.float64)
  return math.sqrt(energy) * np.asarray(frame)


def etf_inner_products(classes, energies):
  return math.sqrt(energies) * (classes * np.eye(classes) - 1) / (classes - 1)


def etf_cross_entropy(classes, energies):
  odds = -math.sqrt(energies) * classes / (classes - 1)
  return math.log1p((classes - 1) * math.exp(odds))


def cross_entropies(logits):
  """Take logits with a column per class, each column of one class."""
  return special.logsumexp(logits, axis=0) - np.diag(logits)
