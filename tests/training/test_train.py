# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Training from Python, as in a notebook."""

import numpy as np
import pytest
import tiny_runs

import etf_jax
from etf_jax.errors import InputError
from etf_jax.training.checkpoints.manager import Checkpoints

pytestmark = pytest.mark.slow


def test_train_continues_and_returns_results(
  digits_dir, tmp_path, monkeypatch, capsys
):
  monkeypatch.setenv("HOME", str(tmp_path))
  config = tiny_runs.config(digits_dir, "ce", {"collapse.splits": ()})
  (result,) = etf_jax.train(config, "~/run")
  assert result.workdir == tmp_path / "run"
  shown = capsys.readouterr().out
  assert f"step {tiny_runs.STEPS}/{tiny_runs.STEPS}" in shown
  assert f"{100 * result.last['balanced_accuracy']:.1f} %" in shown
  rows = tiny_runs.rows(result.workdir)
  (again,) = etf_jax.train(config, tmp_path / "run")
  assert again.last == result.last
  assert tiny_runs.rows(result.workdir) == rows
  config.total_steps += 1
  with pytest.raises(InputError, match=r"another length.*config\.init_from="):
    etf_jax.train(config, tmp_path / "run")


def test_outputs_that_are_not_finite_end_in_one_line(
  digits_dir, tmp_path, monkeypatch
):
  config = tiny_runs.config(digits_dir, "ce", {"collapse.splits": ()})
  monkeypatch.setattr(Checkpoints, "save", lambda *_: None)
  with monkeypatch.context() as patch:
    from etf_jax.evaluation import metrics

    compute = metrics.compute
    patch.setattr(
      metrics, "compute", lambda *args: compute(*args) | {"ece": np.nan}
    )
    with pytest.raises(InputError, match=r"test at step .*not finite"):
      etf_jax.train(config, tmp_path / "run")
