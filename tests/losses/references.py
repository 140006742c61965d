# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Every loss again, for one example at a time, in NumPy float64."""

import math

import numpy as np


def dot_regression(h, w, feature_length=1.0, scaling="paper"):
  h, w = np.float64(h), np.float64(w)
  target = np.linalg.norm(w)
  goal = np.linalg.norm(h) if feature_length is None else feature_length
  divisor = {"paper": target * goal, "class_balanced": goal}[scaling]
  return (h @ w - target * goal) ** 2 / (2 * divisor)


def cross_entropy(z, y, label_smoothing=0.0):
  z = np.float64(z)
  log_p = z - z.max() - math.log(np.exp(z - z.max()).sum())
  uniform = label_smoothing / len(z)
  return -(1 - label_smoothing) * log_p[y] - uniform * log_p.sum()


def hinge_logits(h, y, prototypes, tau_plus, tau_minus=math.pi):
  h, prototypes = np.float64(h), np.float64(prototypes)
  tau_plus = np.broadcast_to(np.float64(tau_plus), prototypes.shape[1])
  v = np.empty(prototypes.shape[1])
  for k, w in enumerate(prototypes.T):
    largest = np.linalg.norm(h) * np.linalg.norm(w)
    if k == y:
      v[k] = min(w @ h, largest * math.cos(tau_plus[k]))
    else:
      v[k] = max(w @ h, largest * math.cos(tau_minus))
  return v


def ldam(z, y, counts, max_margin=0.5, scale=30.0):
  counts = np.float64(counts)
  constant = max_margin * counts.min() ** 0.25
  shifted = np.float64(z).copy()
  shifted[y] -= constant / counts[y] ** 0.25
  return cross_entropy(scale * shifted, y)


def logit_adjusted(z, y, counts, temperature=1.0):
  counts = np.float64(counts)
  return cross_entropy(z + temperature * np.log(counts / counts.sum()), y)


def focal(z, y, gamma=2.0):
  p = math.exp(-cross_entropy(z, y))
  return -((1 - p) ** gamma) * math.log(p)
