# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trackers of the user's own, named in the config."""

import pytest

from etf_jax.errors import InputError
from etf_jax.reporting import writers

ROW = {"kind": "train", "step": 1, "epoch": 0.1}


@pytest.fixture
def trackers(tmp_path, monkeypatch):
  (tmp_path / "my_trackers.py").write_text(
    "class Tracker:\n"
    "  def __init__(self, config, workdir):\n"
    "    self.seen = [config, workdir]\n"
    "  def write(self, row):\n"
    "    self.seen.append(row)\n"
    "  def close(self):\n"
    "    self.seen.append('closed')\n"
    "def nothing(config, workdir):\n"
    "  pass\n"
    "number = 3\n"
  )
  (tmp_path / "broken_tracker.py").write_text("import not_there_at_all\n")
  monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("trackers")
def test_tracker_is_called_with_config_and_directory(tmp_path):
  config = {"method": "ce", "data": {"name": "digits"}}
  writer = writers.tracker("my_trackers:Tracker", config, tmp_path)
  writer.write(ROW)
  writer.close()
  assert writer.seen == [config, str(tmp_path), ROW, "closed"]


@pytest.mark.usefixtures("trackers")
@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("my_trackers", "is not of the form 'package.module:function'"),
    ("my_trackers:", "is not of the form"),
    (":Tracker", "is not of the form"),
    ("not_there:f", "cannot import not_there .*install it"),
    ("broken_tracker:f", "cannot import broken_tracker .*not_there_at_all"),
    ("my_trackers:Traker", "has no 'Traker'; did you mean 'Tracker'"),
    ("my_trackers:zzz", "my_trackers has no 'zzz'$"),
    ("my_trackers:number", "is not a function"),
    ("my_trackers:nothing", "returned a NoneType without write and close"),
  ],
)
def test_tracker_says_what_is_wrong(spec, message, tmp_path):
  with pytest.raises(InputError, match=message) as caught:
    writers.tracker(spec, {}, tmp_path)
  assert "\n" not in str(caught.value)
