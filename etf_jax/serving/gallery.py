# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A page of the images that a model gets wrong, surest mistakes first.

gallery.write(Path("mistakes.html"), trained, splits, outputs)

The page holds its pictures and names no other file or address.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
import io
from pathlib import Path

import numpy as np
from PIL import Image

from etf_jax.data import Encoded, decode
from etf_jax.evaluation import by_class
from etf_jax.reporting import page, tables
from etf_jax.serving import evaluation
from etf_jax.serving.trained import Trained

_MISTAKES = 24
_PAIRS = 6
_OF_A_PAIR = 6
# Longer side of a thumbnail, in pixels.
_SIDE = 160


def write(
  path: Path,
  trained: Trained,
  splits: Mapping[str, Encoded],
  outputs: Mapping[str, evaluation.Outputs],
) -> None:
  """Write the page.

  Args:
    path: HTML file; one that exists is replaced.
    trained: the model.
    splits: images, by name.
    outputs: of the model for them.

  Raises:
    InputError: the file cannot be written.
  """
  blocks: list[page.Block] = []
  for name, found in outputs.items():
    blocks.append(page.Heading(name, level=2))
    blocks += _split(trained, splits[name], found)
  page.write(
    path,
    f"Mistakes of {trained.run.method} on {trained.config.data.name}",
    blocks,
    eyebrow="etf_jax evaluate",
    lead=trained.description,
  )


def thumbnail(encoded: bytes, decoder: str) -> str:
  """Return a small picture as a data URI; "" for what cannot be decoded."""
  try:
    pixels, (height, width) = decode.decode(
      encoded, channels=3, size=_SIDE, fit="longer", decoder=decoder
    )
  except decode.CorruptImage:
    return ""
  file = io.BytesIO()
  Image.fromarray(pixels[:height, :width]).save(file, "WEBP", quality=80)
  content = base64.b64encode(file.getvalue()).decode()
  return f"data:image/webp;base64,{content}"


def _split(
  trained: Trained, split: Encoded, found: evaluation.Outputs
) -> Iterator[page.Block]:
  predictions = np.argmax(found.logits, axis=1)
  wrong = np.flatnonzero(predictions != found.labels)
  yield page.Paragraph(
    f"{len(wrong):,} of {len(predictions):,} images are wrong."
  )
  if not len(wrong):
    return
  chances = evaluation.softmax(trained, found)
  sure = chances[np.arange(len(chances)), predictions]
  order = wrong[np.argsort(-sure[wrong], kind="stable")]
  words = "probability" if trained.calibrated else "not calibrated"

  def gallery(places: Sequence[int]) -> page.Gallery:
    return page.Gallery(
      [
        page.Picture(
          ""
          if trained.pixels.features
          else thumbnail(
            split.source.read(int(found.indices[i])), split.pixels.decoder
          ),
          f"{trained.class_names[found.labels[i]]} taken for"
          f" {trained.class_names[predictions[i]]}",
          f"{tables.percent(sure[i])} % {words};"
          f" {split.source.describe(int(found.indices[i]))}",
        )
        for i in places
      ]
    )

  yield page.Heading("Surest mistakes")
  yield gallery(order[:_MISTAKES].tolist())
  yield page.Heading("Most confused classes")
  for true, taken in by_class.confused_pairs(found.labels, predictions, _PAIRS):
    these = [
      i
      for i in order.tolist()
      if found.labels[i] == true and predictions[i] == taken
    ]
    yield page.Heading(
      f"{trained.class_names[true]} taken for {trained.class_names[taken]}:"
      f" {len(these):,} of {np.sum(found.labels == true):,}",
      level=4,
    )
    yield gallery(these[:_OF_A_PAIR])
