# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Run directories as a training run would write them, made of small numbers.

Accuracies at the last epoch are set by hand, so that tests can state the
means and deviations that a report must show.
"""

import json
from pathlib import Path

import numpy as np

from etf_jax.runs import reader, writers

COUNTS_10 = (145, 106, 77, 56, 41, 30, 22, 16, 11, 8)
SHOTS = ("many", "medium", "few")


def one_section(*paths):
  """Return the section of runs that have one training set."""
  (section,) = reader.sections(reader.group(reader.load_all(paths)))
  return section


def config(method, counts, **changes):
  """A configuration with the fields that reports look at."""
  return {
    "method": method,
    "seed": 0,
    "model": {"depth": 8, "width": 1},
    "data": {"name": "digits", "imbalance": min(counts) / max(counts)},
    "mixup": {"alpha": 1.0},
  } | changes


def exponential(num_classes, largest, imbalance):
  """Count of a long tail."""
  decay = imbalance ** (np.arange(num_classes) / (num_classes - 1))
  return tuple(int(count) for count in largest * decay)


def evaluation(step, epoch, accuracy, counts, rng):
  """A row whose per-class accuracies fall with the class's count."""
  counts = np.asarray(counts)
  drop = np.linspace(0.12, -0.2, len(counts))
  per_class = np.clip(accuracy + drop, 0, 1)
  per_class = np.clip(per_class + rng.normal(0, 0.03, len(counts)), 0, 1)
  shot = np.where(counts > 100, 0, np.where(counts >= 20, 1, 2))
  means = {
    name: float(per_class[shot == index].mean())
    if (shot == index).any()
    else None
    for index, name in enumerate(SHOTS)
  }
  return {
    "kind": "eval",
    "split": "test",
    "step": step,
    "epoch": epoch,
    "loss": 2 * (1 - accuracy),
    "accuracy": accuracy,
    "top5": min(1.0, accuracy + 0.1),
    "balanced_accuracy": float(per_class.mean()),
    "macro_f1": accuracy - 0.01,
    **means,
    "ece": 0.05,
    "per_class_accuracy": per_class,
    "images_per_second": 5000.0,
  }


def write_run(
  directory,
  method,
  seed,
  accuracy,
  *,
  best=None,
  counts=COUNTS_10,
  names=None,
  name="digits_lt",
  hash_="ab12cd34",
  epochs=10,
  finished=True,
  selected_on="test",
  changes=None,
  collapse=None,
):
  """Write one run directory and returns its path.

  Args:
    directory: made here.
    method: the method's name.
    seed: also of the noise.
    accuracy: test accuracy at the last epoch.
    best: test accuracy at the epoch before; a little more by default.
    counts: training images per class.
    names: class names; numbers by default.
    name: of the experiment.
    hash_: of the configuration.
    epochs: evaluations, one an epoch.
    finished: False leaves the run without its final row, half way.
    selected_on: what best was chosen on.
    changes: replaced top-level fields of the configuration.
    collapse: None, or what (split, epoch) shall write: a row of kind collapse
      less its step and epoch, or None for no row.

  Returns:
    The directory.
  """
  directory = Path(directory)
  directory.mkdir(parents=True)
  rng = np.random.default_rng(seed)
  best = accuracy + 0.004 if best is None else best
  meta = {
    "config": config(method, counts, **(changes or {})),
    "name": name,
    "seed": seed,
    "hash": hash_,
    "versions": {"python": "3.11.2", "jax": "0.10.2", "etf_jax": "0.1.0"},
    "git_revision": "0123456789abcdef",
    "device": "2 x cpu",
  }
  names = names or [str(c) for c in range(len(counts))]
  for file, content in (
    ("config.json", meta),
    ("class_counts.json", counts),
    ("class_names.json", names),
  ):
    (directory / file).write_text(json.dumps(content))
  writer = writers.Jsonl(directory / "metrics.jsonl")
  evaluations = []
  for epoch in range(1, (epochs if finished else epochs // 2) + 1):
    for part in range(4):
      done = epoch - 1 + (part + 1) / 4
      writer.write(
        {
          "kind": "train",
          "step": int(40 * done),
          "epoch": done,
          "loss": 2.3 * np.exp(-done / 4) + rng.normal(0, 0.02) ** 2 + 0.05,
          "learning_rate": 0.1,
          "images_per_second": 4200.0,
        }
      )
    rising = accuracy * (1 - np.exp(-6 * epoch / epochs))
    at = {epochs: accuracy, epochs - 1: best}.get(epoch, rising)
    row = evaluation(40 * epoch, epoch, at, counts, rng)
    evaluations.append(row)
    writer.write(row)
    for split in ("train", "test") if collapse else ():
      measured = collapse(split, epoch)
      if measured is not None:
        writer.write(
          {"kind": "collapse", "split": split, "step": 40 * epoch}
          | {"epoch": float(epoch)}
          | measured
        )
  if finished:
    writer.write(_final(evaluations, counts, rng, selected_on))
  writer.close()
  return directory


def _final(evaluations, counts, rng, selected_on):
  last = evaluations[-1]
  right = np.asarray(last["per_class_accuracy"])
  # Fifty test images a class; mistakes go to neighbours and larger classes.
  weights = np.exp(
    -np.abs(np.subtract.outer(range(len(counts)), range(len(counts)))) / 2
  )
  weights *= np.asarray(counts) ** 0.5
  np.fill_diagonal(weights, 0)
  weights = weights / weights.sum(1, keepdims=True) * (1 - right[:, None])
  np.fill_diagonal(weights, right)
  confusion = np.stack([rng.multinomial(50, row) for row in weights])
  return {
    "kind": "final",
    "step": last["step"],
    "epoch": last["epoch"],
    "seconds": 61.5,
    "last": last,
    "best": evaluations[-2],
    "best_selected_on": selected_on,
    "confusion": confusion,
  }
