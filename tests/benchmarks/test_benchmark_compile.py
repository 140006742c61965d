# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compiling the train step for TPUs that are not here."""

import importlib.util
import json
import os
import re

import jax
import numpy as np
import pytest

from etf_jax import benchmark, configs, data
from etf_jax.benchmarks import chips
from etf_jax.benchmarks import compiled as compile_
from etf_jax.configs import base, cifar10_lt, digits_lt
from etf_jax.errors import InputError
from etf_jax.training.setup import lower_step, make_trainer

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="libtpu is not installed: pip install 'etf_jax[tpu]'",
)


@pytest.mark.parametrize(
  ("name", "number", "links", "kind"),
  [
    ("v5e:1x1", 1, 0, "v5litepod-1"),
    ("v5e:2x2", 4, 2, "v5litepod-4"),
    ("v6e:8x16", 128, 3, "v6e-128"),  # the longer axis is closed
    ("v5e:16x16", 256, 4, "v5litepod-256"),
    ("v4:2x2x1", 4, 2, "v4-8"),  # counted in cores
    ("v5p:2x4x4", 32, 3, "v5p-64"),
    ("v4:4x4x8", 128, 6, "v4-256"),
  ],
)
def test_slices_by_hand(name, number, links, kind):
  slice_ = chips.topology(name)
  assert (slice_.chips, slice_.links) == (number, links)
  assert slice_.environment["TPU_ACCELERATOR_TYPE"] == kind


@pytest.mark.parametrize(
  ("name", "near"),
  [
    ("v5e:4x2", "v5e:2x4"),
    ("v5e-8x8", "v5e:8x8"),
    ("v5p:4x4", "v5p:4x4x8"),
    ("v6e:0x1", "v6e:1x1"),
    ("h200:6", "h200:8"),
  ],
)
def test_unknown_slice(name, near, capsys):
  code = benchmark.main(
    ["compile", f"--topology={name}", "--config=etf_jax:cifar10_lt"]
  )
  assert code == 2
  error = capsys.readouterr().err
  assert f"--topology={name!r} is unknown; did you mean {near!r}?" in error
  assert error.count("\n") == 1


@pytest.mark.parametrize(
  ("name", "module", "extra"),
  [("v5e:2x4", "libtpu", "tpu"), ("h200:8", "jax_cuda13_plugin", "cuda")],
)
def test_without_a_compiler(name, module, extra, monkeypatch, capsys):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  code = benchmark.main(
    ["compile", f"--topology={name}", "--config=etf_jax:cifar10_lt"]
  )
  assert code == 2
  assert capsys.readouterr().err == (
    f"error: --topology={name}: compiling for it needs {module}; pip install"
    f" 'etf_jax[{extra}]'\n"
  )


def expected(config, classes=None, images=None):
  return compile_.expected(config.data, classes, images)


def test_sizes_are_the_published_ones():
  found = expected(cifar10_lt.get_config())
  # Yang et al.'s CIFAR-10-LT at 0.01.
  assert len(found.train.labels) == found.class_counts.sum() == 12_406
  assert (found.class_counts[0], found.class_counts[-1]) == (5000, 50)
  assert found.train.images.shape == (12_406, 32, 32, 3)
  assert found.train.sizes is None
  np.testing.assert_array_equal(
    np.bincount(found.train.labels), found.class_counts
  )


def test_sizes_of_lists_and_of_held_out_images():
  config = base.get_config()
  config.data.update(name="imagenet_lt", profile="none", image_size=256)
  found = expected(config)
  assert found.num_classes == 1000
  assert found.train.images.shape == (115_846, 256, 256, 3)
  config.data.update(feed="stream", fit="longer")
  assert expected(config).train.pixels.has_sizes
  config.data.update(name="cifar10", image_size=None, validation_fraction=0.1)
  assert expected(config).class_counts.sum() == 45_000


def test_images_of_ones_own():
  config = base.get_config()
  config.data.update(name="folder", dir="photographs", profile="none")
  with pytest.raises(InputError, match=r"add --num_classes=K --num_images=N"):
    expected(config)
  with pytest.raises(InputError, match=r"set config\.data\.image_size"):
    expected(config, 7, 100)
  config.data.update(image_size=64, fit="longer")
  found = expected(config, 7, 100)
  assert found.class_counts.sum() == 100
  assert found.train.images.shape == (100, 64, 64, 3)
  assert found.train.sizes.shape == (100, 2)


@pytest.mark.slow
@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_it_is_the_step_that_trains(feed, digits_dir):
  config = digits_lt.get_config()
  config.data.update(data_dir=str(digits_dir), feed=feed)
  config.update(devices=2)
  run = make_trainer(config, data.load(config.data))
  real = lower_step(run.setup, run.open_feed)
  # All that the catalog does not know: how many there are of each class.
  counts = tuple(map(int, run.dataset.class_counts))
  config.data.update(profile="list", counts=counts)
  plan, lowered = compile_.lower(
    config, expected(config, images=5000), jax.devices()
  )
  assert (plan.epoch, plan.total_steps) == (
    run.setup.epoch,
    run.setup.total_steps,
  )
  # checkify numbers its checks through a whole process.
  number = re.compile(r"(constant dense<)\d+(> : tensor<i32>)")
  programs = [number.sub(r"\1\2", one.as_text()) for one in (real, lowered)]
  assert programs[0] == programs[1]


CONFIG = f"--config={configs.FOLDER / 'fashion_mnist_lt.py'}:cpu"


@needs_libtpu
@pytest.mark.parametrize(
  ("options", "message"),
  [
    (
      ["--config.batch_size=126"],
      "config.batch_size=126 must be a positive multiple of the 4 devices;"
      " change it, or set config.devices",
    ),
    (
      ["--config.data.imbalence=1"],
      "config.data.imbalence is unknown; did you mean config.data.imbalance?",
    ),
  ],
)
def test_wrong_configs_are_one_line(options, message, capsys):
  code = benchmark.main(["compile", "--topology=v5e:2x2", CONFIG, *options])
  assert code == 2
  assert capsys.readouterr().err == f"error: {message}\n"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
  """The report of ResNet-8 on four chips, and what was printed."""
  file = tmp_path_factory.mktemp("compile") / "compile.json"
  before = dict(os.environ)
  with pytest.MonkeyPatch.context() as patch:
    lines = []
    patch.setattr("builtins.print", lambda *words: lines.extend(words))
    options = [CONFIG, "--config.dtype=bfloat16", "--quick", f"--json={file}"]
    options += ["--config.augment.crop_padding=4"]
    options += ["--config.augment.mixup_alpha=1.0"]
    code = benchmark.main(["compile", "--topology=v5e:2x2", *options])
  assert code == 0, lines
  assert dict(os.environ) == before
  return json.loads(file.read_text()), "\n".join(lines)


@needs_libtpu
@pytest.mark.slow
def test_a_real_step_on_four_chips(compiled):
  report, printed = compiled
  [row] = report["results"]
  assert report["environment"]["device"] == "TPU v5 lite"
  assert row["chips"] == 4
  # Convolutions of 16, 32 and 64 channels, two a block, after a stem of one
  # input channel; and the scale and bias of each normalisation, the head's too.
  kernels = 9 * (16 + 2 * 16**2 + 16 * 32 + 32**2 + 32 * 64 + 64**2)
  assert row["parameters"] == kernels + 2 * (3 * 16 + 2 * 32 + 3 * 64)
  # Two operations for each of 3 passes over 9.0 M multiplications: a golden
  # number, as are those below. If you meant a change, write it here.
  assert row["flops"] * 4 / 128 == pytest.approx(53.4e6, rel=0.03)
  assert row["bytes_accessed"] * 4 / 128 == pytest.approx(6.35e6, rel=0.05)
  # Most activations stay on the chip.
  assert row["hbm_bytes"] * 4 / 128 == pytest.approx(2.14e6, rel=0.1)
  assert row["collectives"]["all-reduce"]["count"] == pytest.approx(22, abs=3)
  # Gradients, in bfloat16, and little else is summed over the chips.
  assert row["collectives"]["all-reduce"]["bytes"] == pytest.approx(
    2 * row["parameters"], rel=0.1
  )
  # For mixup every chip sees the images of all, as bytes.
  assert row["collectives"]["all-gather"]["bytes"] == 128 * 28 * 28
  memory = row["memory"]
  # The resident images, and the state twice: weights and momentum.
  held = 14_886 * 28 * 28 + 2 * 4 * row["parameters"]
  assert held < memory["arguments"] < 1.4 * held
  assert memory["total"] == (
    memory["arguments"]
    + memory["outputs"]
    - memory["aliased"]
    + memory["temporaries"]
    + memory["code"]
  )
  assert memory["total"] < memory["capacity"] == 16e9
  assert row["limited_by"] == "hbm"
  assert row["images_per_second"] == pytest.approx(
    128 * 819e9 / row["hbm_bytes"]
  )
  assert "  all-reduce " in printed
  assert "hbm limits it to" in printed
  assert f"efficiency {row['efficiency']:.3f}: " in printed


@needs_libtpu
@pytest.mark.slow
def test_imagenet_lt_fits_on_four_chips(tmp_path, capsys):
  file = tmp_path / "imagenet_lt.json"
  options = ["--config.batch_size=256", "--config.bn_group_size=64"]
  options += ["--config=etf_jax:imagenet_lt", "--config.data.feed=stream"]
  code = benchmark.main(
    ["compile", "--quick", "--topology=v5e:2x2", *options, f"--json={file}"]
  )
  assert code == 0, capsys.readouterr().err
  [row] = json.loads(file.read_text())["results"]
  memory = row["memory"]
  # Weights and momentum, in float32, and little else.
  assert memory["arguments"] == pytest.approx(8 * row["parameters"], rel=0.1)
  assert memory["total"] < memory["capacity"]
  # Golden numbers. If you meant a change, write it here.
  assert row["parameters"] == pytest.approx(63.1e6, rel=0.002)
  assert row["flops"] * 4 / 256 == pytest.approx(36.0e9, rel=0.03)
  assert row["bytes_accessed"] * 4 / 256 == pytest.approx(368e6, rel=0.05)
  assert row["hbm_bytes"] * 4 / 256 == pytest.approx(322e6, rel=0.05)
  # Gradients, in bfloat16, and little else is summed over the chips.
  summed = row["collectives"]["all-reduce"]
  assert summed["count"] <= 8
  assert summed["bytes"] == pytest.approx(2 * row["parameters"], rel=0.02)
  # For mixup every chip sees the images of all, as bytes; no activations.
  gathered = row["collectives"]["all-gather"]["bytes"]
  assert gathered == pytest.approx(256 * 224 * 224 * 3, rel=0.01)
  assert row["efficiency"] == pytest.approx(0.92, abs=0.02)


@pytest.mark.skipif(
  importlib.util.find_spec("jax_cuda13_plugin") is None,
  reason="XLA's CUDA plugin is not installed: pip install 'etf_jax[cuda]'",
)
@pytest.mark.slow
def test_a_real_step_on_a_gpu(tmp_path, capsys):
  file = tmp_path / "gpu.json"
  options = [CONFIG, "--config.dtype=bfloat16", f"--json={file}"]
  options += ["--config.augment.crop_padding=4"]
  options += ["--config.augment.mixup_alpha=0.2"]
  code = benchmark.main(["compile", "--topology=h200:1", *options])
  printed = capsys.readouterr()
  assert code == 0, printed.err
  report = json.loads(file.read_text())
  [row] = report["results"]
  assert report["environment"]["device"] == "NVIDIA H200"
  assert row["waits"] == 0
  # Golden numbers. If you meant a change, write it here.
  step, loop = (sum(kinds.values()) for kinds in row["launches"].values())
  assert step == pytest.approx(152, rel=0.05)
  assert loop == pytest.approx(135, rel=0.05)
  # Seven convolutions, and two gradients of each but the first.
  assert row["launches"]["a step"]["convolution"] == 20
  assert row["limited_by"] == "launches"
  assert row["limits_seconds"]["launches"] == pytest.approx(2e-6 * step)
  assert row["collectives"] == {}
  assert f"launches of a step: {step} (" in printed.out
  assert "places where the host waits: 0" in printed.out
