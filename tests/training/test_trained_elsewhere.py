# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""CUB on ImageNet's weights, and CIFAR-100 on CIFAR-20's, from end to end.

On small archives in the official formats, read by the stock builders.
"""

import hashlib
import json
import math
import pathlib

from golden import resnets
import jax
import numpy as np
import official_archives
import official_small
import official_transfer
import pytest
import run_results
import safetensors.numpy
import tiny_runs

from etf_jax import data, main
from etf_jax.configs import cifar20, cifar100_from_cifar20, imagenet
from etf_jax.models import pretrained
from etf_jax.runs import command_line
from etf_jax.training import loop, methods, state
from etf_jax.training.checkpoints import two_stage
from etf_jax.training.config import resolve_config
from etf_jax.training.setup import make_trainer


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  """A data directory with birds and with both kinds of CIFAR-100's labels."""
  archives = tmp_path_factory.mktemp("archives")
  official_transfer.write_cub200(archives)
  official_small.write_cifar100(archives, per_class=2)
  data_dir = tmp_path_factory.mktemp("tfds")
  done = official_archives.prepare(
    ["cub200", "cifar100"], data_dir=data_dir, manual_dir=archives
  )
  assert done.returncode == 0, done.stderr
  return data_dir


@pytest.fixture(autouse=True)
def _compiled_soon():
  """Two steps take less time than LLVM takes to make them fast."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


# Of what a backbone has learned.
PREFIXES = ("['params']['backbone']", "['batch_stats']['backbone']")
# One device, short runs, and nothing measured but accuracy at the end.
SMALL = (
  "--config.devices=1",
  "--config.dtype=float32",
  "--config.data.prepare=False",
  "--config.eval.every_steps=9",
  "--config.checkpoint.every_steps=1",
  "--config.checkpoint.best=False",
  "--config.collapse.splits=()",
  "--config.report.html=False",
  "--config.report.tensorboard=False",
  "--config.report.log_every_steps=1",
)


def arguments(name, prepared, *more):
  return [
    "main",
    f"--config=etf_jax:{name}",
    f"--config.data.data_dir={prepared}",
    *SMALL,
    *more,
  ]


@pytest.mark.slow
def test_birds_on_weights_from_a_file(prepared, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)  # where the config looks for the weights
  tensors = resnets.state_dict(18, classes=1000)
  safetensors.numpy.save_file(tensors, "resnet18.safetensors")
  config, _ = command_line.parse(
    arguments(
      "cub200",
      prepared,
      "--config.model.name=resnet18",
      "--config.data.image_size=36",
      "--config.augment.crop_size=32",
      "--config.batch_size=4",
      "--config.total_steps=2",
    )
  )
  dataset = data.load(config.data)
  assert dataset.num_classes == 200
  trainer = make_trainer(config, dataset)
  content = pathlib.Path("resnet18.safetensors").read_bytes()
  assert trainer.setup.config.init_hash == hashlib.sha256(content).hexdigest()
  blank = jax.tree.map(
    lambda x: jax.device_put(np.zeros(x.shape, x.dtype)),
    state.train_state_shapes(
      trainer.setup.model, trainer.setup.optimizer, trainer.setup.input_shape
    ),
  )
  begun, _ = two_stage.start(trainer.setup.config, blank, 0, None)
  backbone = {
    name: getattr(begun, name)["backbone"] for name in ("params", "batch_stats")
  }
  found = pretrained.to_state_dict(backbone, "resnet18")
  for name, tensor in found.items():
    np.testing.assert_array_equal(tensor, tensors[name])
  # Whatever ImageNet's classifier is, the head is that of a fresh state.
  assert begun.etf["head"]["prototypes"].shape == (512, 200)
  assert not begun.etf["head"]["prototypes"].any()

  straight = tmp_path / "straight"
  loop.train_seed(trainer, 0, straight)
  rows = tiny_runs.rows(straight, "train")
  assert [row["step"] for row in rows] == [1, 2]
  assert np.isfinite([row["loss"] for row in rows]).all()
  # It has been trained from there, the backbone at a tenth of the rate.
  params, _ = tiny_runs.variables(straight, blank)
  start = jax.device_get(begun.params["backbone"]["conv_stem"]["kernel"])
  moved = np.abs(params["backbone"]["conv_stem"]["kernel"] - start).max()
  assert 0 < moved < 0.1
  # What is resumed has no use for the file.
  (tmp_path / "resnet18.safetensors").unlink()
  resumed = tiny_runs.interrupted(straight, tmp_path / "resumed", step=1)
  loop.train_seed(trainer, 0, resumed)
  assert tiny_runs.rows(resumed) == tiny_runs.rows(straight)


@pytest.mark.slow
def test_fine_classes_on_coarse_features(prepared, tmp_path, capsys):
  coarse, fine = tmp_path / "coarse", tmp_path / "fine"
  # A layer of 24 features, which compiles soon; at least 19 for 20 classes.
  network = "--config.model.name=tiny_runs:Tiny"
  width = "--config.model.kwargs={'features': 24}"
  assert not main.main(
    arguments(
      "cifar20:etf_hinge",
      prepared,
      network,
      width,
      "--config.total_steps=2",
      f"--workdir={coarse}",
    )
  )
  command = arguments(
    "cifar100_from_cifar20",
    prepared,
    network,
    width,
    "--config.total_steps=3",
    f"--config.init_from={coarse}",
    f"--workdir={fine}",
  )
  assert not main.main(command)
  source, facts = (
    json.loads((run / "config.json").read_text()) for run in (coarse, fine)
  )
  assert facts["config"]["init_hash"] == f"{source['hash']}/seed=0"
  assert len(json.loads((coarse / "class_counts.json").read_text())) == 20
  assert json.loads((fine / "class_counts.json").read_text()) == [2] * 100
  (final,) = tiny_runs.rows(fine, "final")
  assert np.sum(final["confusion"]) == 200
  # The features are still those of the coarse classes.
  there, here = (
    run_results.newest(run / "checkpoints") for run in (coarse, fine)
  )
  kept = [name for name in there if name.startswith(PREFIXES)]
  assert len(kept) == 6
  for name in kept:
    np.testing.assert_array_equal(there[name], here[name])
  capsys.readouterr()
  # Another network is not what these features came from.
  command[command.index(width)] = "--config.model.kwargs={'features': 8}"
  assert main.main(command) == 2
  assert "model.kwargs.features: 24 there, 8 here" in capsys.readouterr().err


def test_recipes_of_hingece():
  """Its appendix B.1, and the four networks of its table 1."""
  c = imagenet.get_config()
  assert (c.method, c.batch_size, c.total_epochs) == ("ce", 512, 90)
  sgd = c.optimizer
  assert (sgd.learning_rate, sgd.nesterov, sgd.weight_decay) == (
    0.4,
    True,
    1e-3,
  )
  assert (c.schedule.name, c.schedule.warmup_steps) == ("cosine", 100)
  c = imagenet.get_config("etf_ce,smooth")
  assert (c.name, c.method) == ("imagenet_etf_ce_smooth", "etf_ce")
  assert c.loss.label_smoothing == 0.1
  assert (c.head.projector, c.head.batch_norm, c.head.l2_normalize) == (
    -1,
    0,
    0,
  )
  c = resolve_config(cifar20.get_config("etf_hinge"), 20)
  assert (c.name, c.head.projector) == ("cifar20_etf_hinge", -1)
  tau = methods.hinge_tau(c.loss, np.array([2500, 10]))
  np.testing.assert_allclose(tau, math.radians(65))
  with pytest.raises(ValueError, match="unknown option 'etf': ce, etf_ce, etf"):
    imagenet.get_config("etf")
  with pytest.raises(ValueError, match="unknown kind 'all': linear or fine"):
    cifar100_from_cifar20.get_config("all")


def test_a_config_that_names_its_weights():
  parse = lambda *more: command_line.parse(["", *more])[0]  # noqa: E731
  deep = parse("--config=etf_jax:cub200", "--config.model.name=resnet101")
  assert deep.init_from == "resnet101.safetensors"
  own = parse("--config=etf_jax:cub200", "--config.init_from=runs/imagenet")
  assert own.init_from == "runs/imagenet"
