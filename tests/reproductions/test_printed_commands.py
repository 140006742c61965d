# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A figure's command, and the probe command that it prints, to the end."""

import re

import pytest
from test_runner import SMALL_PHOTOGRAPHS, TINY, trackers  # noqa: F401

from etf_jax import probe, reproduce

FAST = ("--epochs=2", "--images_at_once=50")


@pytest.mark.slow
@pytest.mark.parametrize(
  ("target", "overrides", "pictures"),
  [
    (
      "hinge_figure1",
      ("--methods=etf_hinge", "--config.head.projector=100"),
      ["view-1.png"],
    ),
    ("hinge_figure3", SMALL_PHOTOGRAPHS, []),
    ("hinge_figure4", SMALL_PHOTOGRAPHS, ["study.png"]),
    ("hinge_figure6", SMALL_PHOTOGRAPHS, ["view-1.png", "view-2.png"]),
  ],
)
def test_a_figure_and_its_probe(
  target, overrides, pictures, official, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  tiny = [word for word in TINY if "collapse.splits" not in word]
  tiny += [f"--config.data.data_dir={official.data_dir}", *overrides]
  assert reproduce.main([target, "--seeds=1", "--output=.", *tiny]) == 0
  text = (tmp_path / f"{target}.md").read_text()
  assert ("![" in text) == (target in ("hinge_figure3", "hinge_figure4"))
  commands = re.findall(r"python -m etf_jax.probe (.*)", text)
  assert bool(commands) == bool(pictures)
  for command in commands:
    data = f"--data_dir={official.data_dir}"
    assert probe.main([*command.split(), data, *FAST]) == 0
  for name in pictures:
    assert (tmp_path / "probe" / name).stat().st_size > 10_000
