# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Weights by name, from a hub on this machine and from its cache."""

import functools
import hashlib
import json

import colored_images
from golden import resnets
import jax
import local_hub
import numpy as np
import pytest
import safetensors.numpy
import tiny_runs

from etf_jax import models
from etf_jax.errors import InputError
from etf_jax.runs import identity
from etf_jax.training import optimizer, state
from etf_jax.training.checkpoints import hub, init_from
from etf_jax.training.config import resolve_config

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
NAME = "hf:someone/resnet18"
PINNED = f"{NAME}@{local_hub.COMMIT}"
SHAPE = (32, 32, 3)


@pytest.fixture(scope="module")
def tensors():
  return resnets.state_dict(18)


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """An empty cache."""
  monkeypatch.setenv("NO_PROXY", "127.0.0.1")
  monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
  return tmp_path / "hub"


@pytest.fixture
def offline(monkeypatch):
  """Cut the way to the hub, as HF_HUB_OFFLINE=1 does."""

  def cut():
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

  return cut


@pytest.fixture
def served(cache, tensors, monkeypatch):
  """A hub that can be reached, whose weights lie in a file of 45 MB."""
  weights = safetensors.numpy.save(
    tensors | {"fc.weight": np.zeros((1000, 512), np.float32)}
  )
  repositories = {
    "someone/resnet18": {"model.safetensors": weights},
    "someone/pickles": {"pytorch_model.bin": b""},
    "someone/gated": "gated",
  }
  with local_hub.serve(repositories) as address:
    ask = functools.partial(huggingface_hub.hf_hub_download, endpoint=address)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", ask)
    yield weights


def config(**fields):
  c = tiny_runs.config(
    "none", "ce", {"model.name": "resnet18", "init_from": NAME} | fields
  )
  return resolve_config(c, 10)


@pytest.mark.slow
def test_a_backbone_by_name(served, tensors):
  found = init_from.resolve(config(), SHAPE)
  assert found.init_from == PINNED
  assert found.init_hash == hashlib.sha256(served).hexdigest()
  model = models.create_model(found)
  transformation = optimizer.create_optimizer(found.optimizer, lambda step: 0.1)
  fresh = state.create_train_state(
    model, transformation, SHAPE, {}, 0,
    jax.sharding.SingleDeviceSharding(jax.devices()[0]),
  )  # fmt: skip
  begun = init_from.start(found, fresh, 0)
  kernel = begun.params["backbone"]["stage3_block1"]["conv_1"]["kernel"]
  np.testing.assert_array_equal(
    kernel[0, 2], tensors["layer3.0.conv1.weight"][..., 0, 2].T
  )
  head = begun.params["head"]["kernel"]
  np.testing.assert_array_equal(head, fresh.params["head"]["kernel"])


def test_a_name_is_no_path():
  c = tiny_runs.config("none", "ce", {"init_from": NAME})
  assert identity.with_absolute_paths(c).init_from == NAME


def test_the_cache_serves_without_a_network(served, cache, offline):
  path, name = hub.download(NAME)
  assert name == PINNED
  (repository,) = huggingface_hub.scan_cache_dir(cache).repos
  assert repository.repo_id == "someone/resnet18"
  assert repository.size_on_disk == len(served)
  offline()
  for asked in (NAME, PINNED):
    assert hub.download(asked) == (path, PINNED)
  # A tag that was never asked for.
  with pytest.raises(InputError, match=r"@v1'.*cannot be reached; connect"):
    hub.download(f"{NAME}@v1")


@pytest.mark.parametrize(
  ("name", "message"),
  [
    ("hf:someone/none", "no such repository, or it is private; check the name"),
    ("hf:someone/gated", "accept its terms there, then: hf auth login"),
    ("hf:someone/pickles", "has no model.safetensors; convert another file"),
    (f"{NAME}@v9", "has no revision 'v9'; give a commit, tag or branch"),
    ("hf:a/b/c", "is no name of a repository; give hf:ORG/NAME"),
    ("hf:", "is no name of a repository; give hf:ORG/NAME"),
  ],
)
def test_names_that_have_no_weights(served, name, message):
  with pytest.raises(InputError) as caught:
    hub.download(name)
  assert str(caught.value).startswith(f"config.init_from={name!r}: ")
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


def test_no_network_and_no_cache(cache, offline):
  offline()
  with pytest.raises(InputError, match="the hub cannot be reached; connect"):
    hub.download(NAME)


@pytest.mark.slow
def test_a_run_records_the_commit_and_the_hash(served, tmp_path):
  photographs = colored_images.photographs(tmp_path / "images")
  arguments = [f"--config.init_from={NAME}", "--config.model.name=resnet18"]
  # The weights are random, and must stay finite for two steps.
  arguments += [
    "--config.model.width=1",
    "--config.optimizer.learning_rate=1e-9",
  ]
  run = tmp_path / "run"
  # Two steps take less time than LLVM takes to make them fast.
  jax.config.update("jax_disable_most_optimizations", True)
  try:
    assert colored_images.run(run, photographs, *arguments) == 0
  finally:
    jax.config.update("jax_disable_most_optimizations", False)
  recorded = json.loads((run / "config.json").read_text())["config"]
  assert recorded["init_from"] == PINNED
  assert recorded["init_hash"] == hashlib.sha256(served).hexdigest()
