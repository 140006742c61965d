# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The guides, what is in them, and the fields that make their runs short."""

import pathlib
import re

from etf_jax.configs import base
from etf_jax.runs import command_line

ROOT = pathlib.Path(__file__).parents[2]
# Each is a page, or a section of one.
GUIDES = {
  "images": ("etf_jax/data/README.md", "Your own images in ten minutes"),
  "method": ("configs/README.md", "Choosing a method"),
  "collapse": ("etf_jax/reporting/README.md", "Reading the collapse figures"),
  "clusters": ("launch/README.md", None),
  "features": ("etf_jax/sklearn/README.md", None),
}
# Of every run; then of those on photographs, and on digits. Two steps end
# within an epoch: no smaller batch to compile.
SHORT = (
  "--config.devices=1",
  "--config.dtype=float32",
  "--config.total_steps=2",
  "--config.schedule.warmup_epochs=0",
  "--config.eval.every_steps=2",
  "--config.eval.batch_size=100",
  "--config.collapse.every_steps=1",
  "--config.checkpoint.every_steps=2",
  "--config.report.html=False",
  "--config.report.tensorboard=False",
)
PHOTOGRAPHS = (
  "--config.data.image_size=16",
  "--config.augment.crop_size=14",
  "--config.batch_size=20",
  "--config.augment.brightness=0",
  "--config.augment.contrast=0",
  "--config.augment.saturation=0",
)
DIGITS = (
  "--config.data.name=digits",
  "--config.batch_size=40",
  "--config.augment.crop_padding=0",
)
SMALL = ("--config.model.name=trained_runs:Small", "--config.model.width=1")
# A small run's weights for those of a file, which are too many for seconds;
# tests/training/test_trained_elsewhere.py starts from such a file.
WEIGHTS = "--config.init_from=runs/first"

# A block of code, or an indented line with those that continue it.
_STEP = re.compile(
  r"^```python\n((?s:.*?))^```|^    ((?:.*\\\n)*.*)\n", re.MULTILINE
)


def section(name):
  """The text of a guide."""
  path, heading = GUIDES[name]
  text = (ROOT / path).read_text()
  if heading is None:
    return text
  (found,) = [s for s in text.split("\n## ") if s.startswith(f"{heading}\n")]
  return found


def steps(text):
  """Pairs in their order: code and None, or None and a command on one line."""
  for found in _STEP.finditer(text):
    code, line = found.groups()
    yield (code, None) if line is None else (None, one_line(line))


def one_line(text):
  """Without the line breaks that a shell ignores."""
  return re.sub(r"\\\n\s*", "", text)


def shortened(arguments, data_dir):
  """The arguments of a run, and the fields that make it one of seconds."""
  config, _ = command_line.parse(["main", *arguments])
  fields = [*SHORT, f"--config.data.data_dir={data_dir}"]
  if config.data.name != "features":
    fields += PHOTOGRAPHS if config.data.name == "folder" else DIGITS
    fields += SMALL
  if str(config.init_from).endswith(".safetensors"):
    fields.append(WEIGHTS)
  if str(config.init_from).startswith("hf:"):  # tests/training/test_hub.py
    fields += ["--config.init_from=None", "--config.freeze_epochs=0"]
  if config.collapse.every_epochs == base.get_config().collapse.every_epochs:
    fields.append("--config.collapse.splits=()")
  if len(config.seeds) > 1:  # given again, they would be added to the first
    arguments = [a for a in arguments if not a.startswith("--config.seeds=")]
    fields.append("--config.seeds=0,1")
  return [*arguments, *fields]
