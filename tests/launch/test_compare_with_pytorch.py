# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""launch/compare_with_pytorch.py, as far as it runs without PyTorch."""

import dataclasses
import sys

import launch_scripts
import numpy as np
import pytest

from etf_jax import data

# A process of its own imports the script too.
sys.path.append(str(launch_scripts.LAUNCH))
import compare_with_pytorch as script


def test_turns_leave_out_evaluations_and_batches_made_ahead():
  now, asked, told = [0.0], iter([2, 3, 0]), []

  def ask(seconds):
    told.append(seconds)
    now[0] += 100  # the turn of the other
    return next(asked)

  loader = script.PacedLoader("abcd", ask, untimed=1, clock=lambda: now[0])
  batches = []
  for seconds in (1, 2):  # two epochs of steps of these seconds
    for batch in loader:
      batches.append(batch)
      now[0] += seconds
    now[0] += 1000  # an evaluation
  assert "".join(batches) == "abcdabcd"
  assert len(loader) == 4
  # a, then b c | d, then a b c | d
  assert told == [None, 2.0, 6.0]


def test_images_are_padded_with_black():
  pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 1) + 1
  split = data.Split(pixels, np.array([0, 1], np.int32))
  dataset = data.Dataset(
    *("made", 2, ("a", "b"), split, split, split, np.array([1, 1])),
    *((0.5,), (0.5,), (3, 3, 1)),
  )
  theirs = script.as_theirs(dataset)
  assert theirs.train.images.shape == (2, 32, 32, 3)
  for channel in range(3):
    inside = theirs.train.images[:, 14:17, 14:17, channel]
    np.testing.assert_array_equal(inside, pixels[..., 0])
  assert theirs.test.images.sum() == 3 * pixels.sum(dtype=int)
  assert theirs.mean == (0.4914, 0.4822, 0.4465)
  large = dataclasses.replace(dataset, image_shape=(33, 3, 1))
  with pytest.raises(script.InputError, match="33x3 images"):
    script.as_theirs(large)


def test_difference_by_hand():
  gap, error = script.difference([90.0, 92.0, 94.0], [89.0, 90.0, 91.0])
  assert gap == pytest.approx(2.0)
  assert error == pytest.approx(np.sqrt(4 / 3 + 1 / 3))
  assert np.isnan(script.difference([90.0], [89.0])[1])


def test_missing_code_is_named(tmp_path, capsys):
  assert script.main([f"--peer_dir={tmp_path}"]) == 2
  printed = capsys.readouterr().err
  assert printed.startswith(f"error: --peer_dir={tmp_path}: no train.py")


@pytest.mark.parametrize(
  ("field", "message"),
  [
    ("method=ce", "config.method='ce': not in their code"),
    ("model.name=resnet50", "config.model.name='resnet50'"),
    ("model.width=2", "config.model.name='resnet8' with width 2"),
    ("augment.cutout=4", "config.augment.cutout=4: not in their code"),
    ("loss.scaling=paper", "config.loss.scaling='paper': not in"),
  ],
)
def test_configs_that_their_code_lacks(field, message, tmp_path, capsys):
  for name in script.NEEDED:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
  words = [f"--peer_dir={tmp_path}", f"--config.{field}"]
  assert script.main(words) == 2
  assert capsys.readouterr().err.startswith(f"error: {message}")


def test_failures_of_their_code_are_one_line():
  request = {"peer_dir": "/absent"}
  with (
    script.peer(request, 0, [0.1]) as (answer, _),
    pytest.raises(script.InputError, match="their code failed: "),
  ):
    answer()
