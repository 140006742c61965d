# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A figure's command, and the probe command that it prints, to the end."""

import re

import pytest
from test_runner import TINY, trackers  # noqa: F401

from etf_jax import probe, reproduce

FAST = ("--epochs=2", "--images_at_once=50")


@pytest.mark.slow
def test_a_figure_and_its_probe(official, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  arguments = ["hinge_figure1", "--methods=etf_hinge", "--seeds=1"]
  arguments += ["--output=.", "--config.head.projector=100", *TINY]
  arguments.append(f"--config.data.data_dir={official.data_dir}")
  assert reproduce.main(arguments) == 0
  text = (tmp_path / "hinge_figure1.md").read_text()
  (command,) = re.findall(r"python -m etf_jax.probe (.*)", text)
  data = f"--data_dir={official.data_dir}"
  assert probe.main([*command.split(), data, *FAST]) == 0
  assert (tmp_path / "probe" / "view-1.png").stat().st_size > 10_000
