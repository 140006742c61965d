# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Cells of the papers' tables on small archives in the official formats.

A cell of CIFAR-10-LT goes through the whole command, in processes of their own:
stopped, continued, skipped. Of every other family of data the command that it
would start is run here: it stops at SIGTERM, goes on and comes to its end.
"""

import json
import os
import pathlib
import signal
import threading
import time

import jax
import pytest

from etf_jax import main, reproduce
from etf_jax.reproductions import jobs, runner

SUPPORT = pathlib.Path(__file__).parents[1] / "_support"

PATIENCE = 300  # seconds, of a loaded machine
STEPS = 5
# A network of one layer in place of the paper's, and few steps.
TINY = (
  "--config.model.name=tiny_runs:Tiny",
  "--config.model.width=1",
  "--config.devices=1",
  "--config.batch_size=4000",  # all images: one step is compiled, not two
  "--config.dtype=float32",
  "--config.data.prepare=False",
  f"--config.total_steps={STEPS}",
  "--config.report.log_every_steps=1",
  "--config.report.tracker=slow_rows:create",
  "--config.report.tensorboard=False",
  "--config.report.html=False",
  "--config.checkpoint.best=False",
  "--config.collapse.splits=()",
  "--config.eval.batch_size=200",
)


@pytest.fixture(autouse=True)
def trackers(monkeypatch):
  """Processes that are started find the tests' modules; compiling is quick."""
  monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
  path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
  monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def compiled_quickly():
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


def rows(directory):
  lines = (directory / "metrics.jsonl").read_text().splitlines()
  return [json.loads(line) for line in lines]


def stop_at(path, step):
  """Send this process SIGTERM when a run has written a row of a step."""

  def watch():
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
      if path.exists() and any(
        json.loads(line)["step"] >= step
        for line in path.read_text().splitlines(keepends=True)
        if line.endswith("\n")
      ):
        break
      time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

  threading.Thread(target=watch, daemon=True).start()


@pytest.mark.slow
def test_the_command_stops_goes_on_and_skips(
  official, tmp_path, monkeypatch, capfd
):
  overrides = [*TINY, f"--config.data.data_dir={official.data_dir}"]
  overrides.append("--config.total_steps=40")
  chosen = {"methods": ("etf_dr",), "imbalance": (0.1,), "mixup": (1.0,)}
  arguments = [
    "table1",
    *("--methods=etf_dr", "--imbalance=0.1", "--mixup=1", "--seeds=1"),
    *(f"--output={tmp_path}", *overrides),
  ]
  plan = jobs.reproduction(
    "table1", jobs.Options(seeds=1, overrides=tuple(overrides), **chosen)
  )
  (job,) = plan.jobs.values()
  place = runner.directory(tmp_path, job, 0)

  monkeypatch.setenv("ROW_SECONDS", "0.2")
  stop_at(place / "metrics.jsonl", 2)
  before = signal.getsignal(signal.SIGTERM)
  assert reproduce.main(arguments) == 75
  assert signal.getsignal(signal.SIGTERM) is before
  said = capfd.readouterr()
  assert f"start: {job.name}, seeds 0" in said.err
  assert "stopped and saved; the same command continues" in said.err
  step = max(int(p.name) for p in (place / "checkpoints").iterdir())
  assert 2 <= step < 40
  assert 0 < runner.fraction(tmp_path, job, 0) < 1
  assert "% done" in (tmp_path / "table1.md").read_text()

  monkeypatch.setenv("ROW_SECONDS", "0")
  assert reproduce.main(arguments) == 0
  said = capfd.readouterr()
  assert f"done: {job.name}; 1 of 1 runs finished" in said.err
  steps = [row["step"] for row in rows(place) if row["kind"] == "train"]
  assert steps == list(range(1, 41))
  final = rows(place)[-1]
  accuracy = 100 * final["last"]["accuracy"]
  table = (tmp_path / "table1.md").read_text()
  assert f"| 1 | {accuracy:.1f} ± - |" in table
  assert "| 87.7 ± 0.2 |" in table
  assert "no claim: one seed" in table

  assert reproduce.main(arguments) == 0
  assert "start:" not in capfd.readouterr().err
  assert rows(place)[-1] == final


@pytest.mark.slow
def test_a_job_that_fails_ends_no_other(tmp_path):
  """And what starts from it is not tried."""
  (job,) = jobs.reproduction(
    "table1",
    jobs.Options(seeds=1, methods=("ce",), imbalance=(0.1,), mixup=(1.0,)),
  ).jobs.values()
  wrong = job._replace(
    name="wrong",
    arguments=("--config=etf_jax:cifar10_tl",),
  )
  tasks = {
    "wrong": wrong,
    "second": wrong._replace(name="second", first="wrong"),
    "other": wrong._replace(name="other"),
  }
  said, seen = [], []
  outcome = runner.run(
    tasks,
    tmp_path,
    processes=2,
    log=said.append,
    after=lambda failed: seen.append(sorted(failed)),
  )
  assert not outcome.stopped
  assert set(outcome.failed) == {"wrong", "second", "other"}
  failure = outcome.failed["wrong"]
  assert failure.code == 2
  assert "did you mean 'cifar10_lt'? " in failure.line
  assert failure.line.endswith("(exit code 2)")
  assert "error: --config='cifar10_tl'" in failure.log.read_text()
  assert outcome.failed["second"].line == "starts from wrong"
  assert seen[-1] == ["other", "wrong"]
  assert [line for line in said if line.startswith("start: second")] == []


def listed(official, folder):
  """ImageNet-LT's lists of the images that there are."""
  files = official.contents["imagenet"].splits
  lines = {
    "train": [
      f"train/{name.split('_')[0]}/{name} {label}"
      for name, (_, label) in files["train"].items()
    ],
    "test": [
      f"val/{name} {label}" for name, (_, label) in files["validation"].items()
    ],
  }
  for split, found in lines.items():
    (folder / f"{split}.txt").write_text("\n".join(found) + "\n")
  return [
    f"--config.data.train_list={folder / 'train.txt'}",
    f"--config.data.validation_list={folder / 'train.txt'}",
    f"--config.data.test_list={folder / 'test.txt'}",
  ]


SMALL_PHOTOGRAPHS = (
  "--config.data.image_size=8",
  "--config.augment.crop_size=8",
  "--config.model.kwargs={}",
)
HALF = ("--config.data.imbalance=0.5",)
CELLS = {
  "cifar100": ("table2", "cifar100_lt:densenet", "etf_dr", 100, HALF),
  "svhn": ("table2", "svhn_lt:resnet", "etf_dr", 10, HALF),
  "stl10": ("table2", "stl10_lt:resnet", "ce", 10, HALF),
  "imagenet_lt": ("table3", "imagenet_lt:90", "ce", 10, SMALL_PHOTOGRAPHS),
  "cifar20": ("hinge_figure1", "cifar20", "etf_hinge", 20, ()),
  "cub200": ("table4", "cub200", "etf_dr", 200, SMALL_PHOTOGRAPHS),
}


@pytest.mark.slow
@pytest.mark.parametrize("family", CELLS)
@pytest.mark.usefixtures("compiled_quickly")
def test_every_family_of_data(family, official, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # where the weights for birds are looked for
  target, dataset, method, classes, overrides = CELLS[family]
  overrides = [*TINY, f"--config.data.data_dir={official.data_dir}", *overrides]
  if family == "imagenet_lt":
    overrides += listed(official, tmp_path)
  if classes > 16:
    # A frame of so many classes fits behind a projector alone.
    overrides.append(f"--config.head.projector={classes}")
  if family == "cub200":
    overrides.append(f"--config.init_from={trained(official, tmp_path)}")
  options = jobs.Options(
    seeds=1,
    datasets=(dataset,),
    methods=(method,),
    overrides=tuple(overrides),
    variants=("published_svhn",) if family == "svhn" else (),
  )
  tasks = jobs.reproduction(target, options).jobs
  *first, job = list(tasks.values())[: 2 if family == "cifar20" else 1]
  for earlier in first:
    assert main.main(train(tmp_path, tasks, earlier)) == 0
  monkeypatch.setenv("TERM_AT_STEP", "2")
  assert main.main(train(tmp_path, tasks, job)) == 75
  place = runner.directory(tmp_path, job, 0)
  (saved,) = (int(p.name) for p in (place / "checkpoints").iterdir())
  assert 2 <= saved < STEPS
  assert 0 < runner.fraction(tmp_path, job, 0) < 1
  monkeypatch.setenv("TERM_AT_STEP", "-1")
  assert main.main(train(tmp_path, tasks, job)) == 0
  assert runner.finished(tmp_path, job, 0)
  assert rows(place)[-1]["step"] == STEPS


def train(folder, tasks, job):
  return ["main", *runner.command(folder, tasks, job, (0,))]


def trained(official, folder):
  """A run of the same network on ImageNet, to start from."""
  overrides = [*TINY, f"--config.data.data_dir={official.data_dir}"]
  overrides += [*SMALL_PHOTOGRAPHS, "--config.data.feed=resident"]
  options = jobs.Options(seeds=1, methods=("ce",), overrides=tuple(overrides))
  tasks = jobs.reproduction("hinge_table3", options).jobs
  (job,) = tasks.values()
  assert main.main(train(folder, tasks, job)) == 0
  return runner.directory(folder, job, 0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_shards_cover_the_jobs_once(number):
  wanted = jobs.reproduction(
    "table1", jobs.Options(imbalance=(0.005, 0.01), mixup=(0.0,))
  )
  parts = [runner.shard(wanted.jobs, i + 1, number) for i in range(number)]
  names = [name for part in parts for name in part]
  assert sorted(names) == sorted(wanted.jobs)
  for part in parts:
    assert all(job.first is None or job.first in part for job in part.values())
  roots = [sum(job.first is None for job in p.values()) for p in parts]
  assert max(roots) - min(roots) <= 1


def test_how_far_a_run_is(tmp_path):
  """Its last whole row counts, however long it is."""
  options = jobs.Options(methods=("ce",), imbalance=(0.01,), mixup=(0.0,))
  (job,) = jobs.reproduction("table1", options).jobs.values()
  path = runner.directory(tmp_path, job, 0) / "metrics.jsonl"
  assert runner.fraction(tmp_path, job, 0) == 0
  path.parent.mkdir(parents=True)
  path.touch()
  assert runner.fraction(tmp_path, job, 0) == 0
  row = {"kind": "train", "step": 4850, "epoch": 50.0}  # of 200
  path.write_text(json.dumps(row) + '\n{"kind": "train", "st')
  assert runner.fraction(tmp_path, job, 0) == 0.25
  assert not runner.finished(tmp_path, job, 0)
  # The confusion of 1000 classes.
  final = {"kind": "final", "step": 19400, "epoch": 200.0}
  final["confusion"] = 1000 * [1000 * [0]]
  path.write_text(json.dumps(row) + "\n" + json.dumps(final) + "\n")
  assert path.stat().st_size > 2e6
  assert runner.finished(tmp_path, job, 0)
  assert runner.fraction(tmp_path, job, 0) == 1
