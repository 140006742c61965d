# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Opens a data set, cuts its long tail, and decodes its images."""

from collections.abc import Mapping
import dataclasses
import logging
from typing import Any

import numpy as np

from etf_jax.data import decode, fingerprint, long_tail, sources
from etf_jax.data.sources import features, published
from etf_jax.data.sources import splits as opening
from etf_jax.errors import InputError, some, unknown_name
from etf_jax.runs import data_record

_log = logging.getLogger(__name__)

__all__ = ["Dataset", "Encoded", "Pixels", "Split", "load"]


@dataclasses.dataclass(frozen=True)
class Split:
  """Decoded images with their labels.

  Attributes:
    images: uint8 `[N, H, W, C]`.
    labels: int32 `[N]`, in 0..K-1.
    sizes: int32 `[N, 2]`, height and width of each image in the top left corner
      of its array; None if images fill theirs.
  """

  images: np.ndarray
  labels: np.ndarray
  sizes: np.ndarray | None = None

  def choose(self, indices: np.ndarray) -> "Split":
    """Return the images that `indices` name."""
    sizes = None if self.sizes is None else self.sizes[indices]
    return Split(np.asarray(self.images[indices]), self.labels[indices], sizes)


@dataclasses.dataclass(frozen=True)
class Pixels:
  """The shape to which encoded images are decoded.

  Attributes:
    shape: Height, width and channels of the arrays.
    size: Side that photographs are scaled to; None: they have this shape.
    fit: See `decode.decode`.
    decoder: See `decode.choose`.
    corrupt: What an image that cannot be decoded is: an `error`, or `skip`.
    limits: Limits of an image; None: the defaults.
    features: Type of rows of features in place of images; None: images.
  """

  shape: tuple[int, int, int]
  size: int | None
  fit: str
  decoder: str
  corrupt: str
  limits: decode.Limits | None = None
  features: type | None = None

  @property
  def dtype(self) -> type:
    """Return the type of the arrays."""
    return self.features or np.uint8

  @property
  def has_sizes(self) -> bool:
    """Return True if an image may be smaller than its array."""
    return self.size is not None and self.fit == "longer"

  @property
  def options(self) -> decode.Options:
    """Return the options of `decode.decode` that make these pixels."""
    return {
      "channels": self.shape[2],
      "size": self.size,
      "fit": self.fit,
      "decoder": self.decoder,
      "limits": self.limits,
    }

  def decode(self, encoded: bytes) -> tuple[np.ndarray, tuple[int, int]]:
    """Return an array of `shape`, and the height and width of the image in it.

    Raises:
      decode.CorruptImage: It is no image, or not of this shape.
    """
    if self.features:
      row: np.ndarray = np.frombuffer(encoded, self.features)
      return row.reshape(self.shape), self.shape[:2]
    image, size = decode.decode(encoded, **self.options)
    if image.shape != self.shape:
      raise decode.CorruptImage(
        f"its shape is {image.shape} and that of the others {self.shape}; "
        "config.data.image_size scales images to one size"
      )
    return image, size


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Images that are decoded when they are needed, with their labels.

  Attributes:
    source: Where they are.
    pixels: What they become.
    corrupt: Indices of images that were found to be corrupt, so far.
  """

  source: sources.Source
  pixels: Pixels
  corrupt: set[int] = dataclasses.field(default_factory=set, compare=False)

  @property
  def labels(self) -> np.ndarray:
    """int32 `[N]`."""
    return self.source.labels

  def choose(self, indices: np.ndarray) -> Split:
    """Decode the images that `indices` name; corrupt ones are blank."""
    shape = (len(indices), *self.pixels.shape)
    images: np.ndarray = np.zeros(shape, self.pixels.dtype)
    sizes = np.zeros((len(indices), 2), np.int32)
    for place, index in enumerate(indices):
      try:
        images[place], sizes[place] = self.pixels.decode(
          self.source.read(index)
        )
      except decode.CorruptImage as error:
        if self.pixels.corrupt == "error":
          name = self.source.describe(index)
          raise decode.corrupt_images([(name, error)]) from error
    labels = self.source.labels[indices]
    return Split(images, labels, sizes if self.pixels.has_sizes else None)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A data set, cut to its long tail.

  Attributes:
    name: Its name in the catalog.
    num_classes: K.
    class_names: The K names, in the order of the labels.
    train: The long-tailed training images, decoded unless they are streamed.
    validation: Held-out images: the data set's own, or a share of the training
      split, as balanced as that was; None if there are none.
    test: The whole test split.
    class_counts: int64 `[K]`, training images of each class.
    mean: Mean per channel, of pixels in [0, 1].
    std: Standard deviation per channel, of pixels in [0, 1].
    image_shape: Height, width and channels of every image.
    record: Which images these are, see `runs.data_record`.
    statistics: Of features, the mean and deviation `[d]` of the training rows;
      None for images.
  """

  name: str
  num_classes: int
  class_names: tuple[str, ...]
  train: Split | Encoded
  validation: Split | Encoded | None
  test: Split | Encoded
  class_counts: np.ndarray
  mean: tuple[float, ...]
  std: tuple[float, ...]
  image_shape: tuple[int, int, int]
  record: Mapping[str, Any] = dataclasses.field(
    default_factory=lambda: {"splits": {}, "left_out": None}
  )
  statistics: tuple[np.ndarray, ...] | None = None


def load(config: Any, record: Mapping[str, Any] | None = None) -> Dataset:
  """Open a data set and cut it to its long tail.

  Validation images are taken before the tail is cut.

  Args:
    config: `data` of configs/base.py, with all its fields.
    record: `data_record.summary` of a run on these images, whose list of images
      to leave out is taken; None, or one of other images: with
      `config.corrupt` "skip" all images are decoded to find them.

  Returns:
    The data set: in memory, or encoded if `config.feed` is "stream".

  Raises:
    InputError: The data are missing, or a field is out of its range.
  """
  for field, choices in (
    ("feed", ("resident", "stream")),
    ("fit", ("shorter", "longer")),
    ("corrupt", ("error", "skip")),
  ):
    value = getattr(config, field)
    if value not in choices:
      raise unknown_name(f"config.data.{field}", value, choices)
  opened = opening.open_splits(config)
  described = fingerprint.describe(opened.by_name)
  recorded: Mapping[str, list[str]] | None = None
  if record and record["digest"] == data_record.digest({"splits": described}):
    recorded = record["left_out"]
  skip = config.corrupt == "skip" or recorded is not None
  names, labels = opened.train.class_names, opened.train.labels
  # 1. Validation: the data set's own, or a share of every class.
  training, held_out = long_tail.hold_out(
    labels, names, fraction=config.validation_fraction, seed=config.seed
  )
  validation = opened.validation
  if held_out.size:
    if validation is not None:
      raise InputError(
        f"{config.name} has validation images of its own: set "
        "config.data.validation_fraction=0"
      )
    validation = sources.choose(opened.train, held_out)
    _name_classes_without_validation(validation.labels, names)
  # 2. The long tail of the rest.
  train, counts = _cut(config, opened, training)
  splits = {"train": train, "validation": validation, "test": opened.test}
  # 3. Pixels, now or later.
  pixels = _pixels(config, opened, "skip" if skip else "error")
  ready: dict[str, Any] = {"validation": None}
  left_out: dict[str, list[str]] = {}
  for name, source in splits.items():
    if source is not None:
      listed = None if recorded is None else recorded.get(name, [])
      ready[name], left_out[name] = _ready(source, pixels, config, listed)
  if len(ready["train"].labels) != len(train.labels):  # corrupt ones are gone
    counts = np.bincount(ready["train"].labels, minlength=len(names))
    long_tail.check_present(counts, names)
  return Dataset(
    name=config.name,
    num_classes=len(names),
    class_names=names,
    class_counts=counts.astype(np.int64),
    mean=opened.mean,
    std=opened.std,
    image_shape=pixels.shape,
    record={"splits": described, "left_out": left_out if skip else None},
    statistics=features.statistics(opened.train, train.indices)
    if pixels.features
    else None,
    **ready,
  )


def _name_classes_without_validation(labels, names) -> None:
  """Log which classes have no image for validation."""
  counts = np.bincount(labels, minlength=len(names))
  absent = [names[k] for k in np.flatnonzero(counts == 0)]
  if absent:
    _log.info(
      "classes of a single image are trained, and have none for validation: "
      + some(absent)
    )


def _cut(config, opened, training) -> tuple[sources.Subset, np.ndarray]:
  """Return the long tail of the training images, and its class counts."""
  names, labels = opened.train.class_names, opened.train.labels[training]
  if config.profile == published.SVHN_PROFILE:
    if config.images is not None:
      raise InputError(
        f"config.data.images={config.images} does nothing with "
        f"config.data.profile={config.profile!r}; leave it out"
      )
    train = published.cut_svhn(
      config.name,
      opened.train,
      training,
      opened.train_parts,
      imbalance=config.imbalance,
      seed=config.seed,
    )
    # There may be none of a class: that is what was published.
    return train, np.bincount(train.labels, minlength=len(names))
  counts = long_tail.realized_counts(
    labels,
    names,
    profile=config.profile,
    imbalance=config.imbalance,
    counts=tuple(config.counts),
    total=config.images,
  )
  kept = training[long_tail.select(labels, counts, config.seed)]
  return sources.choose(opened.train, kept), counts


def _pixels(config, opened, corrupt) -> Pixels:
  if config.name == opening.FEATURES:
    width = opened.train.features.shape[1]
    if config.feature_dim not in (None, width):
      raise InputError(
        f"config.data.feature_dim={config.feature_dim}: the rows of"
        f" {config.dir} have {width} features; leave it out"
      )
    kind = opened.train.dtype
    return Pixels((1, 1, width), None, "shorter", "", corrupt, features=kind)
  decoder = decode.choose(config.decoder)
  limits = decode.limits.from_config(config)
  size, shape = config.image_size, opened.image_shape
  if shape is None:  # photographs, whose pixels depend on it
    _log.info(f"images are decoded by {decoder}")
  channels = 3 if shape is None else shape[2]
  if size is not None:
    if size < 1:
      raise InputError(f"config.data.image_size={size} must be at least 1")
    shape = (size, size, channels)
  elif shape is None:
    # Images of one size need no scaling; the first one tells which.
    shape = decode.first_shape(
      opened.train,
      channels=channels,
      fit=config.fit,
      decoder=decoder,
      corrupt=corrupt,
      limits=limits,
    )
  return Pixels(shape, size, config.fit, decoder, corrupt, limits)


def _ready(source, pixels, config, listed) -> tuple[Split | Encoded, list[str]]:
  """Return a split without corrupt images, and the names of those.

  Args:
    source: The images.
    pixels: What they become.
    config: `data` of the config.
    listed: Names of the images to leave out; None: not known yet.
  """
  if pixels.features:
    encoded = Encoded(source, pixels)
    if config.feed == "stream":
      return encoded, []
    return encoded.choose(np.arange(len(source.labels))), []
  good = np.ones(len(source.labels), bool)
  if listed:
    names = fingerprint.names(source)
    good = ~np.isin(names, list(listed))
  if config.feed == "stream":
    if listed is None and pixels.corrupt == "skip":
      workers = decode.cpu_threads()
      good = decode.find_good(source, workers=workers, **pixels.options)
    bad: list[str] = []
    if not good.all():
      source, bad = _left_out(source, good)
    # From here on a corrupt image is one that was good.
    return Encoded(source, dataclasses.replace(pixels, corrupt="error")), bad
  images, sizes, found = decode.decode_all(
    source,
    workers=decode.cpu_threads(),
    corrupt=pixels.corrupt,
    cache_dir=config.cache_dir,
    **pixels.options,
  )
  if images.shape[1:] != pixels.shape:
    raise InputError(
      f"{source.describe(0)} has shape {images.shape[1:]} and not "
      f"{pixels.shape}; config.data.image_size scales images to one size"
    )
  split = Split(images, source.labels, sizes)
  if listed is None:
    good = found
  elif np.any(good & ~found):
    first = int(np.argmax(good & ~found))
    name = source.describe(first)
    raise decode.corrupt_images([(name, "it could be when the run began")])
  if good.all():
    return split, []
  return split.choose(np.flatnonzero(good)), _left_out(source, good)[1]


def _left_out(source, good) -> tuple[sources.Source, list[str]]:
  """Return the good images, and the names of the others."""
  _log.info(f"{np.sum(~good)} images are left out, {np.sum(good)} remain")
  chosen = sources.choose(source, np.flatnonzero(good))
  left_out = sources.choose(source, np.flatnonzero(~good))
  return chosen, fingerprint.names(left_out)
