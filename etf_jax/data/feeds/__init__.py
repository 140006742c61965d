# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Batches of images: from the devices' memory, or decoded on the way."""
