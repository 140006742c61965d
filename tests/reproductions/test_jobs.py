# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The runs of a target: how many, of which configurations, by which choice."""

import pathlib

import optax
import pytest

from etf_jax import configs, models
from etf_jax.configs import (
  cifar10_lt,
  cifar100_lt,
  imagenet_lt,
  stl10_lt,
  svhn_lt,
)
from etf_jax.data import catalog
from etf_jax.errors import InputError
from etf_jax.models import heads
from etf_jax.reproductions import comparison, jobs, runner
from etf_jax.reproductions.jobs import TARGETS, Options
from etf_jax.runs import command_line, identity
from etf_jax.training import state

OUTPUT = pathlib.Path("somewhere")


def plan(name, **chosen):
  return jobs.reproduction(name, Options(**chosen))


def number_of_runs(found):
  return sum(len(job.seeds) for job in found.jobs.values())


# Settings times methods times three seeds. With the baselines (4 more) each
# setting has one more program, the first stage of tau-norm.
@pytest.mark.parametrize(
  ("name", "paper", "with_baselines"),
  [
    ("table1", 10 * 4 * 3, 10 * (4 + 4 + 1) * 3),
    ("table2", 24 * 2 * 3, 24 * (2 + 4 + 1) * 3),
    # ImageNet-LT has validation images, so CE is tau-norm's first stage.
    ("table3", 4 * 2 * 3, 4 * (2 + 4) * 3),
    ("figure3", 1 * 2 * 3, 1 * 2 * 3),
    ("figure4", 4 * 2 * 3, 4 * 2 * 3),
    ("figure5", 4 * 2 * 3, 4 * 2 * 3),
    ("figure6", 4 * 2 * 3, 4 * 2 * 3),
    ("leaderboard", 3 * 2 * 3, (2 * 9 + 8) * 3),
    ("hinge_table2", (3 * 3 + 1) * 3, (3 * 5 + 1) * 3),
    # The angle 0 of minor and of major classes is one run, and is CE + ETF's
    # network with HingeCE's name.
    ("hinge_figure5", (1 + 1 + 7 + 6 - 1) * 3, (1 + 1 + 7 + 6 - 1) * 3),
  ],
)
def test_the_number_of_runs(name, paper, with_baselines):
  assert number_of_runs(plan(name, methods=("paper",))) == paper
  assert number_of_runs(plan(name)) == with_baselines


@pytest.mark.parametrize("name", TARGETS)
def test_every_cell_is_planned(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for depth in (34, 50, 101):
    (tmp_path / f"resnet{depth}.safetensors").touch()
  found = plan(name)
  for cell in found.cells:
    job = found.jobs[cell.job]
    assert job.config.method == (cell.method if not cell.setting.then else "ce")
    if cell.setting.imbalance is not None:
      assert job.config.data.imbalance == cell.setting.imbalance
    if cell.setting.mixup is not None:
      assert job.config.augment.mixup_alpha == cell.setting.mixup
  text = comparison.plan(found, OUTPUT)
  assert TARGETS[name].paper in text
  assert f"{number_of_runs(found)} runs in {len(found.jobs)} programs" in text
  assert all(name in text for name in found.jobs)


def test_cells_say_what_they_wait_for(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = plan("table4")
  assert not found.jobs
  assert found.cells[0].waits == (
    "waits for resnet34.safetensors: configs/cub200.py says where it comes from"
  )
  assert "6 cells cannot be run yet" in comparison.plan(found, OUTPUT)
  monkeypatch.setattr(configs, "FOLDER", tmp_path)
  assert plan("table3").cells[0].waits == "waits for configs/imagenet_lt.py"


def test_coarse_classes_and_then_fine_ones():
  found = plan("hinge_figure1", methods=("etf_hinge",))
  coarse, fine = found.jobs.values()
  assert (coarse.config.data.name, coarse.config.method) == (
    "cifar20",
    "etf_hinge",
  )
  assert (fine.config.data.name, fine.config.method) == ("cifar100", "ce")
  assert fine.first == coarse.name
  assert fine.config.init_hash == identity.fingerprint(coarse.config)
  # Five backbones, each with a classifier of its own.
  assert number_of_runs(plan("hinge_figure1")) == 5 * 2 * 3


@pytest.mark.slow
def test_every_network_can_be_built():
  """The papers' own, not the small ones that tests train: d >= K - 1."""
  widths = {}
  for name in TARGETS:
    for job in plan(name).jobs.values():
      config = job.config
      model = (config.model.name, config.model.width, str(config.model.kwargs))
      if model not in widths:
        widths[model] = _width(config)
      facts = catalog.lookup(config.data.name)
      seen = heads.projected_width(config.head.projector, widths[model])
      assert config.head.name != "etf" or seen >= facts.num_classes - 1
  found = {(name, width): d for (name, width, _), d in widths.items()}
  assert found["resnet32", 1] == 64
  assert found["resnet32", 2] == 128
  assert found["densenet150", 1] == 510
  assert {d for model, d in widths.items() if model[0] == "resnet50"} == {
    2048,
    4096,
  }


def _width(config):
  """Features of the backbone; its size in pixels changes nothing."""
  plain = config.copy_and_resolve_references()
  plain.update(dtype="float32")
  plain.head.update(name="linear", projector=0, batch_norm=False)
  model = models.create_model(plain)
  shapes = state.train_state_shapes(model, optax.sgd(0.1), (32, 32, 3))
  width, classes = shapes.params["head"]["kernel"].shape
  assert classes == catalog.lookup(config.data.name).num_classes
  return width


def test_hingece_has_the_features_of_its_paper():
  jobs = plan("hinge_table2", methods=("etf_hinge",)).jobs.values()
  assert {job.config.head.projector for job in jobs} == {-1, 128}
  found = plan("hinge_table2", methods=("ce", "etf_ce"))
  found_heads = {
    (cell.setting.label.split(",")[2].strip(), cell.method): found.jobs[
      cell.job
    ].config.head
    for cell in found.cells
    if cell.setting.dataset == "cifar100_lt"
  }
  assert found_heads["64 features", "ce"].projector == 0
  assert found_heads["128 features", "ce"].projector == 128
  assert found_heads["128 features", "etf_ce"].projector == 128
  assert found_heads["128 features", "etf_ce"].l2_normalize is False


def test_the_recipes_of_hingece():
  """Its appendix: CIFAR-LT, and ImageNet-LT with a smaller decay."""
  c = cifar10_lt.get_config("hinge")
  sgd = c.optimizer
  assert (c.total_epochs, c.batch_size, c.augment.mixup_alpha) == (256, 128, 0)
  assert (sgd.learning_rate, sgd.weight_decay, sgd.nesterov) == (
    0.4,
    1e-4,
    False,
  )
  assert (c.schedule.name, c.schedule.warmup_epochs) == ("cosine", 0)
  c = imagenet_lt.get_config("120,hinge")
  sgd = c.optimizer
  assert (c.name, c.total_epochs, c.batch_size) == (
    "imagenet_lt_120_hinge",
    120,
    512,
  )
  assert (sgd.learning_rate, sgd.weight_decay, sgd.nesterov) == (
    0.4,
    1e-4,
    True,
  )
  assert (c.schedule.warmup_steps, c.schedule.per_step) == (100, True)
  assert c.loss.feature_length_penalty == 0
  assert c.model.kwargs.last_stage_width == 1
  assert c.augment.brightness == c.augment.mixup_alpha == 0


def test_densenets_keep_the_rest_of_the_recipe():
  for module in (cifar10_lt, cifar100_lt, svhn_lt, stl10_lt):
    plain, dense = module.get_config(), module.get_config("densenet")
    assert dense.name == f"{plain.name}_densenet"
    plain.update(name=dense.name)
    plain.model.update(name="densenet150", width=1)
    assert plain.to_dict() == dense.to_dict()
    with pytest.raises(ValueError, match=r"unknown (recipe|network) 'dense'"):
      module.get_config("dense")


def test_a_run_of_two_tables_is_one_run():
  one = plan("table1", methods=("etf_dr",), mixup=(1.0,), imbalance=(0.01,))
  two = plan("table2", datasets=("cifar10_lt:resnet",), imbalance=(0.01,))
  three = plan("leaderboard", datasets=("cifar10_lt",))
  assert set(one.jobs) <= set(two.jobs)
  assert set(one.jobs) <= set(three.jobs)


def test_the_second_stages_start_from_the_right_run():
  found = plan("table1", imbalance=(0.02,), mixup=(1.0,))
  jobs = {job.config.method: job for job in found.jobs.values() if job.first}
  crt, tau_norm = jobs["crt"], jobs["tau_norm"]
  first = found.jobs[crt.first]
  assert first.config.method == "ce"
  assert first.config.data.validation_fraction == 0
  assert found.jobs[tau_norm.first].config.data.validation_fraction == 0.1
  assert crt.config.total_epochs == 10
  assert crt.config.init_hash == identity.fingerprint(first.config)
  names = list(found.jobs)
  assert names.index(crt.first) < names.index(crt.name)
  arguments = runner.command(OUTPUT, found.jobs, crt, (0, 1, 2))
  where = OUTPUT / "runs" / crt.first
  assert f"--config.init_from={where}" in arguments


def test_the_command_of_a_job_is_that_of_main():
  """Seeds together, or one in a directory of its own; what it says holds."""
  found = plan(
    "table1",
    methods=("etf_dr",),
    imbalance=(0.005,),
    mixup=(0.0,),
    overrides=("--config.dtype=bfloat16", "--config.total_epochs=3"),
  )
  (job,) = found.jobs.values()
  output = OUTPUT
  arguments = runner.command(output, found.jobs, job, (1, 2))
  config, directory = command_line.parse(["main", *arguments])
  assert config.seeds == (1, 2)
  assert directory == str(output / "runs" / job.name)
  assert (config.method, config.dtype, config.total_epochs) == (
    "etf_dr",
    "bfloat16",
    3,
  )
  assert (config.data.imbalance, config.augment.mixup_alpha) == (0.005, 0)
  arguments = runner.command(output, found.jobs, job, (2,))
  config, directory = command_line.parse(["main", *arguments])
  assert config.seeds == (2,)
  assert directory == str(output / "runs" / job.name / "seed=2")


def test_figures_measure_every_epoch():
  for name in ("figure3", "figure5"):
    for job in plan(name).jobs.values():
      assert job.config.collapse.every_epochs == 1
  (job,) = plan(
    "table2",
    datasets=("cifar100_lt:resnet",),
    methods=("etf_dr",),
    imbalance=(0.02,),
  ).jobs.values()
  assert job.config.collapse.every_epochs == 10
  assert job.name in plan("figure3").jobs


def test_other_data_have_the_tables_methods_and_no_published_values():
  found = plan("table1", datasets=("fashion_mnist_lt:cpu",))
  assert found.name == "table1-fashion_mnist_lt_cpu"
  methods = [cell.method for cell in found.cells]
  each = [
    *("ce_frozen", "ce", "ce_weighted", "etf_ce", "etf_dr"),
    *("logit_adjusted", "ldam_drw"),
  ]
  assert methods == 2 * each
  assert number_of_runs(found) == 42
  assert not any(cell.published for cell in found.cells)
  (config,) = {
    (c.model.name, c.total_epochs, c.data.imbalance)
    for c in (job.config for job in found.jobs.values())
  }
  assert config == ("resnet8", 20, 0.01)
  more = plan(
    "table1", datasets=("fashion_mnist_lt",), imbalance=(0.005, 1.0), mixup=(0,)
  )
  assert len(more.cells) == 14
  assert {j.config.data.imbalance for j in more.jobs.values()} == {0.005, 1.0}
  figure = plan("figure3", datasets=("digits_lt",), mixup=(0.0,))
  assert [cell.method for cell in figure.cells] == ["ce", "etf_dr"]


def test_on_other_data_another_network_is_named():
  found = plan(
    "figure5",
    datasets=("fashion_mnist_lt:cpu",),
    mixup=(1.0,),
    overrides=("--config.model.name=densenet10",),
  )
  (label,) = {cell.setting.label for cell in found.cells}
  assert label == "fashion_mnist_lt_cpu, densenet10, imbalance 0.01, mixup 1"


@pytest.mark.parametrize(
  "name", [name for name in TARGETS if TARGETS[name].elsewhere]
)
def test_on_other_data_the_page_is_named_by_them(name):
  """No name of the paper's data, and none of the notes on its values."""
  found = plan(name, datasets=("digits_lt",))
  text = comparison.plan(found, OUTPUT) + comparison.markdown(found, ())
  assert f"{TARGETS[name].elsewhere.title}: digits_lt" in text
  assert f"{TARGETS[name].paper}, taken to other data" in text
  for other in ("CIFAR", "ImageNet", "SVHN", "STL", "published values are"):
    assert other not in text
  assert plan(name).target == TARGETS[name]


def test_users_images_are_planned_without_their_number():
  found = plan("table1", datasets=("folder",), mixup=(0.0,))
  assert len(found.jobs) == 7


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


@pytest.mark.parametrize(
  ("name", "chosen", "said"),
  [
    ("tabel1", {}, "TARGET='tabel1': unknown; did you mean 'table1'?"),
    ("table1", {"seeds": 0}, "--seeds=0"),
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
    ("table1", {"overrides": ("--config.method=ce",)}, "use --methods"),
    ("table1", {"overrides": ("--config.total_epoch=1",)},
     "did you mean config.total_epoch"),
    ("hinge_figure4", {"methods": ("focal",)}, "--methods=focal"),
  ],
)  # fmt: skip
def test_bad_choices_get_a_line(name, chosen, said):
  with pytest.raises(InputError) as caught:
    plan(name, **chosen)
  assert said in str(caught.value)
  assert "\n" not in str(caught.value)


def test_a_figure_has_the_measurements_that_it_shows():
  """ImageNet's config holds no features; cosines and ranks need them."""
  for name in ("hinge_figure3", "hinge_figure4"):
    for job in plan(name).jobs.values():
      assert job.config.collapse.hold_features
      assert job.config.collapse.rank_images >= 1300  # all of a class
    assert "10.5 GB" in comparison.plan(plan(name), OUTPUT)
  # What is measured makes no other run of it.
  assert set(plan("hinge_figure3").jobs) <= set(plan("hinge_table3").jobs)


def test_pictures_are_of_the_first_stage():
  found = plan("hinge_figure1", methods=("etf_hinge",))
  coarse, fine = found.jobs
  (line,) = jobs.probe_commands(found)
  assert line.endswith(
    f"--workdir=runs/{coarse} --datasets=cifar100 --view=0,1,2"
  )
  assert fine not in line
  (line,) = jobs.probe_commands(plan("hinge_figure6", methods=("ce",)))
  assert line.endswith("--view=0,1,2 --view=oxford_flowers102:0,1,2")
  assert not jobs.probe_commands(plan("table1", methods=("ce",)))
