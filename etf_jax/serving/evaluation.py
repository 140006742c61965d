# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trained models on splits: outputs, metrics, a temperature, tables.

outputs = {"test": classify(trained, split, 128)}
rows = metric_rows(trained, outputs)
print(text(rows, trained.class_counts, trained.class_names))
"""

from collections.abc import Mapping, Sequence
import csv
import io
import math
import os
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import special

from etf_jax.data import Encoded, decode
from etf_jax.data.feeds import stream
from etf_jax.errors import InputError
from etf_jax.evaluation import by_class, calibration, metrics, selective
from etf_jax.reporting import results, tables
from etf_jax.serving.trained import Trained

# Classes of a table on a terminal.
_SHOWN = 50
# Measured with 8,142 images of as many classes: logits, softmaxes, orders.
_BYTES_A_LOGIT = 56

_update = jax.jit(metrics.update)


class Outputs(NamedTuple):
  """The outputs of a model for the N images of a split that can be decoded.

  Attributes:
    indices: int64 `[N]`, of the images in the split.
    labels: int32 `[N]`.
    logits: floats `[N, K]`, before any temperature.
    angles: floats `[N]`, radians, see `Prediction.angles`.
    sums: sums over the images, see `metrics.Sums`.
  """

  indices: np.ndarray
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
  total, num_classes = len(split.labels), len(trained.class_names)
  need = _BYTES_A_LOGIT * total * num_classes / 2**30
  if need > _memory():
    raise InputError(
      f"{total:,} images of {num_classes:,} classes: what is made of their"
      f" logits takes {need:,.0f} GiB, and the machine has {_memory():,.0f};"
      " metrics.jsonl has what training measured, and --images=FOLDER"
      " (CLASS/IMAGE) takes fewer"
    )
  size = min(batch_size, total)
  plan = stream.Once(total, size)
  batches = stream.Batches(
    split, plan, multiple_of=size, threads=decode.cpu_threads()
  )
  sums, parts = metrics.zeros(num_classes), []
  with stream.Stream(batches) as reader:
    for step, batch in enumerate(reader):
      indices = np.resize(plan.indices(step), size)
      scores = trained.scores(batch.images, batch.sizes)
      sums = _update(sums, scores.logits, batch.labels, where=batch.where)
      arrays = (indices, batch.labels, scores.logits, scores.angles)
      parts.append(tuple(np.asarray(x)[batch.where] for x in arrays))
  columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
  if not len(columns[0]):
    raise InputError(f"none of the {total} images can be decoded")
  logits = columns[2]
  if not np.isfinite(logits).all():
    raise InputError(
      f"{trained.run.directory}: the outputs for"
      f" {np.sum(~np.isfinite(logits).all(axis=1))} of {len(logits)} images are"
      " not finite, so no metric means anything; train with a lower"
      " config.optimizer.learning_rate"
    )
  indices, labels, logits, angles = columns
  return Outputs(indices, labels, logits, angles, jax.device_get(sums))


def _memory() -> float:
  """Return the gibibytes of the machine."""
  return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def metric_rows(
  trained: Trained, outputs: Mapping[str, Outputs]
) -> list[dict[str, Any]]:
  """Compute the metrics of each split.

  Returns:
    Rows with `split`, `which`, `step` and `images`; `intervals`, see
    `by_class.intervals`; `per_class`, `support`, `precision`, `recall`, the
    ends of its `recall_interval` and `f1` of each class; the metrics of an
    "eval" row (etf_jax/reporting/README.md), `confusion`; `calibrated`, True if
    one was fitted; `temperature`, 1 if none was, and with it `nll` and
    `ece_calibrated`; `aurc_angle` and
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
  """Fit the temperature, and give it to the model if it helps.

  It helps if folds of the held-out images are more likely at temperatures that
  are fitted to the others than at 1, see `calibration.held_out_likelihoods`.

  Args:
    trained: the model.
    held_out: outputs to fit to.
    name: of their images.
    splits: outputs to compare the calibration error on, before and after.

  Returns:
    The record of calibration.json: `temperature`, `fitted_on`, `images`;
    `nll_before` and `nll_after`, on the folds; and `ece` before and after by
    split, which is missing where the temperature does not help.

  Raises:
    InputError: no temperature fits.
  """
  logits, labels = held_out.logits, held_out.labels
  try:
    fitted = calibration.fit_temperature(logits, labels)
  except ValueError as error:
    raise InputError(f"--fit_temperature: {error}") from error
  before, after = calibration.held_out_likelihoods(logits, labels)
  record = {
    "temperature": fitted,
    "fitted_on": name,
    "images": len(labels),
    "nll_before": before,
    "nll_after": after,
  }
  if after >= before:
    return record
  trained.temperature, trained.calibrated = fitted, True
  return record | {
    "ece": {
      row["split"]: [row["ece"], row["ece_calibrated"]]
      for row in metric_rows(trained, splits)
    },
  }


def text(
  rows: Sequence[dict[str, Any]],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> str:
  """Format the splits in percent, the last by class, and their coverages.

  Args:
    rows: see `metric_rows`.
    class_counts: `[K]` training images.
    class_names: `[K]`.
  """
  numbers = [np.array(row["per_class"]["support"]) for row in rows]
  tested = np.any(numbers, axis=0)
  columns = results.metrics(class_counts, results.heading_metric(numbers[-1]))
  # Softmaxes of different heads mean different things without a temperature.
  if any(row["calibrated"] for row in rows):
    columns["ece"] = "ECE at temperature 1"
    columns["ece_calibrated"] = "ECE calibrated"
  else:
    columns["ece"] = "ECE (not calibrated)"
  lines = [["split", "images", *columns.values()]]
  for row in rows:
    lines.append([row["split"], f"{row['images']:,}"])
    lines[-1] += [tables.percent(row[key]) for key in columns]
    ends = row["intervals"]
    lines.append(["", "95 %"])
    lines[-1] += [tables.interval(ends.get(key)) for key in columns]
  parts = [
    tables.aligned(lines),
    f"percent; {results.shots_note(class_counts, tested)}",
    "95 %: what other test images would give, of the same number; another seed"
    " of the training is not in it.",
    "",
    *_classes(rows[-1], class_counts, class_names),
  ]
  for row in rows:
    parts += ["", f"{row['split']}: accuracy of the surest answers"]
    parts.append(tables.aligned(_coverage(row)))
  return "\n".join(parts)


def images(
  trained: Trained,
  splits: Mapping[str, Encoded],
  outputs: Mapping[str, Outputs],
) -> str:
  """Return the images of each split as CSV, in their order.

  Columns: `path`; `label` and `prediction`, names; `probability` of the
  prediction, and `margin`, by which it exceeds the next; `calibrated`, True if
  a temperature was fitted; `split`.
  """
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow(
    [
      *("path", "label", "prediction", "probability", "margin"),
      *("calibrated", "split"),
    ]
  )
  names = trained.class_names
  for name, found in outputs.items():
    probabilities = softmax(trained, found)
    predictions = np.argmax(found.logits, axis=1)
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    source = splits[name].source
    for place, index in enumerate(found.indices.tolist()):
      writer.writerow(
        [
          source.describe(index),
          names[found.labels[place]],
          names[predictions[place]],
          float(first[place]),
          float(first[place] - second[place]),
          trained.calibrated,
          name,
        ]
      )
  return text.getvalue()


def softmax(trained: Trained, outputs: Outputs) -> np.ndarray:
  """Return the probabilities `[N, K]` at the model's temperature."""
  logits = outputs.logits / outputs.logits.dtype.type(trained.temperature)
  return special.softmax(logits, axis=1)


def _classes(
  row: Mapping[str, Any],
  class_counts: Sequence[int],
  class_names: Sequence[str],
) -> list[str]:
  """Format the scores of the classes, of many classes the lowest recalls."""
  scores = row["per_class"]
  tested = [k for k, number in enumerate(scores["support"]) if number]
  title = f"{row['split']}: by class"
  if len(tested) > _SHOWN:
    tested = sorted(tested, key=lambda k: scores["recall"][k])[:_SHOWN]
    title += f", the {_SHOWN} of lowest recall (all: --output=FILE.json)"
  lines = [["class", "training", "test", "precision", "recall", "95 %", "F1"]]
  for k in tested:
    lines.append([class_names[k], f"{class_counts[k]:,}"])
    lines[-1] += [
      f"{scores['support'][k]:,}",
      tables.percent(scores["precision"][k]),
      tables.percent(scores["recall"][k]),
      tables.interval(scores["recall_interval"][k]),
      tables.percent(scores["f1"][k]),
    ]
  return [title, tables.aligned(lines)]


def _metrics(trained: Trained, outputs: Outputs) -> dict[str, Any]:
  numbers = metrics.compute(outputs.sums, trained.class_counts)
  predictions = np.argmax(outputs.logits, axis=1)
  right, total, predicted = (
    np.bincount(part, minlength=outputs.logits.shape[1])
    for part in (
      outputs.labels[predictions == outputs.labels],
      outputs.labels,
      predictions,
    )
  )
  confidence = calibration.confidences(outputs.logits, trained.temperature)
  correct = np.argmax(outputs.logits, axis=1) == outputs.labels
  by_angle, by_probability = (
    selective.table(score, correct) for score in (-outputs.angles, confidence)
  )
  return {
    "images": len(outputs.labels),
    **numbers,
    "intervals": by_class.intervals(right, total, trained.class_counts),
    "per_class": _per_class(by_class.of_counts(right, total, predicted), right),
    "temperature": trained.temperature,
    "calibrated": trained.calibrated,
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


def _per_class(scores: by_class.Scores, right: np.ndarray) -> dict[str, list]:
  ends = by_class.wilson(right, scores.support)

  def known(values: np.ndarray) -> list:
    return [
      [None if x != x else x for x in value]
      if isinstance(value, list)
      else (None if value != value else value)
      for value in values.tolist()
    ]

  return {
    "support": scores.support.tolist(),
    "precision": known(scores.precision),
    "recall": known(scores.recall),
    "recall_interval": known(ends.T),
    "f1": known(scores.f1),
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
