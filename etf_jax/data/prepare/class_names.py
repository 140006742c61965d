# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Class names of data whose builder leaves them out, as CUB-200's does.

if not are_there(builder, info):
  write(builder, info)
"""

from etils import epath
import tensorflow_datasets as tfds

from etf_jax.data import catalog
from etf_jax.runs import files


def _names_file(
  builder: tfds.core.DatasetBuilder, info: catalog.DatasetInfo
) -> epath.Path:
  """Return the file in which TFDS looks for the names of the classes."""
  return builder.data_path / f"{info.label_key}.labels.txt"


def are_there(
  builder: tfds.core.DatasetBuilder, info: catalog.DatasetInfo
) -> bool:
  """Return True if prepared data name their classes."""
  return info.class_name_key is None or _names_file(builder, info).exists()


def write(builder: tfds.core.DatasetBuilder, info: catalog.DatasetInfo) -> None:
  """Leave class names for TFDS to find, from records that spell them."""
  features = builder.info.features
  encoded = {
    key: tfds.decode.SkipDecoding()
    for key, feature in features.items()
    if isinstance(feature, tfds.features.Image)
  }
  names = [str(label) for label in range(info.num_classes)]
  for record in builder.as_data_source(info.train_split, decoders=encoded):
    names[record[info.label_key]] = record[info.class_name_key].decode()
  file = _names_file(builder, info)
  files.write(file, "".join(f"{name}\n" for name in names))
  features[info.label_key].names = names
