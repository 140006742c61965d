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
from etf_jax.benchmarks import chips, program
from etf_jax.benchmarks import compiled as compile_
from etf_jax.configs import base, cifar10_lt, digits_lt
from etf_jax.errors import InputError
from etf_jax.training.setup import lower_step, make_trainer

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec("libtpu") is None,
  reason="libtpu is not installed: pip install 'etf_jax[tpu]'",
)

HLO = """\
HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}

%again (p: (s32[], f32[8])) -> pred[] {
  %last = s32[]{:T(128)} constant(3)
  ROOT %less = pred[] compare(%i, %last), direction=LT
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %r = (f32[16]{0}, bf16[4,2]{1,0}) all-reduce(%x, %y), channel_id=1, \
replica_groups={{0,1,2,3}}, to_apply=%sum
}

%yes (p: f32[8]) -> f32[8] {
  ROOT %s = f32[2]{0} reduce-scatter(%p), replica_groups=[2,4]<=[8], \
dimensions={0}, to_apply=%sum
}

%no (p: f32[8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}

%never (p: f32[8]) -> f32[8] {
  ROOT %r = f32[8]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%sum
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %w = (s32[], f32[8]{0}) while(%t), condition=%again, body=%body
  %c = f32[8]{0} conditional(%b, %x, %x), branch_computations={%yes, %no}
  %g = ((f32[8]{0}), (f32[16]{0})) all-gather-start(%x), \
replica_groups=mesh['a'=2,'b'=4] {'a'}, dimensions={0}
  %h = f32[16]{0} all-gather-done(%g)
  %q = (u8[6]{0}, u8[6]{0}, u32[], u32[]) collective-permute-start(%z), \
source_target_pairs={{0,1},{1,0}}
  %alone = f32[8]{0} all-reduce(%x), replica_groups={{0},{1}}, to_apply=%sum
  ROOT %all = f32[10]{0} all-reduce(%k), replica_groups={}, to_apply=%sum
}
"""


def test_collectives_of_a_program_by_hand():
  assert program.collectives(HLO, 8) == [
    program.Collective("all-reduce", 16 * 4 + 8 * 2, 4, 3),
    program.Collective("reduce-scatter", 2 * 4 * 4, 4, 1),
    program.Collective("all-gather", 16 * 4, 2, 1, waits=False),
    program.Collective("collective-permute", 6, 8, 1, waits=False),
    program.Collective("all-reduce", 10 * 4, 8, 1),
  ]


def test_their_sums_and_what_a_chip_sends_by_hand():
  sums = program.by_kind(program.collectives(HLO, 8))
  assert list(sums) == [
    "all-reduce",
    "reduce-scatter",
    "all-gather",
    "collective-permute",
  ]
  assert sums["all-reduce"] == {
    "count": 4,
    "bytes": 3 * 80 + 40,
    # Twice all but its own share: 3/4 of 80, three times, and 7/8 of 40.
    "sent_bytes": 3 * 2 * 60 + 2 * 35,
  }
  assert sums["reduce-scatter"]["sent_bytes"] == 24
  assert sums["all-gather"]["sent_bytes"] == 32
  assert sums["collective-permute"]["sent_bytes"] == 6


TRAFFIC = """\
%again (p: (s32[], f32[4])) -> pred[] {
  %last = s32[] constant(5)
  ROOT %less = pred[] compare(%i, %last), direction=LT
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %m = f32[4]{0} get-tuple-element(%p), index=1
  ROOT %n = f32[4]{0} negate(%m)
}

%rows (p0: u8[1000,8], p1: s32[2]) -> u8[2,8] {
  %p0 = u8[1000,8]{1,0} parameter(0)
  %p1 = s32[2]{0} parameter(1)
  ROOT %g = u8[2,8]{1,0:S(1)} gather(%p0, %p1), slice_sizes={1,8}
}

%update (p0: f32[100], p1: f32[3]) -> f32[100] {
  %p0 = f32[100]{0} parameter(0)
  %p1 = f32[3]{0} parameter(1)
  ROOT %u = f32[100]{0} dynamic-update-slice(%p0, %p1, %zero)
}

ENTRY %main (x: f32[10]) -> f32[10] {
  %x = f32[10]{0:T(128)} parameter(0)
  %images = u8[1000,8]{1,0} parameter(1)
  %at = s32[2]{0} parameter(2)
  %long = f32[100]{0} parameter(3)
  %early = (f32[10]{0:S(1)}, f32[10]{0}, u32[]{:S(2)}) copy-start(%x), \
cross_program_prefetch_index=0
  %c = (f32[10]{0:T(128)S(1)}, f32[10]{0:T(128)}, u32[]{:S(2)}) copy-start(%x)
  %d = f32[10]{0:T(128)S(1)} copy-done(%c)
  %e = f32[10]{0:T(128)S(1)} add(%d, %d)
  %f = f32[10]{0:T(128)} multiply(%e, %x)
  %r = u8[2,8]{1,0:S(1)} fusion(%images, %at), kind=kLoop, calls=%rows
  %s = f32[3]{0} slice(%x), slice={[0:3]}
  %t = f32[100]{0} fusion(%long, %s), kind=kLoop, calls=%update
  %w = (s32[], f32[4]{0}) while(%y), condition=%again, body=%body
  ROOT %z = f32[10]{0} copy(%f)
}
"""


def test_bytes_of_hbm_by_hand():
  by_instruction = {
    "copy-start": 40,  # read into the chip
    "add": 0,  # all on the chip
    "multiply": 80,
    "gather": 16 + 8,  # two rows of a thousand, and where they are
    "slice": 40 + 12,
    "update": 12 + 12,  # what is new, read and written
    "negate": 5 * 2 * 16,
    "copy": 80,
  }
  # The comparison of the loop reads and writes a few bytes each time.
  compared = 5 * (4 + 1)
  assert program.hbm_bytes(TRAFFIC) == sum(by_instruction.values()) + compared


def test_limits_by_hand():
  slice_ = chips.topology("v5e:2x4")
  found = [program.Collective("all-reduce", 800, 8, 2)]
  limits = program.limits(197e12, 819e9 / 2, found, slice_)
  # A corner of 2x4 has two links of 50 GB/s.
  expected = {"compute": 1.0, "hbm": 0.5, "ici": 2 * 1400 / 100e9}
  assert limits == pytest.approx(expected)
  # Half of a second in HBM is hidden behind the arithmetic.
  waited = 2 * 1400 / 100e9
  assert program.efficiency(limits, found, slice_) == 1 / (1 + waited)
  free = [one._replace(waits=False) for one in found]
  assert program.efficiency(limits, free, slice_) == 1
  late = limits | {"compute": 0.0, "hbm": waited / 2}
  assert program.efficiency(late, free, slice_) == pytest.approx(0.5)
  alone = program.limits(1.0, 1.0, [], chips.topology("v6e:1x1"))
  assert alone["ici"] == 0


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


def test_without_libtpu(monkeypatch, capsys):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  code = benchmark.main(["compile", "--config=etf_jax:cifar10_lt"])
  assert code == 2
  assert capsys.readouterr().err == (
    "error: compiling for TPUs needs libtpu: pip install 'etf_jax[tpu]'\n"
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
