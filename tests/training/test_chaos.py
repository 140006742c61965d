# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run that is struck by each fault in turn ends with the same bits."""

import json
import os
import random
import sys

import chaos
import numpy as np
import process_runs
import pytest
import run_results

# Digits, ResNet-8's recipe and 24 steps.
RUN = (
  "--config=etf_jax:digits_lt",
  "--config.total_epochs=6",
  "--config.augment.mixup_alpha=1.0",
  "--config.augment.crop_padding=0",
  "--config.batch_size=122",  # no smaller last batch to compile
  "--config.model.name=tiny_runs:Tiny",
  "--config.ema_decay=0.9",
  "--config.eval.every_epochs=1",
  "--config.collapse.every_epochs=2",
  "--config.checkpoint.every_steps=2",
  "--config.checkpoint.keep=3",
  "--config.report.log_every_steps=1",
  "--config.report.html=False",
  "--config.report.tensorboard=False",
  "--config.devices=1",
)


# More rounds, of all faults each: CHAOS_ROUNDS=10 pytest tests/training/...
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_struck_by_each_fault_it_ends_with_the_same_bits(
  digits_dir, tmp_path, monkeypatch, seed
):
  monkeypatch.setenv("PYTHONPATH", process_runs.environment()["PYTHONPATH"])
  # Small programs too: there are seven starts.
  monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
  draw, damaged = random.Random(seed), []

  def start(workdir):
    command = [sys.executable, "-m", "etf_jax.main", *RUN]
    command += [f"--config.data.data_dir={digits_dir}", f"--workdir={workdir}"]
    return chaos.Attempt(command, workdir, damaged)

  straight, struck = tmp_path / "straight", tmp_path / "struck"
  attempt = start(straight)
  assert attempt.end() == 0, attempt.output
  for name in draw.sample(list(chaos.FAULTS), len(chaos.FAULTS)):
    strike, promised = chaos.FAULTS[name]
    attempt = start(struck)
    assert strike(attempt, draw) == promised, (name, attempt.output)
    if attempt.resumed() is not None:  # it has put a damaged save aside
      assert attempt.resumed() == attempt.newest, name
      damaged.clear()
    if name == "flip":
      damaged.append(max(chaos.saved(struck)))
  attempt = start(struck)
  assert attempt.end() == 0, attempt.output
  assert attempt.resumed() == attempt.newest
  actual, expected = map(run_results.read, (struck, straight))
  assert run_results.differences(actual, expected) == []


def rows(*steps, loss=0.5):
  return "".join(
    json.dumps({"kind": "train", "step": step, "loss": loss}) + "\n"
    for step in steps
  )


@pytest.mark.parametrize(("kept", "resumed"), [((1, 2, 3), 3), ((), 0)])
def test_where_a_run_goes_on(tmp_path, kept, resumed):
  workdir = tmp_path / "run"
  for step in (1, 3, 4):
    (workdir / "checkpoints" / str(step)).mkdir(parents=True)
  (workdir / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir()
  metrics = workdir / "metrics.jsonl"
  metrics.write_text(rows(1, 2, 3, 4, 5))
  # What a run does with the file: it keeps some rows, and writes others.
  script = (
    "import pathlib\n"
    f"path = pathlib.Path({str(metrics)!r})\n"
    "new = path.with_name('new')\n"
    f"new.write_text({rows(*kept)!r})\n"
    "new.replace(path)\n"
    "with path.open('a') as file:\n"
    f"  file.write({rows(resumed + 1, loss=0.4)!r} + 'torn')\n"
  )
  attempt = chaos.Attempt([sys.executable, "-c", script], workdir, damaged={4})
  assert attempt.end() == 0, attempt.output
  assert attempt.newest == 3  # 4 is damaged, and 5 was not completed
  assert attempt.resumed() == resumed
  assert attempt.step() == resumed + 1


def test_a_bit_is_a_difference():
  row = {"kind": "final", "step": 2, "last": {"loss": 0.5}}
  expected = run_results.Result(
    [row], {"step": np.asarray(2), "w": np.float32([0.0, 1.0])}, {}
  )
  assert run_results.differences(expected, expected) == []
  minus = {"step": np.asarray(2), "w": np.float32([-0.0, 1.0])}
  other = run_results.Result(
    [row | {"last": {"loss": 0.25}}], minus, {"v": np.float32(1)}
  )
  assert run_results.differences(other, expected) == [
    "final row of step 2: ['last']",
    "state: ['w']",
    "best: ['v']",
  ]
