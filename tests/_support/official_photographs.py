# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Small archives in the official formats: ImageNet, iNaturalist and Places."""

import dataclasses
import json
import pathlib

import numpy as np
import official_files
from PIL import Image
import tensorflow_datasets as tfds

# A JPEG of four inks and a PNG that is called .JPEG, both of ImageNet's.
IMAGENET_CMYK = "n01739381_1309.JPEG"
IMAGENET_PNG = "n02105855_2933.JPEG"


@dataclasses.dataclass(frozen=True)
class Photographs:
  """Content of the archives of a data set.

  Attributes:
    splits: By split and the file's name in the records: bytes and label.
    class_names: The names, by label.
    rewritten: Names of images that the builder encodes anew.
  """

  splits: dict[str, dict[str, tuple[bytes, int]]]
  class_names: tuple[str, ...]
  rewritten: frozenset[str] = frozenset()


def builder_lines(path: str) -> tuple[str, ...]:
  """Return the lines of a text file that comes with the TFDS builders."""
  return tuple(tfds.core.tfds_path(path).read_text().split("\n")[:-1])


def write_imagenet(directory: pathlib.Path, *, per_class: int) -> Photographs:
  """Write the training and the validation tar, 1,000 validation images."""
  synsets = builder_lines("datasets/imagenet2012/labels.txt")
  train, synset_tars, number = {}, {}, 0
  for label, synset in enumerate(synsets):
    names = [f"{synset}_{10 * j + 1}.JPEG" for j in range(per_class)]
    files = {}
    for special in (IMAGENET_CMYK, IMAGENET_PNG):
      if special.startswith(synset):
        names.append(special)
    for name in names:
      number += 1
      files[name] = _imagenet_file(name, number)
      train[name] = files[name], label
    synset_tars[f"{synset}.tar"] = official_files.tar(files)
  official_files.write_tar(directory / "ILSVRC2012_img_train.tar", synset_tars)

  answers = builder_lines("datasets/imagenet2012/validation_labels.txt")
  validation = {}
  # Not in the order of their names: the official archive is in none.
  for index in np.random.default_rng(0).permutation(1000):
    name = f"ILSVRC2012_val_{index + 1:08d}.JPEG"
    validation[name] = (
      official_files.photograph(5000 + index),
      synsets.index(answers[index]),
    )
  official_files.write_tar(
    directory / "ILSVRC2012_img_val.tar",
    {name: data for name, (data, _) in validation.items()},
  )
  return Photographs(
    {"train": train, "validation": validation},
    synsets,
    frozenset({IMAGENET_CMYK, IMAGENET_PNG}),
  )


def _imagenet_file(name: str, number: int) -> bytes:
  image = Image.fromarray(official_files.pixels(number))
  if name == IMAGENET_CMYK:
    return official_files.encode(image.convert("CMYK"))
  if name == IMAGENET_PNG:
    return official_files.encode(image, "PNG")
  return official_files.photograph(number)


def write_inaturalist(directory: pathlib.Path) -> Photographs:
  """Write the five archives, with images of 40 of the 8,142 species."""
  folder = "image_classification/i_naturalist2018/"
  species = builder_lines(folder + "inaturalist2018_labels.txt")
  groups = builder_lines(folder + "inaturalist2018_supercategories.txt")
  categories = [
    {"id": k, "name": name, "supercategory": groups[k % len(groups)]}
    for k, name in enumerate(species)
  ]
  chosen = np.linspace(0, len(species) - 1, 40).astype(int).tolist()
  splits, files, number = {}, {}, 20_000
  for split, per_class in (("train", 2), ("val", 1)):
    images, annotations, found = [], [], {}
    for label in chosen * per_class:
      number += 1
      key = f"{number:032x}"
      group = categories[label]["supercategory"]
      path = f"train_val2018/{group}/{label}/{key}.jpg"
      files[path] = official_files.photograph(number)
      found[key] = files[path], label
      images.append({"id": number, "file_name": path})
      annotations.append(
        {"id": number, "image_id": number, "category_id": label}
      )
    # As published, the annotations hide the names of the species.
    hidden = [
      category | {"name": str(k)} for k, category in enumerate(categories)
    ]
    listed = {
      "images": images,
      "annotations": annotations,
      "categories": hidden,
    }
    _write_json(directory, f"{split}2018", listed)
    splits[{"val": "validation"}.get(split, split)] = found
  _write_json(directory, "categories", categories)
  official_files.write_tar(directory / "train_val2018.tar.gz", files)
  official_files.write_tar(
    directory / "test2018.tar.gz",
    {"test2018/0.jpg": official_files.photograph(29_999)},
  )
  return Photographs(splits, species)


def _write_json(directory: pathlib.Path, name: str, content: object) -> None:
  official_files.write_tar(
    directory / f"{name}.json.tar.gz",
    {f"{name}.json": json.dumps(content).encode()},
  )


def write_places365(directory: pathlib.Path) -> Photographs:
  """Write the three tars of 256x256 images and the one of their lists."""
  lines = builder_lines("image_classification/categories_places365.txt")
  names = tuple(line.split()[0] for line in lines)
  train, validation = {}, {}
  for label, name in enumerate(names):
    path = f"data_256/{name[0]}/{name}/{label % 7 + 1:08d}.jpg"
    train[path] = official_files.photograph(30_000 + label, 256, 256), label
  for index in range(20):
    path = f"val_256/Places365_val_{index + 1:08d}.jpg"
    data = official_files.photograph(31_000 + index, 256, 256)
    validation[path] = data, 17 * index % 365
  test = {"test_256/Places365_test_00000001.jpg": validation[path][0]}
  for name, files in (
    ("train_256_places365standard", train),
    ("val_256", validation),
  ):
    official_files.write_tar(
      directory / f"{name}.tar",
      {path: data for path, (data, _) in files.items()},
    )
  official_files.write_tar(directory / "test_256.tar", test)

  def listed(files: dict, start: int) -> bytes:
    return "".join(
      f"{path[start:]} {label}\n" for path, (_, label) in files.items()
    ).encode()

  official_files.write_tar(
    directory / "filelist_places365-standard.tar",
    {
      # Only the training list has a slash in front.
      "places365_train_standard.txt": listed(train, len("data_256")),
      "places365_val.txt": listed(validation, len("val_256/")),
      "places365_test.txt": b"Places365_test_00000001.jpg\n",
    },
  )
  return Photographs({"train": train, "validation": validation}, names)
