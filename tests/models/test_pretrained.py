# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""ResNets in torchvision's layout: PyTorch's answers, and there and back.

PyTorch computed golden/resnets.npz (golden/make_resnets.py); the second
reference reads the same tensors in NumPy.
"""

import functools
import pathlib

from golden import resnets
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from numpy_layers import max_pool, relu
import pytest
import safetensors
import safetensors.numpy

from etf_jax import models, simplex_etf
from etf_jax.models import pretrained


def classifier(depth, **kwargs):
  return models.Classifier(
    models.ResNet(depth, **kwargs), models.LinearHead(resnets.CLASSES)
  )


@functools.cache
def shapes(model, channels=3):
  images = jax.ShapeDtypeStruct((1, 64, 64, channels), jnp.float32)
  return jax.eval_shape(model.init, jax.random.key(0), images)


@pytest.fixture(scope="module", params=resnets.BLOCKS)
def network(request):
  """A depth, a state dict of it, and the variables made of that."""
  tensors = resnets.state_dict(request.param)
  like = shapes(classifier(request.param))
  return request.param, tensors, pretrained.from_state_dict(tensors, like)


def reference(tensors, depth, images):
  """Features and logits by He et al. 2016, in float64."""
  t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}

  def conv_norm(x, conv, norm, stride):
    kernel = t[f"{conv}.weight"]
    side = kernel.shape[2]
    half = ((0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0))
    windows = np.lib.stride_tricks.sliding_window_view(
      np.pad(x, half), (side, side), (1, 2)
    )[:, ::stride, ::stride]
    x = np.tensordot(windows, kernel, ((3, 4, 5), (1, 2, 3)))
    x = x - t[f"{norm}.running_mean"]
    x = x / np.sqrt(t[f"{norm}.running_var"] + 1e-5)
    return x * t[f"{norm}.weight"] + t[f"{norm}.bias"]

  x = relu(conv_norm(images, "conv1", "bn1", 2))
  x = max_pool(x, 3, stride=2)
  for stage, blocks in enumerate(resnets.BLOCKS[depth], 1):
    for block in range(blocks):
      place, stride = f"layer{stage}.{block}", 2 if stage > 1 > block else 1
      strides = (1, stride, 1) if depth >= 50 else (stride, 1)
      y = x
      for n, step in enumerate(strides, 1):
        y = conv_norm(y, f"{place}.conv{n}", f"{place}.bn{n}", step)
        y = relu(y) if n < len(strides) else y
      if f"{place}.downsample.0.weight" in t:
        shortcut = f"{place}.downsample"
        x = conv_norm(x, f"{shortcut}.0", f"{shortcut}.1", stride)
      x = relu(x + y)
  features = x.mean(axis=(1, 2))
  return features, features @ t["fc.weight"].T + t["fc.bias"]


@pytest.mark.slow
def test_forward_passes_are_pytorchs(network):
  depth, tensors, variables = network
  # Not jitted: deep networks run long before they would be compiled.
  output = classifier(depth).apply(variables, resnets.images())
  golden = pathlib.Path(resnets.__file__).with_name("resnets.npz")
  with np.load(golden) as file:
    stored = file[f"{depth}/features"], file[f"{depth}/logits"]
  exact = reference(tensors, depth, resnets.images())
  for ours, theirs, numpys in zip(
    (output.features, output.logits), stored, exact, strict=True
  ):
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)
    np.testing.assert_allclose(ours, numpys, atol=1e-4, rtol=0)
    assert np.std(theirs) > 0.9  # what 1e-4 is to be compared with


def test_there_and_back_is_the_identity(network):
  depth, tensors, variables = network
  again = pretrained.to_state_dict(variables, f"resnet{depth}")
  assert again.keys() == tensors.keys()
  for name, tensor in tensors.items():
    assert again[name].dtype == tensor.dtype
    assert again[name].flags.c_contiguous
    np.testing.assert_array_equal(again[name], tensor)
  back = pretrained.from_state_dict(again, variables)
  jax.tree.map(np.testing.assert_array_equal, back, variables)


@pytest.fixture(scope="module")
def small():
  """The tensors of a ResNet-18."""
  return resnets.state_dict(18)


def test_a_file_holds_what_pytorch_reads(small, tmp_path):
  path = tmp_path / "mine.safetensors"
  like = shapes(classifier(18))
  variables = pretrained.from_state_dict(small, like)
  pretrained.save(path, variables, "resnet18")
  assert [p.name for p in tmp_path.iterdir()] == ["mine.safetensors"]
  with safetensors.safe_open(path, framework="numpy") as file:
    assert file.metadata() == {"format": "pt", "model": "resnet18"}
  stored = safetensors.numpy.load_file(path)
  assert {k: v.shape for k, v in stored.items()} == resnets.shapes(18)
  loaded = pretrained.load(path, like)
  jax.tree.map(np.testing.assert_array_equal, loaded, variables)
  # The backbone alone, from the same file and to one without a head.
  backbone = pretrained.load(path, shapes(models.ResNet(18)))
  for name, tree in backbone.items():
    jax.tree.map(
      np.testing.assert_array_equal, tree, variables[name]["backbone"]
    )
  bare = pretrained.to_state_dict(backbone, "resnet18")
  assert bare.keys() == {k for k in small if not k.startswith("fc.")}


def test_kernels_and_statistics_by_hand(small):
  like = shapes(models.ResNet(18))
  variables = pretrained.from_state_dict(small, like)
  block = variables["params"]["stage3_block1"]
  kernel = small["layer3.0.conv1.weight"]  # [256, 128, 3, 3]
  assert block["conv_1"]["kernel"][0, 2, 100, 200] == kernel[200, 100, 0, 2]
  shortcut = small["layer3.0.downsample.0.weight"]
  assert block["conv_shortcut"]["kernel"][0, 0, 7, 9] == shortcut[9, 7, 0, 0]
  statistics = variables["batch_stats"]["stage3_block1"]["norm_shortcut"]
  for ours, theirs in (("mean", "running_mean"), ("var", "running_var")):
    np.testing.assert_array_equal(
      statistics[ours], small[f"layer3.0.downsample.1.{theirs}"]
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_numbers_of_other_widths(small, tmp_path, dtype):
  stored = {
    name: tensor.astype(dtype) if tensor.ndim else tensor
    for name, tensor in small.items()
  }
  path = tmp_path / "other.safetensors"
  safetensors.numpy.save_file(stored, path)
  loaded = pretrained.load(path, shapes(models.ResNet(18)))
  assert {x.dtype for x in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}
  np.testing.assert_array_equal(
    loaded["params"]["norm_stem"]["bias"],
    stored["bn1.bias"].astype(np.float32),
  )


@pytest.mark.parametrize(
  "prefix", ["module.", "module.backbone.", "_orig_mod."]
)
def test_names_below_a_prefix(small, prefix):
  like = shapes(models.ResNet(18))
  named = {f"{prefix}{name}": tensor for name, tensor in small.items()}
  # Beside it, what self-supervised training leaves.
  named["projector.0.weight"] = np.zeros((8, 512), np.float32)
  jax.tree.map(
    np.testing.assert_array_equal,
    pretrained.from_state_dict(named, like),
    pretrained.from_state_dict(small, like),
  )


def with_head(small, collections):
  """Variables of a ResNet-18 around the arrays of some head."""
  backbone = pretrained.from_state_dict(small, shapes(models.ResNet(18)))
  variables = {name: {"backbone": tree} for name, tree in backbone.items()}
  for name, head in collections.items():
    variables[name] = variables.get(name, {}) | {"head": head}
  return variables


def draw(*shape):
  drawn = np.random.default_rng(shape).standard_normal(shape)
  return drawn.astype(np.float32)


def test_a_frame_and_what_stands_before_it(small):
  frame = np.asarray(simplex_etf(jax.random.key(0), 24, 7))
  head = {
    "params": {
      "projector": {"kernel": draw(512, 24), "bias": draw(24)},
      "norm": {"scale": draw(24), "bias": draw(24) + 1},
    },
    "batch_stats": {"norm": {"mean": draw(24) + 2, "var": draw(24) ** 2}},
    "etf": {"prototypes": frame},
  }
  variables = with_head(small, head)
  tensors = pretrained.to_state_dict(variables, "resnet18")
  assert tensors["fc.weight"].shape == (7, 24)
  np.testing.assert_array_equal(tensors["fc.weight"], frame.T)
  # So that torchvision's own network takes them all.
  np.testing.assert_array_equal(tensors["fc.bias"], np.zeros(7, np.float32))
  learned, statistics = head["params"], head["batch_stats"]["norm"]
  for name, array in {
    "head.projector.weight": learned["projector"]["kernel"].T,
    "head.projector.bias": learned["projector"]["bias"],
    "head.norm.weight": learned["norm"]["scale"],
    "head.norm.bias": learned["norm"]["bias"],
    "head.norm.running_mean": statistics["mean"],
    "head.norm.running_var": statistics["var"],
  }.items():
    np.testing.assert_array_equal(tensors[name], array)
  back = pretrained.from_state_dict(tensors, variables)
  jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_a_frozen_classifier_is_a_linear_one(small):
  kernel, bias = draw(512, 7), draw(7)
  variables = with_head(small, {"etf": {"kernel": kernel, "bias": bias}})
  tensors = pretrained.to_state_dict(variables, "resnet18")
  np.testing.assert_array_equal(tensors["fc.weight"], kernel.T)
  np.testing.assert_array_equal(tensors["fc.bias"], bias)
  back = pretrained.from_state_dict(tensors, variables)
  jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_cosines_are_written_as_they_are_used(small):
  kernel = draw(512, 7) * 10
  variables = with_head(small, {"params": {"kernel": kernel}})
  tensors = pretrained.to_state_dict(variables, "resnet18")
  features = draw(3, 512)
  head = models.CosineHead(7, l2_normalize=False)
  logits = head.apply({"params": {"kernel": kernel}}, features).logits
  np.testing.assert_allclose(
    features @ tensors["fc.weight"].T + tensors["fc.bias"], logits, atol=1e-4
  )
