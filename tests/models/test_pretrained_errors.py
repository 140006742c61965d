# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Weights that do not fit, and the command that converts them: a line each."""

import functools
import json
import sys

from golden import resnets
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from etf_jax import convert, models
from etf_jax.errors import InputError
from etf_jax.models import pretrained


@functools.cache
def shapes(model, channels=3):
  images = jax.ShapeDtypeStruct((1, 64, 64, channels), jnp.float32)
  return jax.eval_shape(model.init, jax.random.key(0), images)


def blank(depth, **kwargs):
  """Tensors of the right names and shapes that take no memory."""
  return {
    name: np.broadcast_to(np.float32(0), shape)
    for name, shape in resnets.shapes(depth, **kwargs).items()
  }


def without(tensors, *names):
  return {name: x for name, x in tensors.items() if name not in names}


BACKBONE = models.ResNet(50)
HEAD = models.Classifier(BACKBONE, models.LinearHead(resnets.CLASSES))
COSINES = models.Classifier(BACKBONE, models.CosineHead(resnets.CLASSES))
WIDE = models.ResNet(50, last_stage_width=2)


@pytest.mark.parametrize(
  ("tensors", "model", "line"),
  [
    (
      blank(101),
      BACKBONE,
      "W holds a resnet101, and the model is a resnet50: change one of them",
    ),
    (
      blank(18),
      BACKBONE,
      "W holds a resnet18, and the model is a resnet50: change one of them",
    ),
    (
      without(blank(50), "layer2.1.bn2.running_var"),
      BACKBONE,
      "W has no layer2.1.bn2.running_var: it is no whole resnet50 in"
      " torchvision's layout",
    ),
    (
      {"stem.weight": np.zeros(3, np.float32)},
      BACKBONE,
      "W has no conv1.weight (264 more missing): it is no whole resnet50 in"
      " torchvision's layout",
    ),
    (
      without(blank(50), "fc.weight", "fc.bias"),
      HEAD,
      "W has no fc.weight (1 more missing): it is no whole resnet50 in"
      " torchvision's layout",
    ),
    (
      blank(50) | {"layer5.0.a": np.zeros(1), "avgpool.b": np.zeros(1)},
      BACKBONE,
      "W has avgpool.b (1 more unexpected), for which the resnet50 has no"
      " place",
    ),
    (
      blank(50) | {"head.norm.weight": np.zeros(2048)},
      HEAD,
      "W has head.norm.weight, for which the resnet50 has no place",
    ),
    (
      blank(50) | {"fc.bias": np.ones(resnets.CLASSES)},
      COSINES,
      "W has fc.bias, for which the resnet50 has no place",
    ),
    # The network of ImageNet-LT, whose last stage is twice as wide.
    (
      blank(50, last_planes=1024),
      BACKBONE,
      "W: layer4.0.conv1.weight is [1024, 1024, 1, 1], and the model's is"
      " [512, 1024, 1, 1] (49 more differ)",
    ),
    (
      blank(50),
      WIDE,
      "W: layer4.0.conv1.weight is [512, 1024, 1, 1], and the model's is"
      " [1024, 1024, 1, 1] (49 more differ)",
    ),
    (
      blank(50, classes=1000),
      HEAD,
      "W: fc.weight is [1000, 2048], and the model's is [12, 2048] (1 more"
      " differ)",
    ),
    (
      blank(50) | {"bn1.weight": np.zeros(64, np.int8)},
      BACKBONE,
      "W: bn1.weight holds int8, not floating-point numbers",
    ),
    (
      blank(18) | {"layer2.1.bn2.bias": np.full(128, np.nan, np.float16)},
      models.ResNet(18),
      "W: layer2.1.bn2.bias has NaN or infinity; take an earlier checkpoint of"
      " that training",
    ),
    (
      {
        f"encoder_{part}.{name}": x
        for part in "qk"
        for name, x in blank(18).items()
      },
      models.ResNet(18),
      "W holds 2 networks, encoder_k. and encoder_q.: write one of them to a"
      " file",
    ),
    (
      {f"backbone.{name}": x for name, x in blank(18, classes=1000).items()},
      models.ResNet(50),
      "W holds a resnet18, and the model is a resnet50: change one of them",
    ),
    (
      blank(18),
      models.ResNetCIFAR(20),
      "W cannot be used: the model is none of resnet18, 34, 50 and 101, which"
      " alone have torchvision's layout",
    ),
  ],
)
def test_tensors_that_do_not_fit(tensors, model, line):
  with pytest.raises(InputError) as caught:
    pretrained.from_state_dict(tensors, shapes(model), source="W")
  assert str(caught.value) == line


def test_images_of_one_channel():
  with pytest.raises(InputError) as caught:
    pretrained.from_state_dict(blank(50), shapes(BACKBONE, channels=1))
  assert str(caught.value) == (
    "the state dict: conv1.weight is [64, 3, 7, 7], and the model's is"
    " [64, 1, 7, 7]"
  )


def test_a_last_stage_of_twice_the_width_fits_its_own():
  variables = pretrained.from_state_dict(
    blank(50, last_planes=1024), shapes(WIDE)
  )
  kernel = variables["params"]["stage4_block1"]["conv_1"]["kernel"]
  assert kernel.shape == (1, 1, 1024, 1024)


def test_a_learned_classifier_is_no_frame():
  backbone = shapes(models.ResNet(18))
  like = {name: {"backbone": tree} for name, tree in backbone.items()}
  frame = jax.ShapeDtypeStruct((512, 12), jnp.float32)
  like["etf"] = {"head": {"prototypes": frame}}
  learned = {"fc.weight": np.eye(12, 512, dtype=np.float32)}
  with pytest.raises(InputError, match=r"fc\.weight is no simplex ETF, which"):
    pretrained.from_state_dict(blank(18) | learned, like)


def test_variables_that_are_not_written(tmp_path):
  def refused(variables, name, path="x.safetensors"):
    with pytest.raises(InputError) as caught:
      pretrained.save(tmp_path / path, variables, name)
    assert not list(tmp_path.iterdir())
    return str(caught.value)

  small = pretrained.from_state_dict(blank(18), shapes(models.ResNet(18)))
  assert refused(small, "resnet34") == (
    "cannot write resnet34 in torchvision's layout, which is for resnet18, 34,"
    " 50 and 101: the variables are those of a resnet18"
  )
  cifar = shapes(models.ResNetCIFAR(8))
  cifar = jax.tree.map(lambda x: np.zeros(x.shape), cifar)
  assert "the variables are those of no such network" in refused(
    cifar, "resnet8"
  )
  norm = {"params": {"norm_stem": {"scale": np.ones(64)}}}
  torn = {"params": small["params"], "batch_stats": norm["params"]}
  assert refused(torn, "resnet18") == (
    "the variables lack batch_stats/norm_stem/mean (39 more like it): they"
    " are not those of a resnet18"
  )
  more = small | {"params": small["params"] | {"attention": np.ones(3)}}
  assert refused(more, "resnet18") == (
    "the variables have params/attention: they are not those of a resnet18"
  )
  assert "cannot write" in refused(small, "resnet18", "/dev/null/x")


@pytest.fixture(scope="module")
def whole():
  """A file, of tensors enough to be cut."""
  return safetensors.numpy.save({"conv1.weight": np.ones((64, 3, 7, 7))})


@pytest.mark.parametrize(
  "cut", [lambda b: b[:-9], lambda b: b[:30], lambda b: b[:3], lambda b: b""]
)
def test_truncated_files(whole, cut, tmp_path):
  path = tmp_path / "torn.safetensors"
  path.write_bytes(cut(whole))
  with pytest.raises(InputError) as caught:
    pretrained.load(path, shapes(models.ResNet(18)))
  message = str(caught.value)
  assert message.startswith(f"cannot read {path} (")
  assert message.endswith("): it must be a whole safetensors file")
  assert "\n" not in message


def test_files_of_other_kinds(tmp_path):
  like = shapes(models.ResNet(18))
  with pytest.raises(InputError, match=r"^no such file: .*/none\.safetensors$"):
    pretrained.load(tmp_path / "none.safetensors", like)
  with pytest.raises(InputError, match="cannot read"):
    pretrained.load(tmp_path, like)
  (tmp_path / "w.pth").write_bytes(b"PK\x03\x04 and so on")
  with pytest.raises(InputError, match=r"convert it first: .*etf_jax\.convert"):
    pretrained.load(tmp_path / "w.pth", like)


def test_converting_without_pytorch(tmp_path, monkeypatch, capsys):
  (tmp_path / "w.pth").write_bytes(b"")
  monkeypatch.setitem(sys.modules, "torch", None)
  files = [str(tmp_path / "w.pth"), str(tmp_path / "w.safetensors")]
  assert convert.main(files) == 2
  assert capsys.readouterr().err == (
    "error: PyTorch is needed to read its files: pip install 'torch>=2.6'\n"
  )


class TestConvert:
  """Save a file by PyTorch; without it there is nothing to convert."""

  @pytest.fixture
  def torch(self):
    return pytest.importorskip("torch")

  @pytest.fixture
  def run(self, torch, tmp_path, capsys):
    """Convert what is saved; the exit code, the tensors and the message."""

    def convert_saved(saved, place="w.safetensors"):
      source, made = tmp_path / "w.pth", tmp_path / place
      if isinstance(saved, bytes):
        source.write_bytes(saved)
      elif saved is not None:
        torch.save(saved, source)
      code = convert.main([str(source), str(made)])
      captured = capsys.readouterr()
      assert made.exists() == (code == 0)
      assert not list(tmp_path.glob("*.tmp"))
      tensors = safetensors.numpy.load_file(made) if code == 0 else None
      return code, tensors, captured.err + captured.out

    return convert_saved

  @pytest.mark.parametrize("wrap", ["plain", "state_dict", "model"])
  def test_state_dicts(self, torch, run, wrap):
    tensors = {
      "conv1.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
      "bn1.num_batches_tracked": np.array(7),
      "half": np.arange(3, dtype=np.float16),
    }
    saved = {k: torch.from_numpy(v) for k, v in tensors.items()}
    saved["transposed"] = saved["conv1.weight"].T
    tensors["transposed"] = tensors["conv1.weight"].T
    if wrap != "plain":
      saved = {wrap: saved, "epoch": 3}
    code, found, message = run(saved)
    assert code == 0
    assert message.startswith("4 tensors in ")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
      assert found[name].dtype == tensor.dtype
      np.testing.assert_array_equal(found[name], tensor)

  def test_what_cannot_be_converted(self, torch, run):
    def line(saved, *place):
      code, _, message = run(saved, *place)
      assert code == 2
      assert message.count("\n") == 1
      return message

    tensors = {"a": torch.zeros(3)}
    assert "no such file" in line(None)
    for saved in (b"", b"junk", {"a": print}):
      assert "cannot be read as tensors alone" in line(saved)
    for saved in ({}, {"epoch": 3}, [torch.zeros(3)]):
      assert "holds no state dict: not a table of tensors" in line(saved)
    assert "cannot write" in line(tensors, "/dev/null/x.safetensors")


@pytest.mark.parametrize(
  ("name", "value", "line"),
  [
    ("conv1.weight", np.nan, "conv1.weight has NaN or infinity"),
    ("fc.bias", -np.inf, "fc.bias has NaN or infinity"),
    ("bn1.running_var", -1e-3, "bn1.running_var .* negative variance"),
    ("bn1.running_mean", -1.0, None),
  ],
)
def test_numbers_that_give_none_are_refused(name, value, line):
  model = models.Classifier(models.ResNet(18), models.LinearHead(3))
  tensors = {
    key: np.zeros(shape, np.float32)
    for key, shape in resnets.shapes(18, classes=3).items()
  }
  tensors[name].flat[-1] = value
  if line is None:
    pretrained.from_state_dict(tensors, shapes(model))
    return
  with pytest.raises(InputError, match=f"W: {line}; take an earlier"):
    pretrained.from_state_dict(tensors, shapes(model), source="W")


def header(**tensors):
  """A file of float32 tensors with a header that says where they lie."""
  entries = {
    name: {"dtype": "F32", "shape": shape, "data_offsets": offsets}
    for name, (shape, offsets) in tensors.items()
  }
  text = json.dumps(entries).encode()
  return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize(
  "content",
  [
    header(a=([1], [0, 4]), b=([2], [0, 8])),  # they overlap
    header(a=([1], [0, 4])),  # and a hole
    header(a=([1000], [0, 4000])),
    header(a=([2**40, 2**40], [0, 8])),
    header(a=([2], [8, 0])),
    header(a=([-2], [0, 8])),
    (2**62).to_bytes(8, "little") + b"{}",
    b"\x02",
  ],
)
def test_headers_that_lie_are_refused(tmp_path, content):
  path = tmp_path / "model.safetensors"
  path.write_bytes(content)
  with pytest.raises(InputError, match=r"cannot read .* a whole safetensors"):
    pretrained.load(path, shapes(BACKBONE))
