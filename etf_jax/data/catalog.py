# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""One table of facts about every data set.

    facts = catalog.lookup("cifar10")
    facts.num_classes, facts.image_shape, facts.mean

What the table says is what the rest of the package knows about a data set: to
add one, add a row. Sizes and sha256 of archives are not repeated here; they
are registered with the TFDS builder, which checks them.
"""

import dataclasses
import difflib

from etf_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Facts:
  """What is known about one data set.

  Attributes:
    tfds_name: Name of the TFDS builder.
    image_shape: Height, width and channels of every image.
    num_classes: Number of classes, K; labels are 0..K-1.
    train_split: The split that is cut to a long tail.
    test_split: The split that results are reported on.
    mean: Mean per channel of the pixels in [0, 1].
    std: Standard deviation per channel of the pixels in [0, 1].
    crop_padding: Recommended zero padding before the random crop, in pixels.
    flip: Whether a horizontal flip keeps the label.
    archives: URLs that the builder downloads; empty if it needs no network.
    needs_tensorflow: Whether preparing needs TensorFlow; reading never does.
    licence: Terms of the data, in short.
    state: What this package's builder path has been checked against.
  """

  tfds_name: str
  image_shape: tuple[int, int, int]
  num_classes: int
  train_split: str
  test_split: str
  mean: tuple[float, ...]
  std: tuple[float, ...]
  crop_padding: int
  flip: bool
  archives: tuple[str, ...]
  needs_tensorflow: bool
  licence: str
  state: str


_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
_CIFAR_STD = (0.2023, 0.1994, 0.2010)
_CIFAR_LICENCE = "none stated; cite Krizhevsky 2009"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

DATASETS: dict[str, Facts] = {
  "digits": Facts(
    tfds_name="scikit_digits",
    image_shape=(8, 8, 1),
    num_classes=10,
    train_split="train",
    test_split="test",
    mean=(0.3052,),
    std=(0.3760,),
    crop_padding=1,
    flip=False,
    archives=(),
    needs_tensorflow=False,
    licence="CC BY 4.0 (UCI optical recognition of handwritten digits)",
    state="complete; comes with scikit-learn",
  ),
  "fashion_mnist": Facts(
    tfds_name="fashion_mnist",
    image_shape=(28, 28, 1),
    num_classes=10,
    train_split="train",
    test_split="test",
    mean=(0.2860,),
    std=(0.3530,),
    crop_padding=4,
    flip=True,
    archives=(
      _FASHION + "train-images-idx3-ubyte.gz",
      _FASHION + "train-labels-idx1-ubyte.gz",
      _FASHION + "t10k-images-idx3-ubyte.gz",
      _FASHION + "t10k-labels-idx1-ubyte.gz",
    ),
    needs_tensorflow=True,
    licence="MIT",
    state="prepared from the real archives",
  ),
  "cifar10": Facts(
    tfds_name="cifar10",
    image_shape=(32, 32, 3),
    num_classes=10,
    train_split="train",
    test_split="test",
    mean=_CIFAR_MEAN,
    std=_CIFAR_STD,
    crop_padding=4,
    flip=True,
    archives=(_CIFAR + "cifar-10-binary.tar.gz",),
    needs_tensorflow=True,
    licence=_CIFAR_LICENCE,
    state="prepared from small archives in the official format",
  ),
  "cifar100": Facts(
    tfds_name="cifar100",
    image_shape=(32, 32, 3),
    num_classes=100,
    train_split="train",
    test_split="test",
    mean=_CIFAR_MEAN,
    std=_CIFAR_STD,
    crop_padding=4,
    flip=True,
    archives=(_CIFAR + "cifar-100-binary.tar.gz",),
    needs_tensorflow=True,
    licence=_CIFAR_LICENCE,
    state="prepared from small archives in the official format",
  ),
}


def lookup(name: str) -> Facts:
  """Returns the facts of a data set.

  Raises:
    InputError: There is no data set of this name.
  """
  if name not in DATASETS:
    raise InputError(unknown("data set", name, DATASETS))
  return DATASETS[name]


def unknown(kind: str, name: str, known: dict[str, object]) -> str:
  """Returns the message for a name that is not among the known ones."""
  near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
  hint = f"; did you mean {near[0]!r}?" if near else ""
  return f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})"
