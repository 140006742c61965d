# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Rows, checkpoints and profiles that a run writes into its directory."""
