# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Where encoded images come from: prepared by TFDS, in folders, or in lists."""

from etf_jax.data.sources.source import Source, Subset, choose

__all__ = ["Source", "Subset", "choose"]
