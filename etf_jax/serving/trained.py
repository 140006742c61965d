# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A trained model to call, from the directory of its run.

  import etf_jax

  model = etf_jax.load("runs/digits_lt-etf_dr-1a2b3c4d/seed=0")
  found = model(images)       # uint8 [B, H, W, C], model.image_shape
  found.names, found.probabilities.max(axis=1), found.angles

`config.json`, `class_counts.json`, `class_names.json` and a checkpoint are all
it reads; the data set is not needed.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
from scipy import special

from etf_jax import models
from etf_jax.data import augment
from etf_jax.evaluation import scoring
from etf_jax.runs import reader
from etf_jax.serving import run_directory

# Images that are classified at once; each power of two up to it is a program.
_AT_ONCE = 128


class Prediction(NamedTuple):
  """One row an image, as NumPy arrays.

  Attributes:
    classes: int32 `[B]`, the most probable class.
    names: its name, B strings.
    probabilities: floats `[B, K]`; calibrated if the run is.
    angles: floats `[B]`, radians in [0, pi], between the feature and the
      nearest classifier vector: of a fixed frame the prototype of the class.
      pi / 2 where the feature has no length.
    runners_up: int32 `[B]`, the second most probable class.
  """

  classes: np.ndarray
  names: tuple[str, ...]
  probabilities: np.ndarray
  angles: np.ndarray
  runners_up: np.ndarray


class Trained:
  """A trained classifier; `load` makes it.

  Attributes:
    run: content of its directory, see `reader.RunRecord`.
    config: the resolved config of the run.
    class_names: the K names.
    class_counts: training images of each class.
    image_shape: `(H, W, C)` of the images that it takes.
    pixels: how encoded images become such arrays, as in the run.
    which: "last" or "best".
    trust_code: see `load`.
    step: of the checkpoint.
    temperature: that logits are divided by; 1 unless one was fitted.
    calibrated: True if a temperature was fitted.
    model: the linen module.
    variables: of it, on the default device.
    mean: per channel, of pixels in [0, 1], which inputs are freed of.
    std: per channel, of pixels in [0, 1], which inputs are divided by.
    inputs: (images, sizes or None) to what the module takes.
  """

  def __init__(
    self, run: reader.RunRecord, which: str, trust_code: bool = False
  ):
    self.run, self.which = run, which
    self.config: ConfigDict = run_directory.config(run)
    self.class_names, self.class_counts = run.class_names, run.class_counts
    self.trust_code = trust_code
    self.model = models.create_model(
      self.config, search_current_folder=trust_code
    )
    if not trust_code and run_directory.opens_data(self.config):
      run_directory.refuse_addresses(self.config.data)
    self.pixels, self.mean, self.std = run_directory.images(self.config)
    self.image_shape = self.pixels.shape
    self.inputs = augment.evaluation(
      self.config.augment, self.mean, self.std, jnp.dtype(self.config.dtype)
    )
    shape = run_directory.input_shape(self.config, self.image_shape)
    variables, self.step = run_directory.variables(
      run, self.model, shape, which
    )
    self.variables = jax.device_put(variables)
    fitted = run_directory.calibration(run, self.step)
    self.calibrated = fitted is not None
    self.temperature = fitted["temperature"] if fitted else 1.0
    self._score = jax.jit(scoring.create(self.model, self.inputs))
    self._features = jax.jit(self._features_of)
    self._nearest = jax.jit(self._nearest_of, static_argnums=3)

  def _features_of(self, variables, images, sizes):
    inputs = self.inputs(images, sizes)
    return (self.model.apply(variables, inputs, train=False).features,)

  def _nearest_of(self, variables, images, sizes, number):
    inputs = self.inputs(images, sizes)
    output = self.model.apply(variables, inputs, train=False)
    return scoring.nearest_vectors(output.features, output.weights, number)

  @property
  def description(self) -> str:
    """Description in one line: checkpoint, run, state and calibration."""
    run, spare = self.run, getattr(self.model.head, "spare", 0)
    parts = [
      f"{run.name} {run.method} seed {run.seed}, {self.which} checkpoint (step"
      f" {self.step}) in {run.directory}"
    ]
    if run.final is None:
      parts.append(f"the run has not finished (epoch {run.epoch:.4g})")
    if self.calibrated:
      parts.append(
        f"temperature {self.temperature:.4g} of {run_directory.CALIBRATION}"
      )
    if spare:
      parts.append(f"{spare} spare prototypes, which no image is given")
    return "; ".join(parts)

  def __call__(
    self, images: np.ndarray, sizes: np.ndarray | None = None
  ) -> Prediction:
    """Classify images.

    Args:
      images: `[B, H, W, C]` of `image_shape`, uint8; or floats in [0, 1], which
        are rounded to the 256 levels that images in files have. Of a run on
        features floats `[B, d]`.
      sizes: integers `[B, 2]`, height and width of what is image in the top
        left corner of each array, for runs with config.data.fit="longer"; None
        where images fill their arrays.

    Raises:
      ValueError: arrays of another shape or type.
    """
    logits, angles = self._in_batches(self.scores, images, sizes)
    probabilities = special.softmax(
      logits / np.float32(self.temperature), axis=1
    )
    classes = np.argmax(logits, axis=1)
    others = np.where(
      np.arange(logits.shape[1]) == classes[:, None], -np.inf, logits
    )
    return Prediction(
      classes.astype(np.int32),
      tuple(self.class_names[k] for k in classes),
      probabilities,
      angles,
      np.argmax(others, axis=1).astype(np.int32),
    )

  def features(
    self, images: np.ndarray, sizes: np.ndarray | None = None
  ) -> np.ndarray:
    """Compute the features that the classifier sees.

    Args:
      images: as those of a call.
      sizes: as those of a call.

    Returns:
      Floats `[B, d]`, of length 1 where config.head.l2_normalize is set.

    Raises:
      ValueError: arrays of another shape or type.
    """
    apply = functools.partial(self._features, self.variables)
    (features,) = self._in_batches(apply, images, sizes)
    return features

  def scores(
    self, images: np.ndarray, sizes: np.ndarray | None = None
  ) -> scoring.Scores:
    """Logits, before any temperature, and angles; compiled for each shape.

    Args:
      images: uint8 `[B, H, W, C]`.
      sizes: int32 `[B, 2]` or None.
    """
    return self._score(self.variables, images, sizes)

  def nearest(
    self, images: np.ndarray, sizes: np.ndarray | None, number: int
  ) -> tuple[np.ndarray, np.ndarray]:
    """Return the classifier vectors nearest to the feature of each image.

    Args:
      images: uint8 `[B, H, W, C]`.
      sizes: int32 `[B, 2]` or None.
      number: of vectors, at most K.

    Returns:
      int32 `[B, number]`, the classes, the nearest first; floats
      `[B, number]`, radians.
    """
    rows = len(images)
    images, sizes = _pad(images, sizes)
    found = self._nearest(self.variables, images, sizes, number)
    classes, angles = jax.device_get(found)
    return classes[:rows], angles[:rows]

  def _in_batches(self, compute, images, sizes):
    """Check images; join what `compute` returns for padded batches of them."""
    images = self._checked(images)
    if sizes is not None and np.shape(sizes) != (len(images), 2):
      raise ValueError(
        f"sizes must be [{len(images)}, 2], got {list(np.shape(sizes))}"
      )
    if self.pixels.has_sizes and sizes is None:
      sizes = np.broadcast_to(self.image_shape[:2], (len(images), 2))
    found = []
    for start in range(0, len(images), _AT_ONCE):
      rows = slice(start, start + _AT_ONCE)
      batch = images[rows], None if sizes is None else sizes[rows]
      arrays = jax.device_get(compute(*_pad(*batch)))
      found.append([x[: len(batch[0])] for x in arrays])
    return map(np.concatenate, zip(*found, strict=True))

  def _checked(self, images):
    images = np.asarray(images)
    if self.pixels.features:
      return self._checked_features(images)
    if images.shape[1:] != self.image_shape or not len(images):
      wanted = ", ".join(map(str, self.image_shape))
      raise ValueError(
        f"images must be [B, {wanted}], got {list(images.shape)}; decode(bytes)"
        " makes such an array of a file's content"
      )
    if images.dtype == np.uint8:
      return images
    if not np.issubdtype(images.dtype, np.floating):
      raise ValueError(
        f"images must be uint8, or floats in [0, 1], got {images.dtype}"
      )
    low, high = np.min(images), np.max(images)
    if not (low >= 0 and high <= 1):
      raise ValueError(
        f"images of floats must lie in [0, 1], got {low:g} to {high:g}"
      )
    return np.rint(images * 255).astype(np.uint8)

  def _checked_features(self, rows):
    width = self.image_shape[2]
    rows = rows.reshape(len(rows), -1)
    if rows.shape[1] != width or not len(rows):
      raise ValueError(f"features must be [B, {width}], got {list(rows.shape)}")
    if not np.isfinite(rows).all():
      raise ValueError("features must be finite numbers")
    return rows.astype(np.float32).reshape(-1, *self.image_shape)

  def decode(self, encoded: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode a file's content to an array of `image_shape`, as in the run.

    Grey images become colour and colour ones grey as the run's do: see
    `data.decode`. Images of another size are scaled as config.data.fit says;
    those of a run without config.data.image_size to its square.

    Args:
      encoded: JPEG, PNG, WebP, GIF, BMP or TIFF.

    Returns:
      uint8 `[H, W, C]`, and the height and width of what is image in it.

    Raises:
      data.decode.CorruptImage: it is no image, or cannot be made to fit.
    """
    return self.pixels.decode(encoded)


def _pad(
  images: np.ndarray, sizes: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
  """Pad a batch to a power of two, so that few programs are compiled."""
  rows = len(images)
  missing = (1 << (rows - 1).bit_length()) - rows
  images = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
  if sizes is not None:
    sizes = np.pad(np.asarray(sizes, np.int32), ((0, missing), (0, 0)))
  return images, sizes


def load(
  workdir: str | Path, step: str = "last", *, trust_code: bool = False
) -> Trained:
  """Load the trained model of a run.

  Args:
    workdir: of a run, or the one above its `seed=N` if there is one only.
    step: "last", the newest checkpoint, which is the result of a finished run;
      or "best", that of the best evaluation.
    trust_code: True for the directory of a run that you trust: a backbone that
      is not of this package is imported from the current folder too, and
      addresses in the config are read from.

  Raises:
    InputError: there is no such run, or nothing of it that can be used.
  """
  run = reader.load_run(run_directory.find(workdir))
  return Trained(run, step, trust_code)
