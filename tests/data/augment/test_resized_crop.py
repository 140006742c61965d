# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Random-resized and centre crops against Pillow's resize."""

import math

import hypothesis
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest
import scipy.stats

from etf_jax.data import augment
from etf_jax.data.augment import resized_crop

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
RESAMPLE = jax.jit(
  lambda images, boxes, bounds, size: resized_crop.resample(
    images, boxes, bounds, size=size
  ),
  static_argnums=3,
)


def photographs(count, height, width, seed=0):
  """Smooth colours, edges and noise."""
  rng = np.random.default_rng(seed)
  pixels = []
  for _ in range(count):
    small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    smooth = Image.fromarray(small).resize((width, height), Image.BICUBIC)
    noisy = np.asarray(smooth) + rng.normal(0, 20, (height, width, 3))
    noisy[: height // 3, width // 2 :] = rng.integers(0, 256, 3)
    pixels.append(np.clip(noisy, 0, 255).astype(np.uint8))
  return np.stack(pixels)


def boxes_of(count, height, width, seed=0):
  """Any integer boxes, of one pixel to the whole image."""
  rng = np.random.default_rng(seed)
  tall, wide = (rng.integers(1, n + 1, count) for n in (height, width))
  top = rng.integers(0, height - tall + 1)
  left = rng.integers(0, width - wide + 1)
  return np.stack([top, left, tall, wide], 1)


def pillow_crop(image, box, size):
  top, left, height, width = (int(x) for x in box)
  part = Image.fromarray(image).crop((left, top, left + width, top + height))
  return np.asarray(part.resize((size, size), Image.BILINEAR))


def check_levels(actual, expected):
  """Pillow's, but for single levels where it takes the other axis first."""
  actual, expected = (np.asarray(x, np.int64) for x in (actual, expected))
  error = np.abs(actual - expected)
  assert error.max() <= 2
  assert error.mean() <= 0.25


@pytest.fixture(scope="module", params=["cpu", "tpu", "default"])
def resample(request):
  """`resample` with the products of CPUs, of TPUs, and of other devices."""
  if request.param == "cpu":
    yield RESAMPLE
    return
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      resized_crop.lax,
      "platform_dependent",
      lambda *args, **ways: ways[request.param](*args),
    )
    # A new function, so that no program is found in a cache.
    yield jax.jit(
      lambda *args: resized_crop.resample(*args[:3], size=args[3]),
      static_argnums=3,
    )


@pytest.mark.parametrize("size", [20, 72])
def test_any_box_is_pillows(resample, size):
  images, boxes = photographs(60, 80, 90), boxes_of(60, 80, 90)
  actual = resample(images, boxes, boxes, size)
  assert actual.dtype == jnp.uint8
  expected = [
    pillow_crop(*pair, size) for pair in zip(images, boxes, strict=True)
  ]
  check_levels(actual, expected)


@pytest.mark.parametrize("resample", ["tpu", "default"], indirect=True)
def test_two_halves_of_the_weights_lose_nothing(resample):
  images, boxes = photographs(60, 80, 90), boxes_of(60, 80, 90)
  split = np.asarray(resample(images, boxes, boxes, 20))
  whole = np.asarray(RESAMPLE(images, boxes, boxes, 20))
  # One half alone changes a seventh of the pixels.
  assert (split != whole).mean() < 0.02


def test_photographs_to_224_pixels():
  images = photographs(4, 500, 500)
  boxes = np.array(
    [[0, 0, 375, 500], [0, 125, 500, 375], [50, 70, 130, 160], [9, 9, 400, 210]]
  )
  expected = [
    pillow_crop(*pair, 224) for pair in zip(images, boxes, strict=True)
  ]
  check_levels(RESAMPLE(images, boxes, boxes, 224), expected)


def test_halving_by_hand(resample):
  """Weights 3, 3, 1 over 7 and, from the other end, 1, 3, 3."""
  row = np.array([0, 70, 140, 210], np.uint8)
  image = np.broadcast_to(row[None, None, :, None], (1, 4, 4, 1))
  box = np.array([[0, 0, 4, 4]])
  halved = np.asarray(resample(image, box, box, 2))[0, :, :, 0]
  np.testing.assert_array_equal(halved, [[50, 160], [50, 160]])


def test_nothing_outside_the_box_is_read(resample):
  images = np.full((60, 80, 90, 3), 255, np.uint8)
  images[:, 10:60, 5:45] = 100
  boxes = np.tile([10, 5, 50, 40], (60, 1))
  assert (np.asarray(resample(images, boxes, boxes, 20)) == 100).all()


def test_within_wider_bounds_pillow_reads_beyond_the_box(resample):
  images = photographs(60, 80, 90)
  rng = np.random.default_rng(2)
  start, length = rng.uniform(0, 30, (60, 2)), rng.uniform(5, 50, (60, 2))
  boxes = np.concatenate([start, length], 1)
  whole = np.tile([0, 0, 80, 90], (60, 1))
  expected = [
    Image.fromarray(image).resize(
      (20, 20), Image.BILINEAR, box=(x, y, x + w, y + h)
    )
    for image, (y, x, h, w) in zip(images, boxes, strict=True)
  ]
  actual = resample(images, boxes, whole, 20)
  check_levels(actual, [np.asarray(image) for image in expected])


@jax.jit
def draw_boxes(sizes, seed):
  keys = augment.example_keys(jax.random.key(seed), sizes.shape[0])
  return resized_crop.random_boxes(keys, sizes, scale=SCALE, ratio=RATIO)


def drawn(sizes, seed):
  """Boxes of up to 4,000 images, by one program."""
  padded = np.ones((4000, 2), np.int32)
  padded[: len(sizes)] = sizes
  return np.asarray(draw_boxes(padded, seed))[: len(sizes)]


def reference_boxes(rng, count, height, width):
  """The algorithm of the paper's implementations, image by image."""
  boxes = []
  for _ in range(count):
    for _ in range(10):
      area = height * width * rng.uniform(*SCALE)
      aspect = math.exp(rng.uniform(*np.log(RATIO)))
      w = round(math.sqrt(area * aspect))
      h = round(math.sqrt(area / aspect))
      if 0 < w <= width and 0 < h <= height:
        top = rng.integers(0, height - h + 1)
        left = rng.integers(0, width - w + 1)
        break
    else:
      w, h = width, height
      if width / height < RATIO[0]:
        h = round(width / RATIO[0])
      elif width / height > RATIO[1]:
        w = round(height * RATIO[1])
      top, left = (height - h) // 2, (width - w) // 2
    boxes.append((top, left, h, w))
  return np.array(boxes)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (90, 400)])
def test_boxes_are_distributed_as_the_usual_ones(height, width):
  boxes = drawn([(height, width)] * 4000, 0)
  rng = np.random.default_rng(0)
  expected = reference_boxes(rng, 8000, height, width)
  for column in range(4):
    test = scipy.stats.ks_2samp(
      boxes[:, column], expected[:, column], method="asymp"
    )
    assert test.pvalue > 0.01, column


@hypothesis.given(
  st.lists(
    st.tuples(st.integers(1, 600), st.integers(1, 600)), min_size=1, max_size=9
  ),
  st.integers(0, 2**31 - 1),
)
def test_boxes_lie_inside_their_images(sizes, seed):
  boxes = drawn(sizes, seed)
  assert (boxes[:, 2:] >= 1).all()
  assert (boxes[:, :2] >= 0).all()
  assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()


def test_a_box_that_never_fits_gives_the_middle():
  """Take of 3 x 600 pixels the whole height, and 4/3 of it in width."""
  boxes = drawn([(3, 600), (600, 3)], 0)
  np.testing.assert_array_equal(boxes, [[0, 298, 3, 4], [298, 0, 4, 3]])


def test_boxes_know_nothing_of_the_rest_of_the_batch():
  sizes = np.array([[30, 40]] * 3, np.int32)
  rest = np.array([[64, 50]] * 2, np.int32)
  few = draw_boxes(sizes, 5)
  np.testing.assert_array_equal(drawn(np.append(sizes, rest, 0), 5)[:3], few)


def test_the_canvas_around_an_image_changes_nothing():
  small, large = photographs(8, 40, 60), np.full((8, 64, 64, 3), 255, np.uint8)
  large[:, :40, :60] = small
  boxes = boxes_of(8, 40, 60)
  np.testing.assert_array_equal(
    RESAMPLE(large, boxes, boxes, 16), RESAMPLE(small, boxes, boxes, 16)
  )


def pillow_centre(image, size, shorter):
  """Resize the shorter side, then the middle: torchvision's evaluation."""
  height, width = image.shape[:2]
  short = min(height, width)
  tall, wide = (int(shorter * n / short) for n in (height, width))
  scaled = Image.fromarray(image).resize((wide, tall), Image.BILINEAR)
  top, left = round((tall - size) / 2), round((wide - size) / 2)
  return np.asarray(scaled)[top : top + size, left : left + size]


@pytest.mark.parametrize(
  ("canvas", "size", "shorter"), [(120, 28, 32), (400, 224, 256)]
)
def test_centre_crops_are_those_of_resize_and_crop(canvas, size, shorter):
  rng = np.random.default_rng(0)
  count = 3 if canvas == 400 else 20
  images = np.full((count, canvas, canvas, 3), 255, np.uint8)
  sizes = rng.integers(canvas // 3, canvas + 1, (count, 2)).astype(np.int32)
  expected = []
  for image, (height, width) in zip(images, sizes, strict=True):
    image[:height, :width] = photographs(1, height, width)[0]
    expected.append(pillow_centre(image[:height, :width], size, shorter))
  boxes = jax.jit(
    lambda sizes: resized_crop.center_boxes(
      sizes, size=size, fraction=size / shorter
    )
  )(sizes)
  whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1)
  check_levels(RESAMPLE(images, boxes, whole, size), expected)


def test_a_square_of_the_scaled_size_is_cropped_as_it_is():
  images = photographs(2, 32, 32)
  boxes = resized_crop.center_boxes(
    jnp.full((2, 2), 32, jnp.int32), size=28, fraction=0.875
  )
  np.testing.assert_array_equal(boxes, [[2, 2, 28, 28]] * 2)
  middle = RESAMPLE(images, boxes, boxes, 28)
  np.testing.assert_array_equal(middle, images[:, 2:30, 2:30])
