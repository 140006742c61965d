# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The figures of reports: arrays in, matplotlib figures out."""
