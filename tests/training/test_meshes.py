# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Any mesh gives the run of one device, and holds a part of the state."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax import models
from etf_jax.configs import cifar10_lt
from etf_jax.errors import InputError
from etf_jax.training import optimizer, state
from etf_jax.training.checkpoints import manager
from etf_jax.training.config import resolve_config
from etf_jax.training.parallel import sharding
from etf_jax.training.setup import make_trainer

CLASSES, STEPS = 10, 4
# 45 images in one step of at most 48: there is padding, on any mesh.
COUNTS = np.array([9, 8, 7, 5, 4, 4, 3, 2, 2, 1])
# In float32, relative to the norm of a leaf; BatchNorm in small groups
# magnifies rounding.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def dataset():
  return tiny_runs.noise(COUNTS)


def config(method="etf_dr", *, devices=8, **fields):
  fields = {name.replace("__", "."): value for name, value in fields.items()}
  wide = {"batch_size": 48, "model.kwargs.features": 64, "eval.batch_size": 16}
  wide |= {"collapse.hold_features": False, "eval.train_accuracy_steps": 1}
  made = tiny_runs.config("", method)
  with made.unlocked():
    made.update_from_flattened_dict(wide | fields)
  made.devices = devices
  return made


def advance(trainer, current, first, last):
  feed, metrics = trainer.open_feed(0, first), None
  for step in range(first, last):
    current, metrics = feed.advance(current, step, state.keys(0)["augment"])
  return current, metrics


def misplaced(actual, trainer):
  """The leaves that are not where `state_sharding` says."""
  where = trainer.setup.state_sharding
  if isinstance(where, jax.sharding.Sharding):
    where = jax.tree.map(lambda _: trainer.setup.state_sharding, actual)
  return [
    jax.tree_util.keystr(path)
    for (path, leaf), wanted in zip(
      jax.tree_util.tree_leaves_with_path(actual),
      jax.tree.leaves(where),
      strict=True,
    )
    if not leaf.sharding.is_equivalent_to(wanted, leaf.ndim)
  ]


MESHES = {
  "one": {"devices": 1},
  "data8": {},
  "fsdp8": {"mesh__fsdp": 8},
  "data4_fsdp2": {"mesh__data": 4, "mesh__fsdp": 2},
  "data2_fsdp2_model2": {"mesh__fsdp": 2, "mesh__model": 2},
}
METHODS = {
  "etf_dr": {"ema_decay": 0.5},
  "ce": {"bn_group_size": 8, "accumulate_steps": 2},
}


@pytest.fixture(scope="module")
def run(dataset):
  """(method, mesh) -> a trainer, the state and metrics after its steps."""

  @functools.cache
  def make(method, mesh):
    made = config(method, **METHODS[method], **MESHES[mesh])
    trainer = make_trainer(made, dataset)
    current, metrics = advance(trainer, tiny_runs.begin(trainer), 0, STEPS)
    return trainer, current, metrics

  return make


@pytest.mark.slow
@pytest.mark.parametrize(
  ("method", "mesh"),
  [
    ("etf_dr", "data8"),
    ("etf_dr", "fsdp8"),
    ("etf_dr", "data4_fsdp2"),
    ("etf_dr", "data2_fsdp2_model2"),
    ("ce", "data2_fsdp2_model2"),
  ],
)
def test_any_mesh_gives_the_run_of_one_device(run, method, mesh):
  trainer, current, metrics = run(method, mesh)
  _, expected, expected_metrics = run(method, "one")
  assert np.isfinite(metrics.loss)
  assert (
    tiny_runs.error((current, metrics), (expected, expected_metrics))
    < TOLERANCE
  )
  assert misplaced(current, trainer) == []
  kernel = current.params["backbone"]["Dense_0"]["kernel"]
  parts = trainer.setup.mesh.shape["fsdp"]
  assert kernel.addressable_shards[0].data.size == kernel.size // parts


@pytest.mark.slow
def test_evaluation_and_collapse_do_not_see_the_mesh(run):
  one, current, _ = run("ce", "one")
  many, *_ = run("ce", "data2_fsdp2_model2")
  placed = jax.device_put(jax.device_get(current), many.setup.state_sharding)
  evaluated = many.evaluate(placed.eval_variables, "test")
  row, measured = many.measure(placed.eval_variables, "train")
  for split, sums in (("test", evaluated), ("train", measured)):
    expected = one.evaluate(current.eval_variables, split).confusion
    np.testing.assert_array_equal(sums.confusion, expected)
    assert expected.sum() == len(getattr(one.dataset, split).labels)
  norms = np.linalg.norm(
    jax.device_get(current.params["head"]["kernel"]), axis=0
  )
  np.testing.assert_allclose(row["classifier_norms"], norms, rtol=1e-6)


@pytest.mark.slow
def test_a_checkpoint_is_restored_on_another_mesh(run, tmp_path):
  trainer, saved, _ = run("etf_dr", "data4_fsdp2")
  folder = manager.Checkpoints(tmp_path, trainer.setup.config.checkpoint)
  folder.save(saved, STEPS)
  folder.close()
  expected, again = jax.device_get(saved), None
  for mesh in ("one", "data8", "data2_fsdp2_model2"):
    other, like, _ = run("etf_dr", mesh)
    like = jax.tree.map(jnp.zeros_like, like)
    folder = manager.Checkpoints(tmp_path, other.setup.config.checkpoint)
    restored, step = folder.restore(like)
    folder.close()
    assert step == STEPS
    assert misplaced(restored, other) == []
    assert tiny_runs.error(restored, expected) == 0
    # It is trained on there.
    after = jax.device_get(advance(other, restored, STEPS, STEPS + 1)[0])
    again = again or after
    assert after.step == STEPS + 1
    assert tiny_runs.error(after, again) < TOLERANCE


def shapes_of(name, mesh):
  """A state of a published recipe, and where its arrays are."""
  made = cifar10_lt.get_config()
  made.update_from_flattened_dict({"method": "ce", "model.name": name})
  made = resolve_config(made, CLASSES)
  sgd = optimizer.create_optimizer(made.optimizer, lambda step: 0.1)
  shapes = state.train_state_shapes(models.create_model(made), sgd, (32, 32, 3))
  return shapes, sharding.of_state(shapes, mesh)


def held(shapes, where):
  """Bytes of all leaves, and those that one device holds."""
  pairs = list(
    zip(jax.tree.leaves(shapes), jax.tree.leaves(where), strict=True)
  )
  total = sum(math.prod(x.shape) * x.dtype.itemsize for x, _ in pairs)
  local = sum(
    math.prod(s.shard_shape(x.shape)) * x.dtype.itemsize for x, s in pairs
  )
  return total, local


@pytest.mark.slow
def test_each_device_holds_its_share(dataset):
  """1 / N of what is cut, and all of what is small."""
  shapes, _ = shapes_of("resnet20", sharding.make_mesh(1, 128))
  small = sum(
    math.prod(x.shape)
    for x in jax.tree.leaves(shapes.params)
    if math.prod(x.shape) < sharding.SMALLEST_CUT
  )
  for devices in (2, 4, 8):
    mesh = sharding.make_mesh(devices, 128, fsdp=devices)
    where = sharding.of_state(shapes, mesh)
    for part in ("params", "opt_state"):
      total, local = held(getattr(shapes, part), getattr(where, part))
      assert local == (total - 4 * small) // devices + 4 * small + (
        # The optimiser's count of steps.
        0 if part == "params" else 4 - 4 // devices
      )
      assert local / total < 1.1 / devices
  # So do the arrays of a run.
  trainer = make_trainer(config(mesh__fsdp=8), dataset)
  params = tiny_runs.begin(trainer).params
  total, local = held(params, trainer.setup.state_sharding.params)
  found = sum(
    x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(params)
  )
  assert found == local < total / 4


def test_what_is_cut_and_where():
  mesh = sharding.make_mesh(8, 8, fsdp=2, model=2)
  float32 = np.dtype(np.float32)
  tree = {
    "backbone": {
      "conv": {"kernel": jax.ShapeDtypeStruct((3, 3, 32, 64), float32)},
      "odd": {"kernel": jax.ShapeDtypeStruct((4, 999), float32)},
      "norm": {"scale": jax.ShapeDtypeStruct((64,), float32)},
    },
    "head": {
      "kernel": jax.ShapeDtypeStruct((512, 1000), float32),
      "bias": jax.ShapeDtypeStruct((1000,), float32),
      "prototypes": jax.ShapeDtypeStruct((512, 1000), float32),
      "norm": {"bias": jax.ShapeDtypeStruct((512,), float32)},
    },
  }
  found = jax.tree.map(lambda s: tuple(s.spec), sharding.of_state(tree, mesh))
  assert found == {
    "backbone": {
      "conv": {"kernel": (None, None, None, "fsdp")},
      "odd": {"kernel": ("fsdp", None)},
      "norm": {"scale": (None,)},
    },
    "head": {
      "kernel": ("fsdp", "model"),
      "bias": ("model",),
      "prototypes": ("fsdp", "model"),
      "norm": {"bias": (None,)},
    },
  }


@pytest.mark.parametrize(
  ("fields", "message"),
  [
    (
      {"mesh__fsdp": 3},
      "fsdp=3 x model=1 makes 3, which must divide the 8",
    ),
    (
      {"mesh__seed": 3, "pack_seeds": 3},
      "config.mesh: seed=3 x fsdp=1 x model=1 makes 3, which must divide the 8",
    ),
    (
      {"mesh__data": 2, "mesh__fsdp": 2},
      "config.mesh: data=2 x fsdp=2 x model=1 makes 4, which must be the 8",
    ),
    ({"batch_size": 36}, "=36 must be a positive multiple of the 8 devices;"),
    (
      {"batch_size": 34, "mesh__model": 2},
      "=34 must be a positive multiple of the 4 devices of the axes data x f",
    ),
    (
      {"accumulate_steps": 5},
      "must be a multiple of 40, which is accumulate_steps=5 times the 8",
    ),
    (
      {"bn_group_size": 32},
      "it must be a multiple of config.bn_group_size",
    ),
    (
      {"bn_group_size": 32, "accumulate_steps": 2},
      "its part of a step, 24, must be a multiple of config.bn_group_size=32",
    ),
    ({"mesh__model": 4}, "config.mesh.model=4 must divide the 10 classes"),
  ],
)
def test_bad_input(dataset, fields, message):
  with pytest.raises(InputError) as error:
    make_trainer(config(**fields), dataset)
  assert str(error.value).startswith("config.")
  assert message in str(error.value)
