# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A model card: what the directory of a run says about its model, in Markdown.

Everything in it is read from the run; what was not measured is said to be so.
The text is model_card.md.j2.
"""

from collections.abc import Sequence
import functools
import math
from pathlib import Path
from typing import Any

import jax
import jinja2
import numpy as np

from etf_jax.evaluation import shots
from etf_jax.reporting import results, tables
from etf_jax.serving import run_directory
from etf_jax.serving.trained import Trained

_GEOMETRY = {
  "nc1": "within-class variability, NC1",
  "cos_features_mean": "mean cosine between centered class means",
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
  """Return the card of a trained model, as Markdown."""
  run, counts = trained.run, trained.class_counts
  sections = {
    "Data": _data(trained),
    "Model": _model(trained),
    "Training": _training(trained),
    "Calibration": _calibration(trained),
    "Geometry": _geometry(trained),
  }
  confusion = run.final and run.final.get("confusion")
  heading = results.heading_metric(np.sum(confusion or [[0]], axis=1))
  headings = results.metrics(counts, heading)
  return _template().render(
    run=run,
    sections=[
      (title, {k: str(v) for k, v in facts.items() if v not in (None, "")})
      for title, facts in sections.items()
    ],
    classes=_classes(trained),
    which=trained.which,
    metrics=list(headings.values()),
    checkpoints=_checkpoints(trained, list(headings)),
    chosen_on=run.final and run.final["best_selected_on"],
    test_images=_test_images(trained),
    many_above=shots.MANY_ABOVE,
    few_below=shots.FEW_BELOW,
    few=int(np.sum(shots.of(counts) == 2)),
    data_name=trained.config.data.name,
    calibrated=trained.calibrated,
  )


@functools.cache
def _template() -> jinja2.Template:
  # Markdown, not HTML: the filters escape.
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    keep_trailing_newline=True,
  )
  environment.filters["row"] = tables.markdown_row
  environment.filters["text"] = tables.markdown_text
  return environment.get_template("model_card.md.j2")


def _data(trained: Trained) -> dict[str, Any]:
  config, counts = trained.config.data, trained.class_counts
  tail = f"{max(counts) / max(min(counts), 1):,.3g} to 1, "
  if config.profile in ("none", "list"):
    tail += "as in the data set"
  else:
    tail += (
      f"{config.profile}, imbalance {config.imbalance:g}, subset of seed"
      f" {config.seed}"
    )
  return {
    "data set": config.name,
    "training images": f"{sum(counts):,}, {max(counts):,} to {min(counts):,} a"
    " class",
    "long tail": tail,
    "held out of each class for validation": f"{config.validation_fraction:g}",
    "test images": f"{_test_images(trained):,}" if trained.run.final else None,
  }


def _classes(trained: Trained) -> list[list[str]]:
  groups = shots.of(trained.class_counts)
  final = trained.run.final
  fractions = final and final[trained.which]["per_class_accuracy"]
  return [
    [
      name,
      f"{count:,}",
      shots.NAMES[groups[k]],
      tables.percent(fractions[k]) if fractions else "not measured",
    ]
    for k, (name, count) in enumerate(
      zip(trained.class_names, trained.class_counts, strict=True)
    )
  ]


def _model(trained: Trained) -> dict[str, Any]:
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
    "center crop": f"{config.augment.eval_crop:g} of the shorter side, scaled"
    f" to {crop}"
    if crop
    else "none",
    "mean of pixels in [0, 1]": ", ".join(map(str, trained.mean)),
    "their standard deviation": ", ".join(map(str, trained.std)),
  }


def _training(trained: Trained) -> dict[str, Any]:
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
    "optimizer": ", ".join(f"{k} {v}" for k, v in config.optimizer.items()),
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


def _checkpoints(trained: Trained, keys: Sequence[str]) -> list[list[str]]:
  """Return the cells of the table of results, a row for last and for best."""
  final, lines = trained.run.final, []
  if final is None:
    return []
  for which in ("last", "best"):
    row = final[which]
    label = which
    if which == "best":
      label += (
        f", chosen by {results.chosen_metric(final)} on"
        f" {final['best_selected_on']} images"
      )
    if row["step"] == trained.step:
      label += " (this model)"
    numbers = [tables.percent(row.get(key)) for key in keys]
    lines.append([label, f"{row['epoch']:g}", *numbers])
  return lines


def _calibration(trained: Trained) -> dict[str, Any]:
  record = run_directory.calibration(trained.run, trained.step)
  if record is None:
    return {"temperature": "none was fitted; probabilities are the softmax's"}
  facts = {
    "temperature": f"{trained.temperature:.4g}, which logits are divided by",
    "fitted on": f"{record['images']:,} images of {record['fitted_on']}",
    "negative log-likelihood there": f"{record['nll_before']:.4f} before,"
    f" {record['nll_after']:.4f} after",
  }
  for name, (before, after) in record["ece"].items():
    facts[f"ECE on {name}, percent"] = (
      f"{tables.percent(before)} before, {tables.percent(after)} after"
    )
  return facts


def _geometry(trained: Trained) -> dict[str, Any]:
  rows = [row for row in trained.run.collapse if row["step"] == trained.step]
  if not rows:
    return {"neural collapse": "not measured at this checkpoint"}
  return {
    f"{meaning}, {row['split']}": f"{row[name]:.4g}"
    for name, meaning in _GEOMETRY.items()
    for row in rows
    if isinstance(row.get(name), int | float) and math.isfinite(row[name])
  }


def _test_images(trained: Trained) -> int:
  final = trained.run.final
  if not final:
    return 0
  # Earlier versions counted them in the matrix only.
  return final.get("test_images") or int(np.sum(final["confusion"]))
