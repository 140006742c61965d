# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trained models on splits: outputs, metrics, a temperature, tables.

outputs = {"test": classify(trained, split, 128)}
rows = metric_rows(trained, outputs)
print(text(rows, trained.class_counts))
"""

from collections.abc import Mapping, Sequence
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from etf_jax.data import Encoded, decode
from etf_jax.data.feeds import stream
from etf_jax.errors import InputError
from etf_jax.evaluation import calibration, metrics, selective
from etf_jax.reporting import results, tables
from etf_jax.serving.trained import Trained

_update = jax.jit(metrics.update)


class Outputs(NamedTuple):
  """The outputs of a model for the N images of a split that can be decoded.

  Attributes:
    labels: int32 `[N]`.
    logits: floats `[N, K]`, before any temperature.
    angles: floats `[N]`, radians, see `Prediction.angles`.
    sums: sums over the images, see `metrics.Sums`.
  """

  labels: np.ndarray
  logits: np.ndarray
  angles: np.ndarray
  sums: metrics.Sums


def classify(trained: Trained, split: Encoded, batch_size: int) -> Outputs:
  """Classify a split, in the batches of a run's own evaluation.

  Args:
    trained: the model.
    split: images of its classes.
    batch_size: images in a batch.

  Raises:
    InputError: an image that cannot be decoded, unless config.data.corrupt is
      "skip"; or none that can.
  """
  total = len(split.labels)
  size = min(batch_size, total)
  batches = stream.Batches(
    split,
    stream.Once(total, size),
    multiple_of=size,
    threads=decode.cpu_threads(),
  )
  sums, parts = metrics.zeros(len(trained.class_names)), []
  with stream.Stream(batches) as reader:
    for batch in reader:
      scores = trained.scores(batch.images, batch.sizes)
      sums = _update(sums, scores.logits, batch.labels, where=batch.where)
      arrays = (batch.labels, scores.logits, scores.angles)
      parts.append(tuple(np.asarray(x)[batch.where] for x in arrays))
  labels, logits, angles = map(np.concatenate, zip(*parts, strict=True))
  if not len(labels):
    raise InputError(f"none of the {total} images can be decoded")
  if not np.isfinite(logits).all():
    raise InputError(
      f"{trained.run.directory}: the outputs for"
      f" {np.sum(~np.isfinite(logits).all(axis=1))} of {len(labels)} images are"
      " not finite, so no metric means anything; train with a lower"
      " config.optimizer.learning_rate"
    )
  return Outputs(labels, logits, angles, jax.device_get(sums))


def metric_rows(
  trained: Trained, outputs: Mapping[str, Outputs]
) -> list[dict[str, Any]]:
  """Compute the metrics of each split.

  Returns:
    Rows with `split`, `which`, `step` and `images`; the metrics of an "eval"
    row (etf_jax/reporting/README.md) and `confusion`; `temperature`, 1 if none
    was fitted, and with it `nll` and `ece_calibrated`; `aurc_angle` and
    `aurc_probability`, areas under the risk-coverage curves; and `coverage`, a
    list of what answering the surest images gives: `coverage`, and by either
    order the accuracy and where it stops, `angle` (radians) and `probability`.
  """
  return [
    {"split": name, "which": trained.which, "step": trained.step}
    | _metrics(trained, split)
    for name, split in outputs.items()
  ]


def fit_temperature(
  trained: Trained, held_out: Outputs, name: str, splits: Mapping[str, Outputs]
) -> dict[str, Any]:
  """Fit the temperature and give it to the model.

  Args:
    trained: the model.
    held_out: outputs to fit to.
    name: of their images.
    splits: outputs to compare the calibration error on, before and after.

  Returns:
    What is kept in calibration.json.

  Raises:
    InputError: no temperature fits.
  """
  try:
    fitted = calibration.fit_temperature(held_out.logits, held_out.labels)
  except ValueError as error:
    raise InputError(f"--fit_temperature: {error}") from error
  trained.temperature, trained.calibrated = fitted, True
  before, after = (
    calibration.negative_log_likelihood(held_out.logits, held_out.labels, t)
    for t in (1.0, fitted)
  )
  return {
    "temperature": fitted,
    "fitted_on": name,
    "images": len(held_out.labels),
    "nll_before": before,
    "nll_after": after,
    "ece": {
      row["split"]: [row["ece"], row["ece_calibrated"]]
      for row in metric_rows(trained, splits)
    },
  }


def text(rows: Sequence[dict[str, Any]], class_counts: Sequence[int]) -> str:
  """Format the splits as a table in percent, and the coverages of each.

  Args:
    rows: see `metric_rows`.
    class_counts: `[K]` training images.
  """
  images = [np.sum(row["confusion"], axis=1) for row in rows]
  tested = np.any(images, axis=0)
  columns = results.metrics(class_counts, results.heading_metric(images[-1]))
  if any(row["temperature"] != 1 for row in rows):
    columns["ece_calibrated"] = "ECE calibrated"
  parts = [
    tables.aligned(
      [
        ["split", "images", *columns.values()],
        *(
          [row["split"], f"{row['images']:,}"]
          + [tables.percent(row[key]) for key in columns]
          for row in rows
        ),
      ]
    ),
    f"percent; {results.shots_note(class_counts, tested)}",
  ]
  for row in rows:
    parts += ["", f"{row['split']}: accuracy of the surest answers"]
    parts.append(tables.aligned(_coverage(row)))
  return "\n".join(parts)


def _metrics(trained: Trained, outputs: Outputs) -> dict[str, Any]:
  numbers = metrics.compute(outputs.sums, trained.class_counts)
  confidence = calibration.confidences(outputs.logits, trained.temperature)
  correct = np.argmax(outputs.logits, axis=1) == outputs.labels
  by_angle, by_probability = (
    selective.table(score, correct) for score in (-outputs.angles, confidence)
  )
  return {
    "images": len(outputs.labels),
    **numbers,
    "temperature": trained.temperature,
    "nll": calibration.negative_log_likelihood(
      outputs.logits, outputs.labels, trained.temperature
    ),
    "ece_calibrated": calibration.expected_calibration_error(
      confidence, correct
    ),
    "aurc_angle": selective.aurc(-outputs.angles, correct),
    "aurc_probability": selective.aurc(confidence, correct),
    "coverage": [
      {
        "coverage": angle["coverage"],
        "accuracy_by_angle": angle["accuracy"],
        "angle": -angle["threshold"],
        "accuracy_by_probability": probability["accuracy"],
        "probability": probability["threshold"],
      }
      for angle, probability in zip(by_angle, by_probability, strict=True)
    ],
    "confusion": None
    if outputs.sums.confusion is None
    else np.asarray(outputs.sums.confusion).tolist(),
  }


def _coverage(row: Mapping[str, Any]) -> list[list[str]]:
  lines = [
    ["answered", "surest by angle", "up to", "by probability", "down to"]
  ]
  lines += [
    [
      tables.percent(entry["coverage"]),
      tables.percent(entry["accuracy_by_angle"]),
      f"{math.degrees(entry['angle']):.1f} deg",
      tables.percent(entry["accuracy_by_probability"]),
      tables.percent(entry["probability"]),
    ]
    for entry in row["coverage"]
  ]
  angle, probability = (
    f"{100 * row[key]:.2f}" for key in ("aurc_angle", "aurc_probability")
  )
  return [*lines, ["area under risk", angle, "", probability, ""]]
