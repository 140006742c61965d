# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Strict JAX, eight CPU devices, warnings as errors (see pyproject.toml)."""

import os

# Before JAX starts: tests never touch an accelerator, and meshes need devices.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import hypothesis
import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example slow, and CI machines are shared.
hypothesis.settings.register_profile(
    "etf_jax", deadline=None, max_examples=25, derandomize=True
)
hypothesis.settings.load_profile("etf_jax")
