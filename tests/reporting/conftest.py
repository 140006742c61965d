# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Run directories shared by the tests of reporting."""

import pytest
import synthetic_runs

# Last epoch: ce 0.80, 0.82, 0.87 has mean 83.0 and, with squared deviations
# 9 + 1 + 16, a sample deviation of sqrt(13) = 3.606; etf_dr 0.88, 0.90, 0.92
# has 90.0 and 2.
ACCURACIES = {"ce": (0.80, 0.82, 0.87), "etf_dr": (0.88, 0.90, 0.92)}


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
