# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Run directories and command lines: what every command reads and writes."""
