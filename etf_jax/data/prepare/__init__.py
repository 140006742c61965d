# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Make a data set ready to be read, once."""
