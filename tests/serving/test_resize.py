# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Scaling inside a program against that of files."""

import jax
from jax import export
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from etf_jax.data.decode import image
from etf_jax.serving import resize

SIZE = 32


@pytest.fixture(scope="module", params=["shorter", "longer"])
def program(request):
  """A way to fit, and one program for all shapes, exported and read again."""

  def scaled(images):
    return resize.to_square(images, SIZE, request.param)

  batch, height, width = export.symbolic_shape("batch, height, width")
  wanted = jax.ShapeDtypeStruct((batch, height, width, 3), jnp.uint8)
  content = export.export(jax.jit(scaled))(wanted).serialize()
  return request.param, export.deserialize(content).call


@pytest.mark.slow
@pytest.mark.parametrize(
  "shape",
  [(225, 300), (300, 225), (32, 32), (20, 15), (31, 33), (1, 45), (90, 1)],
)
def test_it_is_the_scaling_of_files_to_the_last_bit(program, shape):
  fit, call = program
  photo = load_sample_image("china.jpg")
  pixels = np.stack(
    [photo[: shape[0], : shape[1]], photo[-shape[0] :, -shape[1] :]]
  )
  squares, sizes = call(pixels)
  plan = image._plan(*shape, 1, SIZE, fit)
  for place, part in enumerate(pixels):
    expected, size = image._finish(
      np.ascontiguousarray(part), shape, 1, plan, 1, SIZE, fit
    )
    np.testing.assert_array_equal(squares[place], expected)
    assert tuple(sizes[place].tolist()) == size


@pytest.mark.slow
def test_by_hand():
  # Halved: at a border weights of 3/7, 3/7, 1/7, in 256ths 110, 109, 37 and
  # from the other side 37, 109, 110; half a level is rounded up.
  row = np.array([0, 0, 100, 200], np.uint8)
  images = np.broadcast_to(row[:, None], (1, 4, 4, 1))
  squares, _ = resize.to_square(jnp.asarray(images), 2, "shorter")
  first, last = 37 * 100 / 256, (109 * 100 + 110 * 200) / 256
  expected = [round(first), round(last)]
  assert squares[0, :, :, 0].tolist() == [expected, expected] == [[14, 129]] * 2
