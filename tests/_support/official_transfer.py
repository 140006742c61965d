# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Small archives in the official formats: sets that features transfer to."""

import io
import json
import pathlib
import zipfile

import numpy as np
import official_files
from official_photographs import Photographs, builder_lines
from PIL import Image
import scipy.io

from etf_jax.data.sources import prepared

# One of those that the builder of pets encodes anew.
REWRITTEN_PET = "Egyptian_Mau_14.jpg"


def write_cub200(directory: pathlib.Path) -> Photographs:
  """Write CUB_200_2011.tgz and segmentations.tgz, one image a class each."""
  folders = [f"{k + 1:03d}.Bird_Of_{k:03d}" for k in range(200)]
  listed, boxes, split_of, files, masks = [], [], [], {}, {}
  splits = {"train": {}, "test": {}}
  for label, folder in enumerate(folders):
    for is_training in (1, 0):
      number = len(listed) + 1
      name = f"{folder}/Bird_Of_{label:03d}_{number:04d}_{7 * number}.jpg"
      listed.append(f"{number} {name}")
      boxes.append(f"{number} 1.0 2.0 3.0 4.0")
      split_of.append(f"{number} {is_training}")
      path = f"CUB_200_2011/images/{name}"
      files[path] = official_files.photograph(40_000 + number)
      splits["train" if is_training else "test"][path] = files[path], label
      mask = np.full((10, 14), number % 2 * 255, np.uint8)
      masks["segmentations/" + name.replace(".jpg", ".png")] = (
        official_files.encode(mask, "PNG")
      )
  texts = {
    "images.txt": listed,
    "bounding_boxes.txt": boxes,
    "train_test_split.txt": split_of,
    "classes.txt": [f"{k + 1} {folder}" for k, folder in enumerate(folders)],
  }
  files |= {
    f"CUB_200_2011/{name}": "".join(f"{line}\n" for line in lines).encode()
    for name, lines in texts.items()
  }
  official_files.write_tar(directory / "CUB_200_2011.tgz", files)
  official_files.write_tar(directory / "segmentations.tgz", masks)
  return Photographs(splits, tuple(folder[4:].lower() for folder in folders))


def write_food101(directory: pathlib.Path) -> Photographs:
  """Write food-101.tar.gz; the records have no names, so numbers stand in."""
  names = builder_lines("image_classification/food-101_classes.txt")
  splits, files = {"train": {}, "validation": {}}, {}
  for split, listed_as, start in (
    ("train", "train", 41_000),
    ("validation", "test", 42_000),
  ):
    listed = {}
    for label, name in enumerate(names):
      path = f"{name}/{start + label}"
      listed[name] = [path]
      data = official_files.photograph(start + label)
      files[f"food-101/images/{path}.jpg"] = data
      splits[split][str(start + label)] = data, label
    files[f"food-101/meta/{listed_as}.json"] = json.dumps(listed).encode()
  official_files.write_tar(directory / "food-101.tar.gz", files)
  return Photographs(splits, names)


def write_imagenette(directory: pathlib.Path, suffix: str) -> Photographs:
  """Write imagenette2SUFFIX.tgz; the records have no names."""
  names = builder_lines("image_classification/imagenette_labels.txt")
  splits, files = {"train": {}, "validation": {}}, {}
  for split, folder, start in (
    ("train", "train", 70_000),
    ("validation", "val", 71_000),
  ):
    for label, name in enumerate(names):
      image = official_files.photograph(start + label)
      number = str(start + label)
      path = f"imagenette2{suffix}/{folder}/{name}/{name}_{number}.JPEG"
      files[path], splits[split][number] = image, (image, label)
  official_files.write_tar(directory / f"imagenette2{suffix}.tgz", files)
  return Photographs(splits, names)


def write_sun397(directory: pathlib.Path) -> Photographs:
  """Write SUN397.tar.gz and Partitions.zip; every image is encoded anew.

  The first published partition is made to agree with the one of TFDS.
  """
  names = builder_lines("image_classification/sun397_labels.txt")
  files, splits, number = {}, {}, 43_000
  for split, short in (("train", "tr"), ("test", "te")):
    lines = builder_lines(f"image_classification/sun397_tfds_{short}.txt")
    first = {path.rpartition("/")[0]: path for path in reversed(lines)}
    splits[split] = {}
    for label, name in enumerate(names):
      number += 1
      image = Image.fromarray(official_files.pixels(number))
      # Some are called .jpg and hold another format.
      if number % 100 == 7:
        data = official_files.encode(image.convert("RGBA"), "PNG")
      elif number % 100 == 9:
        data = official_files.encode(image, "BMP")
      else:
        data = official_files.encode(image)
      files[f"SUN397{first[name]}"] = data
      splits[split][first[name]] = data, label
  # One of TFDS's validation images, which no split of a partition has.
  other = builder_lines("image_classification/sun397_tfds_va.txt")[0]
  files[f"SUN397{other}"] = official_files.photograph(43_000)
  official_files.write_tar(directory / "SUN397.tar.gz", files)
  with zipfile.ZipFile(directory / "Partitions.zip", "w") as archive:
    for split, name in (("train", "Training"), ("test", "Testing")):
      archive.writestr(f"{name}_01.txt", "\r\n".join(splits[split]) + "\r\n")
  return Photographs(
    splits, names, frozenset(splits["train"]) | frozenset(splits["test"])
  )


def write_cars196(directory: pathlib.Path) -> Photographs:
  """Write two archives of images, and the two of annotations."""
  names = prepared.make_builder("cars196", directory).info.features["label"]
  splits = {"train": {}, "test": {}}
  for split, start in (("train", 45_000), ("test", 46_000)):
    order = np.random.default_rng(start).permutation(196).tolist()
    files, rows = {}, []
    for index, label in enumerate(order, start=1):
      data = official_files.photograph(start + index)
      files[f"cars_{split}/{index:05d}.jpg"] = data
      rows.append((1, 2, 12, 9, label + 1, f"{index:05d}.jpg"))
      splits[split][f"{index:05d}"] = data, label
    official_files.write_tar(directory / f"cars_{split}.tgz", files)
    fields = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    table = np.empty((1, len(rows)), [(field, object) for field in fields])
    table[0] = rows
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"annotations": table})
    if split == "train":
      official_files.write_tar(
        directory / "car_devkit.tgz",
        {"devkit/cars_train_annos.mat": buffer.getvalue()},
      )
    else:
      path = directory / "cars_test_annos_withlabels.mat"
      path.write_bytes(buffer.getvalue())
  return Photographs(splits, tuple(names.names))


def write_oxford_iiit_pet(directory: pathlib.Path) -> Photographs:
  """Write images.tar.gz and annotations.tar.gz."""
  builder = prepared.make_builder("oxford_iiit_pet", directory)
  names = tuple(builder.info.features["label"].names)
  images, annotations = {}, {}
  splits = {"train": {}, "test": {}}
  box = (
    "<annotation><size><width>14</width><height>10</height></size><object>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    "</object></annotation>"
  )
  for split, listed_as, start in (
    ("train", "trainval", 47_000),
    ("test", "test", 48_000),
  ):
    lines = []
    for label, name in enumerate(names):
      stem = f"{name}_{start + label}"
      data = official_files.photograph(start + label)
      if split == "train" and REWRITTEN_PET.startswith(name):
        stem = REWRITTEN_PET[:-4]
        image = Image.fromarray(official_files.pixels(start + label))
        data = official_files.encode(image.convert("RGBA"), "PNG")
      images[f"images/{stem}.jpg"] = data
      splits[split][f"{stem}.jpg"] = data, label
      species = 1 if name[0].isupper() else 2
      lines.append(f"{stem} {label + 1} {species} {label + 1}")
      annotations[f"annotations/trimaps/{stem}.png"] = official_files.encode(
        np.full((10, 14), label % 3 + 1, np.uint8), "PNG"
      )
      if split == "train":
        annotations[f"annotations/xmls/{stem}.xml"] = box.encode()
    annotations[f"annotations/{listed_as}.txt"] = "".join(
      f"{line}\n" for line in lines
    ).encode()
  official_files.write_tar(directory / "images.tar.gz", images)
  official_files.write_tar(directory / "annotations.tar.gz", annotations)
  return Photographs(splits, names, frozenset({REWRITTEN_PET}))


def write_oxford_flowers102(directory: pathlib.Path) -> Photographs:
  """Write 102flowers.tgz, imagelabels.mat and setid.mat."""
  builder = prepared.make_builder("oxford_flowers102", directory)
  names = tuple(builder.info.features["label"].names)
  labels = np.random.default_rng(3).permutation(np.repeat(np.arange(102), 3))
  # Which images are whose is in no order either.
  members = np.random.default_rng(4).permutation(len(labels)).reshape(3, 102)
  files, splits, ids = {}, {}, {}
  for split, key, indices in zip(
    ("train", "validation", "test"),
    ("trnid", "valid", "tstid"),
    members,
    strict=True,
  ):
    splits[split], ids[key] = {}, indices[None] + 1
    for index in indices.tolist():
      name = f"image_{index + 1:05d}.jpg"
      files[f"jpg/{name}"] = official_files.photograph(49_000 + index)
      splits[split][name] = files[f"jpg/{name}"], int(labels[index])
  official_files.write_tar(directory / "102flowers.tgz", files)
  scipy.io.savemat(
    directory / "imagelabels.mat", {"labels": labels[None].astype(np.uint8) + 1}
  )
  scipy.io.savemat(directory / "setid.mat", ids)
  return Photographs(splits, names)
