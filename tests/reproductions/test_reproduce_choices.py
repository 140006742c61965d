# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What can be asked for: variants, parts, and what is answered to nonsense."""

import contextlib
import dataclasses
import io
import math

import numpy as np
import pytest

from etf_jax import reproduce
from etf_jax.errors import InputError
from etf_jax.reproductions import costs, planning, running
from etf_jax.reproductions.planning import Options
from etf_jax.reproductions.targets import TARGETS
from etf_jax.runs import command_line


def plan(name, **chosen):
  return planning.plan(name, Options(**chosen))


@pytest.mark.parametrize(
  ("variant", "target", "chosen", "field", "value"),
  [
    (
      "published_baseline",
      "table1",
      {},
      "method",
      {"ce_frozen", "ce_weighted", "etf_ce", "etf_dr"},
    ),
    (
      "published_svhn",
      "table2",
      {"datasets": ("svhn_lt",)},
      "data.profile",
      {"published_svhn"},
    ),
    (
      "paper_scaling",
      "table2",
      {"methods": ("etf_dr",)},
      "loss.scaling",
      {"paper"},
    ),
    (
      "uniform_qr",
      "table2",
      {"methods": ("etf_dr",)},
      "head.frame",
      {"uniform_qr"},
    ),
    ("per_device_batch_norm", "table3", {}, "bn_group_size", {128}),
  ],
)
def test_variants(variant, target, chosen, field, value):
  chosen = {"methods": ("paper",)} | chosen
  found = plan(target, variants=(variant,), **chosen)
  values = {
    job.config.to_dict()[field]
    if "." not in field
    else job.config[field.split(".")[0]][field.split(".")[1]]
    for job in found.jobs.values()
  }
  assert values == value
  assert found.name.endswith(f"-{variant}")
  assert not set(found.jobs) & set(plan(target, **chosen).jobs) - {
    job.name for job in found.jobs.values() if job.config.method[:3] == "etf"
  }


def test_methods_that_need_every_class_are_not_run_without_one():
  found = plan(
    "table2", datasets=("svhn_lt:resnet",), variants=("published_svhn",)
  )
  cannot = {cell.method for cell in found.cells if cell.job is None}
  assert cannot == {"logit_adjusted", "ldam_drw", "crt"}
  (waits,) = {cell.waits for cell in found.cells if cell.job is None}
  assert waits.endswith("the published labels leave classes without images")


def test_a_second_stage_has_a_learned_classifier_in_its_first():
  found = plan(
    "table1",
    variants=("published_baseline",),
    methods=("ce", "crt"),
    imbalance=(0.01,),
    mixup=(0.0,),
  )
  methods = {job.name: job.config.method for job in found.jobs.values()}
  assert sorted(methods.values()) == ["ce", "ce_frozen", "crt"]
  (crt,) = (job for job in found.jobs.values() if job.first)
  assert methods[crt.first] == "ce"


def test_the_frozen_baseline_is_that_of_the_small_resnets():
  found = plan("table2", variants=("published_baseline",), methods=("ce",))
  methods = {
    (job.config.model.name, job.config.method) for job in found.jobs.values()
  }
  assert methods == {("resnet32", "ce_frozen"), ("densenet150", "ce")}
  weighted = plan(
    "table1", variants=("published_baseline",), methods=("ce_weighted",)
  )
  assert {job.config.head.name for job in weighted.jobs.values()} == {
    "frozen_linear"
  }


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_shards_cover_the_plan_once(number):
  jobs = plan("table1", imbalance=(0.005, 0.01), mixup=(0.0,)).jobs
  parts = [running.shard(jobs, i + 1, number) for i in range(number)]
  names = [name for part in parts for name in part]
  assert sorted(names) == sorted(jobs)
  for part in parts:
    for job in part.values():
      assert job.first is None or job.first in part
  again = [running.shard(dict(jobs), i + 1, number) for i in range(number)]
  assert [list(p) for p in again] == [list(p) for p in parts]
  loads = [sum(job.cost.gflop for job in part.values()) for part in parts]
  dearest = max(job.cost.gflop for job in jobs.values())
  # Greedy: no part is ahead by more than one chain of jobs.
  assert max(loads) - min(loads) <= 1.1 * dearest


def test_the_dearest_go_where_least_is():
  """Costs 5, 4, 3, 3 on two machines are 5 + 3 and 4 + 3."""
  (job,) = plan(
    "table1", methods=("ce",), imbalance=(0.01,), mixup=(0.0,)
  ).jobs.values()
  jobs = {
    name: job._replace(name=name, cost=costs.Cost(1, 1, gflop))
    for name, gflop in {"a": 3.0, "b": 5.0, "c": 4.0, "d": 3.0}.items()
  }
  assert set(running.shard(jobs, 1, 2)) == {"b", "d"}
  assert set(running.shard(jobs, 2, 2)) == {"c", "a"}


def test_gflop_grow_with_the_square_of_side_and_width():
  (job,) = plan(
    "table2", datasets=("stl10_lt:resnet",), methods=("ce",), imbalance=(0.01,)
  ).jobs.values()
  assert costs.gflop_per_image(job.config) == pytest.approx(0.41 * 9)
  (wide,) = plan(
    "table2",
    datasets=("cifar100_lt:resnet",),
    methods=("ce",),
    imbalance=(0.01,),
  ).jobs.values()
  assert costs.gflop_per_image(wide.config) == pytest.approx(0.41 * 4)
  (large,) = plan(
    "table3", methods=("etf_dr",), datasets=("imagenet_lt:120",)
  ).jobs.values()
  assert costs.gflop_per_image(large.config) == pytest.approx(36.4)
  assert large.cost.steps == 120 * math.ceil(115_846 / 1024)


def test_resnet_8_takes_what_is_counted_by_hand():
  """Multiplications of its convolutions at 32 pixels, times 6."""
  stage = lambda side, ins, outs: side**2 * 9 * outs * (ins + outs)  # noqa: E731
  macs = 32**2 * 27 * 16 + stage(32, 16, 16) + stage(16, 16, 32)
  macs += stage(8, 32, 64)
  config, _ = command_line.parse(
    ["", "--config=etf_jax:cifar10_lt", "--config.model.name=resnet8"]
  )
  assert costs.gflop_per_image(config) == pytest.approx(6e-9 * macs, rel=0.02)


@pytest.mark.parametrize(
  ("name", "chosen", "said"),
  [
    ("tabel1", {}, "'tabel1' is unknown as a table or figure; did you mean"
                   " 'table1'?"),
    ("table1", {"seeds": 0}, "--seeds=0 must be at least 1"),
    ("table1", {"methods": ("etf_dd",)}, "did you mean 'etf_dr'?"),
    ("table1", {"imbalance": (0.05,)}, "--imbalance=0.05 is not in table1: it"
                                       " has 0.005, 0.01, 0.02, 0.1, 1"),
    ("table3", {"mixup": (1.0,)}, "it has none to choose from"),
    ("table1", {"datasets": ("fashion_mnist",)}, "did you mean"
                                                 " 'fashion_mnist_lt'?"),
    ("table1", {"datasets": ("cifar10_lt", "digits_lt")}, "give it alone"),
    ("table3", {"datasets": ("digits_lt",)}, "table3 is for imagenet_lt alone"),
    ("table1", {"variants": ("published_svnh",)}, "did you mean"
                                                  " 'published_svhn'?"),
    ("table1", {"variants": ("published_svhn",)}, "changes no run of table1"),
    ("table1", {"overrides": ("--config.seeds=4",)}, "use --seeds"),
    (
      "table1",
      {"overrides": ("--config.learning_rates=1,2",)},
      "use --config.optimizer.learning_rate",
    ),
    ("table1", {"overrides": ("--config.imbalances=.1",)}, "use --imbalance"),
    ("table1", {"overrides": ("--config.method=ce",)}, "use --methods"),
    ("table1", {"overrides": ("--config.total_epoch=1",)},
     "did you mean config.total_epoch"),
    ("hinge_figure4", {"methods": ("focal",)}, "has no cell for"
                                               " --methods=focal"),
  ],
)  # fmt: skip
def test_bad_choices_get_a_line(name, chosen, said):
  with pytest.raises(InputError) as caught:
    plan(name, **chosen)
  assert said in str(caught.value)
  assert "\n" not in str(caught.value)


def test_the_sweeps_are_at_the_angles_of_the_paper():
  target = TARGETS["hinge_figure4"]
  places = [setting.series[1] for setting in target.settings]
  assert places[0] == 0
  assert places[-1] == 17
  for setting in target.settings:
    taus = np.array(
      [setting.fields[f"loss.hinge_tau_{w}"] for w in ("minor", "major")]
    )
    np.testing.assert_allclose(taus, setting.series[1] * np.pi / 36, atol=1e-6)


def test_settings_do_not_change_under_the_feet_of_others():
  """Plan are made anew from the facts, which stay as they are."""
  before = [dataclasses.asdict(s) for s in TARGETS["table1"].settings]
  plan(
    "table1",
    variants=("published_baseline",),
    overrides=("--config.dtype=bfloat16",),
  )
  assert [dataclasses.asdict(s) for s in TARGETS["table1"].settings] == before


def run(*arguments):
  """Exit code and the line on standard error."""
  error = io.StringIO()
  with contextlib.redirect_stderr(error):
    code = reproduce.main(list(arguments))
  return code, error.getvalue()


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["tabel1"], "did you mean 'table1'?"),
    ([], "the following arguments are required: TARGET"),
    (["table1", "--seeds=many"], "invalid int value: 'many'"),
    (["table1", "--imbalance=tiny"], "--imbalance: 'tiny' is no number"),
    (["table1", "--mixup=1;2"], "--mixup: '1;2' is no number"),
    (["table1", "--shard=3/2"], "--shard=3/2 must be i/n with 1 <= i <= n"),
    (["table1", "--shard=half"], "--shard=half must be i/n"),
    (["table1", "--processes=0"], "--processes=0 must be at least 1"),
    (["table1", "--proceses=2"], "unrecognized arguments: --proceses=2"),
    (["table1", "--config.dtype"], "--config.dtype has no value"),
    (
      ["table1", "--config.data.imbalence=1"],
      "did you mean config.data.imbalance?",
    ),
    (["table3", "--methods=paper,etf"], "--methods: 'etf' is unknown"),
    (["figure3", "--variant=best"], "--variant: 'best' is unknown"),
    (["table1", "--output=/dev/null/x"], "cannot write to --output"),
  ],
)
def test_bad_input_gets_one_line(arguments, said):
  code, error = run(*arguments)
  assert code == 2
  assert error.startswith("error: ")
  assert said in error
  assert error.count("\n") == 1


def test_dry_run_prints_the_plan(capsys):
  code = reproduce.main(
    ["table1", "--dry_run", "--methods=paper", "--imbalance=.01", "--seeds=2"]
  )
  out = capsys.readouterr().out
  assert code == 0
  assert "76.5 ± 0.3" in out
  assert "16 runs in 8 programs" in out
  assert "about" in out


def test_dry_run_of_a_part(capsys):
  reproduce.main(["table1", "--dry_run", "--methods=ce,etf_dr", "--shard=2/4"])
  out = capsys.readouterr().out
  assert "part 2 of 4: 15 runs in 5 programs" in out
  assert "elsewhere" in out
