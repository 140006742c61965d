# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The stream feed: the same batches whoever makes them, and from any step."""

import io

import numpy as np
from PIL import Image
import pytest

from etf_jax.data import Encoded, Pixels, sampling
from etf_jax.data.feeds import stream
from etf_jax.errors import InputError

SIZE, BATCH = 53, 8  # 7 batches an epoch, the last one of 5
STEPS = 17


class Pictures:
  """PNGs that carry their own index; some are no images."""

  class_names = ("even", "odd")

  def __init__(self, corrupt=()):
    self.labels = (np.arange(SIZE) % 2).astype(np.int32)
    self.corrupt = frozenset(corrupt)

  def read(self, index):
    if index in self.corrupt:
      return b"not an image"
    image = np.full((4 + index % 3, 5, 3), index, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()

  def describe(self, index):
    return f"picture {index}"


def batches(corrupt=(), policy="error", **options):
  pixels = Pixels((6, 6, 3), 6, "longer", "pillow", policy)
  sampler = sampling.make_sampler("instance", np.zeros(SIZE))
  plan = stream.Epochs(sampler, 3, BATCH, STEPS)
  return stream.Batches(Encoded(Pictures(corrupt), pixels), plan, **options)


def assert_same(one, other):
  for a, b in zip(one[:7], other[:7], strict=True):
    np.testing.assert_array_equal(a, b)


def test_a_batch_is_that_of_the_order():
  made = batches(multiple_of=4)
  order = sampling.make_sampler("instance", np.zeros(SIZE)).order
  for step in (0, 6, 7, 13, 16):
    epoch, position = divmod(step, 7)
    mine = order(3, epoch)[8 * position : 8 * position + 8]
    local = made[step]
    count = len(mine)
    assert count == (5 if position == 6 else 8)
    np.testing.assert_array_equal(local.images[:count, 0, 0, 0], mine)
    np.testing.assert_array_equal(local.labels[:count], mine % 2)
    np.testing.assert_array_equal(local.sizes[:count, 0], 4 + mine % 3)
    np.testing.assert_array_equal(local.sizes[:count, 1], 5)
    assert local.images.shape == (8, 6, 6, 3)
    np.testing.assert_array_equal(local.where, np.arange(8) < count)
    assert (local.size, local.padded) == (8, count < 8)
    assert local.images.dtype == np.uint8
    # Behind the image, and in the padding, there is nothing.
    assert not local.images[:count, :, 5].any()
    assert not local.images[count:].any()


def test_each_epoch_visits_each_image_once():
  made = batches()
  for epoch in range(2):
    seen = np.concatenate(
      [
        local.images[local.where][:, 0, 0, 0]
        for local in map(made.__getitem__, range(7 * epoch, 7 * epoch + 7))
      ]
    )
    np.testing.assert_array_equal(np.sort(seen), np.arange(SIZE))


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_make_their_parts_of_the_same_batch(hosts):
  whole = batches(multiple_of=8)
  parts = [batches(multiple_of=8, host=h, hosts=hosts) for h in range(hosts)]
  for step in (0, 6, 9):
    expected = whole[step]
    made = [part[step] for part in parts]
    assert {(local.size, local.padded) for local in made} == {
      (expected.size, expected.padded)
    }
    for field in ("images", "labels", "where", "sizes"):
      np.testing.assert_array_equal(
        np.concatenate([getattr(local, field) for local in made]),
        getattr(expected, field),
      )


@pytest.mark.parametrize(
  ("workers", "threads", "start"),
  [(0, 1, 0), (0, 3, 5), pytest.param(2, 1, 11, marks=pytest.mark.slow)],
)
def test_workers_and_restarts_change_nothing(workers, threads, start):
  direct = batches(multiple_of=4)
  made = batches(multiple_of=4, threads=threads)
  with stream.Stream(made, start, workers) as local_batches:
    seen = 0
    for step, local in enumerate(local_batches, start):
      assert_same(local, direct[step])
      seen += 1
    assert seen == STEPS - start
    assert local_batches.images == 8 * seen
    assert local_batches.images_per_second > 0


def test_every_image_once_in_order():
  pixels = Pixels((6, 6, 3), 6, "shorter", "pillow", "error")
  plan = stream.Once(SIZE, 20)
  made = stream.Batches(Encoded(Pictures(), pixels), plan, multiple_of=20)
  assert len(made) == 3
  local = [made[step] for step in range(3)]
  assert [one.images.shape[0] for one in local] == [20, 20, 20]
  seen = np.concatenate([one.images[one.where][:, 3, 3, 0] for one in local])
  np.testing.assert_array_equal(seen, np.arange(SIZE))
  assert local[0].sizes is None


def test_a_corrupt_image_is_named():
  made = batches(corrupt=[11])
  with pytest.raises(InputError) as error:
    list(map(made.__getitem__, range(7)))
  message = str(error.value)
  assert message.startswith("picture 11 cannot be decoded: ")
  assert message.endswith(
    "; mend or remove it, or set config.data.corrupt='skip'"
  )


@pytest.mark.parametrize(
  "workers", [0, pytest.param(1, marks=pytest.mark.slow)]
)
def test_a_corrupt_image_is_named_from_a_stream(workers):
  with (
    stream.Stream(batches(corrupt=[11]), 0, workers) as made,
    pytest.raises(InputError, match=r"^picture 11 cannot be decoded: "),
  ):
    list(made)


def test_skipped_images_keep_their_places(capfd):
  corrupt = list(range(0, 50, 2))  # 25 of them
  whole, holes = batches(), batches(corrupt, "skip", threads=2)
  with stream.Stream(holes) as made:
    for step, local in enumerate(made):
      expected = whole[step]
      index = expected.images[:, 0, 0, 0]
      good = ~np.isin(index, corrupt)
      np.testing.assert_array_equal(local.where, good)
      np.testing.assert_array_equal(local.images[good], expected.images[good])
      assert not local.images[~good].any()
      np.testing.assert_array_equal(local.labels, expected.labels)
  assert holes.split.corrupt == set(corrupt)
  with stream.Stream(holes, 7) as again:  # nothing new
    assert len(list(again)) == STEPS - 7
  lines = capfd.readouterr().err.splitlines()
  named = [line for line in lines if line.startswith("skipped picture ")]
  assert len(named) == len(set(named)) == 20
  assert lines.count("further ones are only counted") == 1
