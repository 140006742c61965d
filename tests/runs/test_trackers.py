# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A tracker gets every row, and whatever it does the run goes on."""

import threading

import pytest

from etf_jax.errors import InputError
from etf_jax.runs import trackers


def train_row(step):
  return {"kind": "train", "step": step, "epoch": step / 10}


@pytest.fixture
def modules(tmp_path, monkeypatch):
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
    "seen = []\n"
    "class Bad(Tracker):\n"
    "  def __init__(self, config, workdir):\n"
    "    self.seen, self.config = seen, config\n"
    "    self.fail('open')\n"
    "  def fail(self, when):\n"
    "    if self.config.get('when') == when:\n"
    "      self.config['how']()\n"
    "  def write(self, row):\n"
    "    self.fail(row['step'])\n"
    "    super().write(row)\n"
    "  def close(self):\n"
    "    self.fail('close')\n"
  )
  (tmp_path / "broken_tracker.py").write_text("import not_there_at_all\n")
  monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("modules")
def test_tracker_is_called_with_config_and_directory(tmp_path):
  config = {"method": "ce", "data": {"name": "digits"}}
  writer = trackers.tracker("my_trackers:Tracker", config, tmp_path)
  writer.write(train_row(1))
  writer.close()
  writer.close()
  assert writer._writer.seen == [config, str(tmp_path), train_row(1), "closed"]


@pytest.mark.usefixtures("modules")
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
    trackers.tracker(spec, {}, tmp_path)
  assert "\n" not in str(caught.value)


def hang():
  threading.Event().wait()


def lose():
  raise ConnectionError("no\nserver")


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
  ("how", "problem"),
  [(hang, "no answer in 0 s"), (lose, "ConnectionError: no server")],
)
@pytest.mark.parametrize(
  ("when", "named", "rows"),
  [
    ("open", "at its start", []),
    (2, "at step 2", [1]),
    ("close", "end", [1, 2]),
  ],
)
def test_a_tracker_that_fails_is_named_once_and_left_out(
  tmp_path, monkeypatch, caplog, how, problem, when, named, rows
):
  import my_trackers

  my_trackers.seen.clear()
  for limit in ("OPEN_SECONDS", "ROW_SECONDS", "CLOSE_SECONDS"):
    monkeypatch.setattr(trackers, limit, 0.2)
  config = {"when": when, "how": how}
  writer = trackers.tracker("my_trackers:Bad", config, tmp_path)
  for step in (1, 2):
    writer.write(train_row(step))
  writer.close()
  assert my_trackers.seen == [train_row(step) for step in rows]
  (line,) = caplog.messages
  assert "config.report.tracker='my_trackers:Bad'" in line
  assert named in line
  assert problem in line
