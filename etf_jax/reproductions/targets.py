# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""All tables and figures by name."""

from etf_jax.reproductions import hingece, literature, yang2022
from etf_jax.reproductions.facts import Target

TARGETS: dict[str, Target] = (
  yang2022.TARGETS | literature.TARGETS | hingece.TARGETS
)
