# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The command: a whole run, and one clear line for every kind of bad input."""

import json
import os
import pathlib
import shutil
import sys

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import __main__ as package
from etf_jax import main
from etf_jax.configs import base
from etf_jax.runs import identity

ROOT = pathlib.Path(__file__).parents[1]


class Narrow(nn.Module):
  """A backbone that is not ours: four features, too few for ten classes."""

  features: int = 4

  @nn.compact
  def __call__(self, images):
    x = nn.Dense(self.features)(images.reshape(images.shape[0], -1))
    return nn.relu(x).astype(jnp.float32)


@pytest.fixture
def command(digits_dir, capsys):
  """Run the command on digits; returns the exit code and the two streams."""

  def run(*arguments, config="configs/digits_lt.py"):
    argv = [
      "main",
      f"--config={ROOT / config}",
      f"--config.data.data_dir={digits_dir}",
      *arguments,
    ]
    code = main.main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err

  return run


@pytest.fixture
def refused(command):
  """Run a command that must end with exit code 2 and one line; returns it."""

  def run(*arguments, **kwargs):
    code, _, err = command(*arguments, **kwargs)
    assert code == 2
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err

  return run


NARROW = (
  "--config.model.name=tests.test_main:Narrow",
  "--config.model.num_classes=10",
)
# A run of seconds: a backbone of one layer, eleven steps.
QUICK = (
  "--config.model.name=tests.test_main:Narrow",
  "--config.model.kwargs={'features': 16}",
  "--config.devices=1",
  "--config.total_steps=11",
)
LEAN = (
  *QUICK,
  "--config.collapse.splits=()",
  "--config.report.html=False",
  "--config.report.tensorboard=False",
)


@pytest.fixture(scope="module")
def finished_run(digits_dir, tmp_path_factory):
  """A finished run of one seed, to be copied."""
  folder = tmp_path_factory.mktemp("finished") / "run"
  fields = [f"--config.data.data_dir={digits_dir}", f"--workdir={folder}"]
  config = f"--config={ROOT / 'configs/digits_lt.py'}"
  assert main.main(["main", config, *LEAN, *fields]) == 0
  return folder


@pytest.fixture
def finished(finished_run, tmp_path):
  """A copy of the finished run in `tmp_path`."""
  shutil.copytree(finished_run, tmp_path, dirs_exist_ok=True)


@pytest.mark.slow
def test_whole_run(command, tmp_path):
  code, out, _ = command(*QUICK, "--config.seeds=0,1", f"--workdir={tmp_path}")
  assert code == 0
  assert "etf_dr" in out
  assert (tmp_path / "report.html").exists()
  for seed in (0, 1):
    run = tmp_path / f"seed={seed}"
    facts = json.loads((run / "config.json").read_text())
    assert facts["seed"] == seed
    assert facts["config"]["head"]["l2_normalize"] is True
    # 143 * .05 ** (k / 9), rounded down; no class of digits is smaller.
    counts = json.loads((run / "class_counts.json").read_text())
    expected = np.floor(144 * 0.05 ** (np.arange(10) / 9))
    assert counts[1:] == expected[1:].tolist()
    assert json.loads((run / "class_names.json").read_text())[0] == "0"
    rows = [
      json.loads(line)
      for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    final = rows[-1]
    assert final["kind"] == "final"
    assert final["step"] == 11
    # Every test image is counted once: every fifth of a class.
    assert np.sum(final["confusion"]) == 355
    evaluations = [r["accuracy"] for r in rows if r["kind"] == "eval"]
    assert final["last"]["accuracy"] == evaluations[-1]
    assert final["best"]["accuracy"] == max(evaluations)
    right = np.trace(final["confusion"]) / 355
    assert final["last"]["accuracy"] == pytest.approx(right)
    for part in ("checkpoints", "best", "tensorboard", "report.html"):
      assert (run / part).exists()


@pytest.mark.slow
def test_the_default_directory(command, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert command(*LEAN)[0] == 0
  (run,) = tmp_path.glob("runs/digits_lt-etf_dr-*")
  assert len(run.name.rsplit("-", 1)[1]) == 8
  assert [p.name for p in run.iterdir()] == ["seed=0"]


@pytest.mark.slow
def test_best_is_chosen_on_validation(command, tmp_path):
  code, _, _ = command(
    *LEAN, "--config.data.validation_fraction=0.2", f"--workdir={tmp_path}"
  )
  assert code == 0
  rows = [
    json.loads(line)
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
  ]
  final = rows[-1]
  assert final["best_selected_on"] == "validation"
  validation = [r for r in rows if r.get("split") == "validation"]
  best = max(validation, key=lambda r: r["accuracy"])
  assert final["best"]["step"] == best["step"]
  assert final["best"]["split"] == "test"
  assert [p.name for p in (tmp_path / "best").iterdir()] == [str(best["step"])]


@pytest.mark.slow
def test_another_configuration_is_refused(finished, refused, tmp_path):
  place = f"--workdir={tmp_path}"
  before = sorted(tmp_path.rglob("*"))
  line = refused(*LEAN, place, "--config.data.imbalance=0.1")
  assert "data.imbalance: 0.05 there, 0.1 here" in line
  assert "choose another --workdir" in line
  assert "method" not in line
  line = refused(*LEAN, place, "--config.seeds=3")
  assert "seed: 0 there, 3 here" in line
  line = refused(*LEAN, place, "--config.seeds=0,1")
  assert "holds the run of one seed" in line
  assert sorted(tmp_path.rglob("*")) == before


def test_a_run_of_a_version_with_fewer_fields_continues(
  finished, command, refused, tmp_path
):
  place = f"--workdir={tmp_path}"
  path = tmp_path / "config.json"
  recorded = json.loads(path.read_text())
  assert recorded["config"].pop("ema_decay") == 0.0
  assert recorded["config"]["head"].pop("frame") == "haar"
  path.write_text(json.dumps(recorded))
  assert command(*LEAN, place)[0] == 0
  line = refused(*LEAN, place, "--config.head.frame=uniform_qr")
  assert "head.frame: 'haar' there, 'uniform_qr' here" in line


def test_a_field_at_its_default_does_not_name_the_run():
  config = base.get_config()
  name = identity.fingerprint(config)
  del config.head.frame
  assert identity.fingerprint(config) == name
  config.head.frame = "uniform_qr"
  assert identity.fingerprint(config) != name


def test_a_foreign_directory_is_refused(refused, tmp_path):
  (tmp_path / "thesis.tex").write_text("years of work")
  line = refused(*QUICK, f"--workdir={tmp_path}")
  assert f"--workdir={tmp_path}: has files but no config.json" in line
  assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_directory_that_cannot_be_made_is_refused(refused, tmp_path):
  (tmp_path / "file").touch()
  line = refused(*QUICK, f"--workdir={tmp_path / 'file' / 'run'}")
  assert "cannot write to" in line
  assert "Not a directory" in line


def test_a_broken_config_json_is_refused(refused, tmp_path):
  (tmp_path / "config.json").write_text("{")
  line = refused(*QUICK, f"--workdir={tmp_path}")
  assert "config.json cannot be read" in line


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(refused, tmp_path):
  line = refused(
    *QUICK,
    "--config.method=ce",
    "--config.schedule.name=constant",
    "--config.schedule.warmup_epochs=0",
    "--config.optimizer.learning_rate=1e30",
    "--config.checkpoint.every_steps=1",
    f"--workdir={tmp_path}",
  )
  # The first update makes the weights 1e28, whose decay overflows later.
  assert "the loss is" in line
  step = int(line.split("at step ")[1].split()[0])
  assert step > 1
  assert f"last good checkpoint: step {step - 1};" in line
  rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert json.loads(rows[-1])["step"] == step - 1


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (
      ["--config.metod=ce"],
      "config.metod is unknown; did you mean config.method?",
    ),
    (
      ["--config.data.imbalence=0.1"],
      "config.data.imbalence is unknown; did you mean config.data.imbalance?",
    ),
    (
      ["--config.data.imbalance=tiny"],
      "--config.data.imbalance=tiny: could not convert string to float",
    ),
    (
      ["--config.method=etf_dd"],
      "config.method='etf_dd': unknown; did you mean 'etf_dr'?",
    ),
    (
      ["--config.model.name=resnet_32"],
      "config.model.name='resnet_32': unknown; did you mean 'resnet32'?",
    ),
    (
      ["--config.data.name=digitz"],
      "did you mean 'digits'?",
    ),
    (
      [*NARROW],
      "4 features have no room for 10 classes; set config.head.projector=9, or"
      " config.head.frame='softmax_code'",
    ),
    (
      [*NARROW, "--config.model.num_classes=1"],
      "config.model.num_classes=1 is less than the 10 classes of digits",
    ),
    (
      ["--config.data.imbalance=0"],
      "imbalance",
    ),
    (
      ["--config.data.imbalance=1.5"],
      "imbalance",
    ),
    (
      ["--config.data.imbalance=0.001"],
      "imbalance=0.001 leaves class 7 ('7') without a training image",
    ),
    (
      ["--config.batch_size=100"],
      "config.batch_size=100 must be a positive multiple of the 8 devices",
    ),
    (
      ["--config.devices=9"],
      "config.devices=9 must lie in 1..8, the cpu devices that are here",
    ),
    (
      ["--config.seeds=0,0"],
      "config.seeds=(0, 0) must be different whole numbers",
    ),
    (
      ["--config.dtype=float64"],
      "config.dtype='float64' needs JAX_ENABLE_X64=1",
    ),
    (
      ["--config.total_epochs=0"],
      "the run has no step",
    ),
    (
      ["--config.total_steps=-1"],
      "total_steps=-1 must not be negative",
    ),
    (
      ["--workdri=x"],
      "--workdri=x: unknown; did you mean '--workdir'?",
    ),
    (
      ["train"],
      "cannot tell what 'train' is; usage: --config=FILE.py",
    ),
  ],
  ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_bad_input(refused, tmp_path, arguments, message):
  line = refused(*arguments, f"--workdir={tmp_path / 'run'}")
  assert message in line
  assert not (tmp_path / "run").exists()


def test_help_shows_a_command(capsys):
  assert main.main(["main", "--help"]) == 0
  shown = capsys.readouterr().out
  assert "--config=configs/digits_lt.py" in shown
  for name in ("--workdir DIR", "cifar100_lt", "etf_hinge", "configs/base.py"):
    assert name in shown


def test_a_value_can_be_none_or_words_and_the_last_one_counts():
  config, workdir = main.command_line.parse(
    [
      "main",
      "--config=etf_jax:cifar10_lt",
      "--config.augment.crop_size=None",
      "--config.init_from=None",
      "--config.collapse.splits=train,validation",
      "--config.seeds=0,1",
      "--config.seeds=2,",
      "--config.total_steps",
      "7",
      "--config.data.image_size=8",
      "--config.data.image_size=None",
      "--workdir=~/run",
    ]
  )
  assert config.augment.crop_size is None
  assert config.init_from is None
  assert config.collapse.splits == ("train", "validation")
  assert config.seeds == (2,)
  assert config.total_steps == 7
  assert config.data.image_size is None
  assert workdir == os.path.expanduser("~/run")
  with pytest.raises(main.InputError, match=r"batch_size=None: cannot be None"):
    main.command_line.parse(
      ["", "--config=etf_jax:cifar10_lt", "--config.batch_size=None"]
    )


def test_a_directory_with_a_pattern_in_its_path_is_refused(refused, tmp_path):
  line = refused(*QUICK, f"--workdir={tmp_path}/lr=[0.1]")
  assert line.startswith(f"error: --workdir={tmp_path}/lr=[0.1]: has one of")
  assert not list(tmp_path.iterdir())


def test_the_package_lists_its_commands_and_runs_one(capsys, monkeypatch):
  folder = pathlib.Path(main.__file__).parent
  found = {path.stem for path in folder.glob("*.py") if path.stem[0] != "_"}
  found -= {"errors", "configs", "arrays", "nnx"}
  assert set(package.COMMANDS) == found | {"reporting"}
  monkeypatch.setattr("sys.argv", ["etf-jax"])
  assert package.main() == 0
  assert "  predict     classify photographs" in capsys.readouterr().out
  monkeypatch.setattr("sys.argv", ["etf-jax", "convrt"])
  assert package.main() == 2
  assert "did you mean 'convert'?" in capsys.readouterr().err
  # Other tests have imported it, which runpy warns of.
  monkeypatch.delitem(sys.modules, "etf_jax.convert", raising=False)
  monkeypatch.setattr("sys.argv", ["etf-jax", "convert", "--help"])
  with pytest.raises(SystemExit) as end:
    package.main()
  assert end.value.code == 0
  assert "python -m etf_jax.convert" in capsys.readouterr().out


def test_missing_config_files(refused):
  assert "no --config was given" in _error([])
  line = _error(["--config=configs/nothing.py"])
  assert "configs/nothing.py" in line
  assert "No such file" in line
  line = _error(["--config=etf_jax:cifar10_tl"])
  assert "did you mean 'cifar10_lt'?" in line


def _error(arguments):
  with pytest.raises(main.InputError) as caught:
    main.command_line.parse(["main", *arguments])
  assert "\n" not in str(caught.value)
  return str(caught.value)


def test_an_unknown_option_of_a_config_file():
  message = _error(["--config=etf_jax:fashion_mnist_lt:tiny"])
  assert message.endswith(
    "Error whilst parsing config file: unknown size 'tiny': full or cpu"
  )


def test_missing_data_name_the_command(refused, tmp_path):
  line = refused(
    f"--config.data.data_dir={tmp_path}", "--config.data.prepare=False"
  )
  assert "python -m etf_jax.prepare digits" in line
  assert f"--data_dir={tmp_path}" in line
