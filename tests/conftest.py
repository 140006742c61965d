# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Strict JAX, eight CPU devices, warnings as errors (see pyproject.toml)."""

import os
import tempfile

# Before JAX starts: tests never touch an accelerator, and meshes need devices.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# Programs that several tests or their subprocesses compile are compiled once.
CACHE = tempfile.TemporaryDirectory(prefix="etf_jax_cache_")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE.name)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import hypothesis
import jax
import pytest

from etf_jax.data import prepare

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example slow, and CI machines are shared.
hypothesis.settings.register_profile(
  "etf_jax", deadline=None, max_examples=25, derandomize=True
)
hypothesis.settings.load_profile("etf_jax")


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
  """A data directory with prepared digits."""
  directory = tmp_path_factory.mktemp("data")
  prepare.prepare_in_subprocess("digits", str(directory), None)
  return directory
