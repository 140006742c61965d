# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From a config and a seed to a trained model."""
