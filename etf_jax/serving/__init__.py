# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Behind `etf_jax.trained`, `evaluate`, `predict` and `export`: their parts."""
