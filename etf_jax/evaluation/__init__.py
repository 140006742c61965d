# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Evaluation: sums on the device, one division at the end."""
