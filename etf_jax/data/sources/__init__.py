# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Sources of encoded images: prepared by TFDS, in folders, or in lists."""

from etf_jax.data.sources.source import Source, Subset, choose

__all__ = ["Source", "Subset", "choose"]
