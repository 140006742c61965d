# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Batches on their way to the train step and to evaluation."""
