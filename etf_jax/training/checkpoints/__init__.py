# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""States and variables on disk: saved, restored, and started from."""
