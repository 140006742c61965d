# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A scikit-learn classifier for features with a long tail."""

from etf_jax.sklearn.classifier import LongTailClassifier

__all__ = ["LongTailClassifier"]
