# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Class names of data whose builder leaves them out, as CUB-200's does.

if not are_there(builder, facts):
  write(builder, facts)
"""

from etils import epath
import tensorflow_datasets as tfds

from etf_jax.data import catalog


def _names_file(
  builder: tfds.core.DatasetBuilder, facts: catalog.Facts
) -> epath.Path:
  """Where TFDS looks for the names of the classes."""
  return builder.data_path / f"{facts.label_key}.labels.txt"


def are_there(builder: tfds.core.DatasetBuilder, facts: catalog.Facts) -> bool:
  """Return whether prepared data name their classes."""
  return facts.class_name_key is None or _names_file(builder, facts).exists()


def write(builder: tfds.core.DatasetBuilder, facts: catalog.Facts) -> None:
  """Leave class names for TFDS to find, from records that spell them.

  Args:
    builder: Of prepared data.
    facts: Of the data set.
  """
  features = builder.info.features
  encoded = {
    key: tfds.decode.SkipDecoding()
    for key, feature in features.items()
    if isinstance(feature, tfds.features.Image)
  }
  names = [str(label) for label in range(facts.num_classes)]
  for record in builder.as_data_source(facts.train_split, decoders=encoded):
    names[record[facts.label_key]] = record[facts.class_name_key].decode()
  file = _names_file(builder, facts)
  unfinished = file.with_name(f".{file.name}")
  unfinished.write_text("".join(f"{name}\n" for name in names))
  unfinished.replace(file)
  features[facts.label_key].names = names
