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
import synthetic_runs

from etf_jax.data.prepare import prepare
from etf_jax.runs import commands

# Log lines are on standard error, as in the commands.
commands.show_log()
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Compilation makes the first example slow, and CI machines are shared.
hypothesis.settings.register_profile(
  "etf_jax", deadline=None, max_examples=25, derandomize=True
)
hypothesis.settings.load_profile("etf_jax")

# Last epoch: ce 0.80, 0.82, 0.87 has mean 83.0 and, with squared deviations
# 9 + 1 + 16, a sample deviation of sqrt(13) = 3.606; etf_dr 0.88, 0.90, 0.92
# has 90.0 and 2.
ACCURACIES = {"ce": (0.80, 0.82, 0.87), "etf_dr": (0.88, 0.90, 0.92)}


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
  """A data directory with prepared digits."""
  directory = tmp_path_factory.mktemp("data")
  prepare.prepare_in_subprocess("digits", str(directory), None)
  return directory


@pytest.fixture(scope="session")
def runs_dir(tmp_path_factory):
  """Two methods, three finished seeds each, ten classes."""
  root = tmp_path_factory.mktemp("runs")
  for method, accuracies in ACCURACIES.items():
    for seed, accuracy in enumerate(accuracies):
      synthetic_runs.write_run(
        root / f"digits_lt-{method}" / f"seed={seed}",
        method,
        seed,
        accuracy,
        hash_=f"{method}-hash",
      )
  return root


@pytest.fixture(scope="session")
def official(tmp_path_factory):
  """Data of stock builders, made from small archives once a session."""
  import official_data

  return official_data.prepare(tmp_path_factory)
