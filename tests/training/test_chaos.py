# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run that is struck by faults, and how `chaos` would notice."""

import json
import random
import sys

import numpy as np
import process_runs
import pytest

import chaos  # isort: skip (process_runs knows where it lies)
import chaos_faults  # isort: skip
import chaos_results  # isort: skip

pytestmark = pytest.mark.slow


def test_struck_by_each_quick_fault_it_ends_with_the_same_bits(
  digits_dir, monkeypatch, capsys
):
  monkeypatch.setenv("PYTHONPATH", process_runs.environment()["PYTHONPATH"])
  # Small programs too: there are seven starts.
  monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
  code = chaos.main(
    [
      "--kills=5",
      "--seed=0",
      "--faults=kill,term,limit,flip,restore",
      "--",
      f"--config.data.data_dir={digits_dir}",
      "--config.model.name=tiny_runs:Tiny",
      "--config.batch_size=122",  # no smaller last batch to compile
      "--config.augment.crop_padding=0",
      "--config.report.tensorboard=False",
    ]
  )
  said = capsys.readouterr().out
  assert code == 0, said
  assert "5 faults in 1 runs of 24 steps" in said
  lines = [line.split(" | ") for line in said.splitlines() if "| " in line]
  assert [line[0] for line in lines[1:]] == [
    f"| {name}" for name in ("kill", "term", "limit", "flip", "restore")
  ]
  assert [line[3] for line in lines[1:]] == ["-9", "75", "2", "-9", "-9"]
  assert {line[-1] for line in lines[1:]} == {"the same bits |"}


def test_each_fault_comes_before_any_comes_again():
  names = ["kill", "term", "disk"]
  bag = chaos._Bag(names, random.Random(0))
  first = [bag.take(lambda name: True) for _ in names]
  assert sorted(first) == sorted(names)
  # One that has to wait for another run stays, and one that missed is back.
  waited = [bag.take(lambda name: name != "disk") for _ in range(2)]
  assert sorted(waited) == ["kill", "term"]
  bag.put_back("term")
  assert sorted(bag.take(lambda name: True) for _ in range(2)) == [
    "disk",
    "term",
  ]
  assert bag.take(lambda name: False) is None


def test_a_run_that_cannot_start_is_told(tmp_path, capsys):
  folder = tmp_path / "chaos"
  arguments = ["--kills=1", "--faults=kill", f"--folder={folder}"]
  assert chaos.main([*arguments, "--", "--config.no_such_field=1"]) == 1
  said = capsys.readouterr().err
  assert "exit codes [2]" in said
  assert "config.no_such_field is unknown" in said
  (folder / "run-0").mkdir()
  assert chaos.main(arguments) == 2
  assert capsys.readouterr().err == f"error: {folder} must be empty\n"


def rows(*steps, loss=0.5):
  return "".join(
    json.dumps({"kind": "train", "step": step, "loss": loss}) + "\n"
    for step in steps
  )


@pytest.mark.parametrize(("kept", "resumed"), [((1, 2, 3), 3), ((), 0)])
def test_where_a_run_goes_on(tmp_path, kept, resumed):
  for step in (1, 3, 4):
    (tmp_path / "checkpoints" / str(step)).mkdir(parents=True)
  (tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir()
  metrics = tmp_path / "metrics.jsonl"
  metrics.write_text(rows(1, 2, 3, 4, 5))
  # What a run does with the file: it keeps some rows, and writes others.
  script = tmp_path / "run.py"
  script.write_text(
    "import os, pathlib, time\n"
    f"path = pathlib.Path({str(metrics)!r})\n"
    "new = path.with_name('new')\n"
    f"new.write_text({rows(*kept)!r})\n"
    "new.replace(path)\n"
    "with path.open('a') as file:\n"
    f"  file.write({rows(resumed + 1, loss=0.4)!r} + 'torn')\n"
  )
  attempt = chaos_faults.Attempt(
    [sys.executable, str(script)], tmp_path, 1, 1, damaged={4}
  )
  codes, _ = attempt.end()
  assert codes == [0]
  assert attempt.newest == 3  # 4 is damaged, and 5 was not completed
  assert attempt.resumed() == resumed
  assert attempt.step() == resumed + 1
  with pytest.raises(chaos_faults.Missed):
    attempt.await_that(lambda: False)


def test_exit_codes_that_nobody_promised_are_wrong(tmp_path):
  attempt = chaos_faults.Attempt(
    [sys.executable, "-c", "print('so it ends'); raise SystemExit(7)"],
    tmp_path,
    1,
    1,
    damaged=set(),
  )
  strike = attempt.struck(lambda codes: codes == [75])
  assert strike.codes == [7]
  (wrong,) = strike.wrong
  assert wrong.startswith("unexpected exit codes:\n")
  assert wrong.endswith("[0] so it ends")
  table = chaos_results.table([strike])
  assert table.count("\n") == 1  # no fault of the list
  strike.name = "term"
  assert chaos_results.table([strike]).endswith("| 1 WRONG |")


def test_a_bit_is_a_difference():
  row = {"kind": "final", "step": 2, "last": {"loss": 0.5}}
  expected = chaos_results.Result(
    [row], {"step": np.asarray(2), "w": np.float32([0.0, 1.0])}, {}
  )
  assert chaos_results.differences(expected, expected) == []
  minus = expected._replace(
    state={"step": np.asarray(2), "w": np.float32([-0.0, 1.0])}
  )
  assert chaos_results.differences(minus, expected) == ["state: ['w']"]
  other = expected._replace(
    rows=[row | {"last": {"loss": 0.25}}], best={"v": np.float32(1)}
  )
  assert chaos_results.differences(other, expected) == [
    "final row of step 2: ['last']",
    "best: ['v']",
  ]
  assert chaos_results.differences(expected._replace(rows=[]), expected) == [
    "0 rows, not 1"
  ]
