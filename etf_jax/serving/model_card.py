# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A model card: what the directory of a run says about its model, in Markdown.

Everything in it is read from the run; what was not measured is said to be so.
"""

from collections.abc import Iterable, Sequence
import math
from typing import Any

import jax
import numpy as np

from etf_jax.evaluation import shots as shot_groups
from etf_jax.serving import run_directory, table
from etf_jax.serving.trained import Trained

_GEOMETRY = {
  "nc1": "within-class variability, NC1",
  "cos_features_mean": "mean cosine between centred class means",
  "cos_features_std": "its standard deviation over pairs",
  "nc3_alignment_mean": "mean cosine of class means with their vectors",
  "nearest_mean_agreement": "agreement with the nearest class mean",
  "numerical_rank": "numerical rank of the features",
}
# Fields of the config that belong to a section, where they are set.
_LOSS = ("class_lengths", "scaling", "feature_length", "label_smoothing")
# Augmentations that do nothing without another.
_WITH = {
  "randaugment_magnitude": "randaugment_layers",
  "crop_scale": "crop_size",
  "crop_ratio": "crop_size",
  "eval_crop": "crop_size",
}
_TRAINING = ("batch_size", "dtype", "ema_decay", "init_from", "bn_group_size")


def text(trained: Trained) -> str:
  """The card of a trained model, as Markdown."""
  parts = [
    f"# {trained.run.name}: {trained.run.method}",
    f"An image classifier of {len(trained.class_names)} classes, made by"
    " etf_jax. All numbers are of its training run.",
    *_section("Data", _data(trained)),
    _classes(trained),
    *_section("Model", _model(trained)),
    *_section("Training", _training(trained)),
    *_results(trained),
    *_section("Calibration", _calibration(trained)),
    *_section("Geometry", _geometry(trained)),
    "## Limits",
    "\n".join(f"* {limit}" for limit in _limits(trained)),
  ]
  return "\n\n".join(parts) + "\n"


def _data(trained) -> dict[str, Any]:
  config, counts = trained.config.data, trained.class_counts
  tail = config.profile
  if tail not in ("none", "list"):
    tail += f", imbalance {config.imbalance:g}, subset of seed {config.seed}"
  return {
    "data set": config.name,
    "training images": f"{sum(counts):,}, {max(counts):,} to {min(counts):,} a"
    " class",
    "long tail": tail,
    "held out of each class for validation": f"{config.validation_fraction:g}",
    "test images": f"{_test_images(trained):,}" if trained.run.final else None,
  }


def _classes(trained) -> str:
  shots = shot_groups.of(trained.class_counts)
  final = trained.run.final
  accuracies = final[trained.which]["per_class_accuracy"] if final else None
  lines = [
    [
      trained.class_names[k],
      f"{count:,}",
      shot_groups.NAMES[shots[k]],
      table.percent(accuracies[k]) if accuracies else "not measured",
    ]
    for k, count in enumerate(trained.class_counts)
  ]
  return _table(
    ["class", "training images", "group", f"accuracy, {trained.which}"], lines
  )


def _model(trained) -> dict[str, Any]:
  config, head = trained.config, trained.model.head
  size = sum(x.size for x in jax.tree.leaves(trained.variables["params"]))
  crop = config.augment.crop_size
  return {
    "backbone": config.model.name,
    **{f"backbone's {k}": v for k, v in config.model.kwargs.items()},
    "width": config.model.width,
    "classifier": config.head.name,
    "spare prototypes": getattr(head, "spare", 0) or None,
    "features before it": ", ".join(
      [
        *(["linear layer"] if config.head.projector else []),
        *(["BatchNorm"] if config.head.batch_norm else []),
        *(["unit length"] if config.head.l2_normalize else []),
      ]
    )
    or "as they are",
    "learned parameters": f"{size:,}",
    "images": f"{' x '.join(map(str, trained.image_shape))}, uint8"
    f" (height, width, channels); photographs by fit={trained.pixels.fit!r}",
    "centre crop": f"{config.augment.eval_crop:g} of the shorter side, scaled"
    f" to {crop}"
    if crop
    else "none",
    "mean of pixels in [0, 1]": ", ".join(map(str, trained.mean)),
    "their standard deviation": ", ".join(map(str, trained.std)),
  }


def _training(trained) -> dict[str, Any]:
  config, meta = trained.config, trained.run.meta
  final = trained.run.final
  versions = meta.get("versions") or {}
  augment = [
    f"{name} {value}"
    for name, value in config.augment.items()
    if value and config.augment.get(_WITH.get(name, name))
  ]
  return {
    "method": config.method,
    **{f"loss.{k}": config.loss[k] for k in _LOSS if config.loss[k]},
    **{k: config[k] for k in _TRAINING if config[k]},
    "epochs, steps": f"{trained.run.epoch:.4g}, {trained.step} at this"
    " checkpoint",
    "optimiser": ", ".join(f"{k} {v}" for k, v in config.optimizer.items()),
    "schedule": config.schedule.name,
    "augmentation": ", ".join(augment) or "none",
    "seed": trained.run.seed,
    "configuration's hash": trained.run.hash,
    "git revision": meta.get("git_revision"),
    "device": meta.get("device"),
    "seconds": f"{final['seconds']:.0f}"
    if final and "seconds" in final
    else None,
    "versions": ", ".join(f"{k} {v}" for k, v in versions.items() if v),
  }


def _results(trained) -> list[str]:
  final = trained.run.final
  if final is None:
    return [
      "## Results",
      f"The run has not finished (epoch {trained.run.epoch:.4g}), so there are"
      " none.",
    ]
  chosen = final["best_selected_on"]
  lines = []
  for which in ("last", "best"):
    row = final[which]
    label = which + (f", chosen on {chosen} images" if which == "best" else "")
    label += " (this model)" if row["step"] == trained.step else ""
    lines.append(
      [
        label,
        f"{row['epoch']:g}",
        *(table.percent(row.get(k)) for k in table.METRICS),
      ]
    )
  said = (
    f"Percent on {_test_images(trained):,} test images, one seed. Many, medium"
    f" and few are classes of more than {shot_groups.MANY_ABOVE},"
    f" {shot_groups.FEW_BELOW} to {shot_groups.MANY_ABOVE} and fewer training"
    " images."
  )
  if chosen == "test":
    said += " The best epoch was chosen on these images, so it flatters."
  heading = ["checkpoint", "epoch", *table.METRICS.values()]
  return ["## Results", said, _table(heading, lines)]


def _calibration(trained) -> dict[str, Any]:
  if not trained.calibrated:
    return {"temperature": "none was fitted; probabilities are the softmax's"}
  record = run_directory.calibration(trained.run, trained.step)
  found = {
    "temperature": f"{trained.temperature:.4g}, which logits are divided by",
    "fitted on": f"{record['images']:,} images of {record['fitted_on']}",
    "negative log-likelihood there": f"{record['nll_before']:.4f} before,"
    f" {record['nll_after']:.4f} after",
  }
  for name, (before, after) in record["ece"].items():
    found[f"ECE on {name}, percent"] = (
      f"{table.percent(before)} before, {table.percent(after)} after"
    )
  return found


def _geometry(trained) -> dict[str, Any]:
  rows = [row for row in trained.run.collapse if row["step"] == trained.step]
  if not rows:
    return {"neural collapse": "not measured at this checkpoint"}
  return {
    f"{meaning}, {row['split']}": f"{row[name]:.4g}"
    for name, meaning in _GEOMETRY.items()
    for row in rows
    if isinstance(row.get(name), int | float) and math.isfinite(row[name])
  }


def _limits(trained) -> Iterable[str]:
  run, config = trained.run, trained.config
  if run.final is None:
    yield "The run has not finished."
  few = np.sum(shot_groups.of(trained.class_counts) == 2)
  if few:
    yield (
      f"{few} of {len(trained.class_names)} classes have fewer than"
      f" {shot_groups.FEW_BELOW} training images."
    )
  yield (
    f"The numbers above are those of the test images of {config.data.name}."
    " Images from elsewhere have not been tested."
  )
  yield (
    "Every image is given one of these classes. Images of none of them have"
    " not been tested; `evaluate` shows what abstaining by angle gains on"
    " images of the classes."
  )
  if not trained.calibrated:
    yield "Probabilities are not calibrated."
  yield "One seed: what another would give is not in this run."


def _test_images(trained) -> int:
  return int(np.sum(trained.run.final["confusion"]))


def _section(title: str, facts: dict[str, Any]) -> list[str]:
  known = [[k, str(v)] for k, v in facts.items() if v not in (None, "")]
  return [f"## {title}", _table(["", ""], known)]


def _table(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
  return "\n".join(
    "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
    for line in [heading, ["---"] * len(heading), *lines]
  )
