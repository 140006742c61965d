# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A modern recipe on top of any experiment: the part behind the colon.

  python -m etf_jax.main --config=configs/modern.py:cifar10_lt
  python -m etf_jax.main --config=configs/modern.py:fashion_mnist_lt:cpu
  python -m etf_jax.main --config=configs/modern.py:mine/experiment.py

RandAugment, twice the training under a cosine, and evaluation of an average of
the weights. The average looks back over 5,000 steps, and over a ninth of the
run at most, so that short runs need no other number. What is not here goes
beside it: `--config.loss.label_smoothing=0.1` for the cross-entropies, as dot
regression has no smoothing; `--config.augment.cutmix_alpha=1.0`. Chosen, not
tuned; not yet run.
"""

import difflib
import importlib
import importlib.util
import pathlib

from etf_jax import configs


def get_config(experiment: str = "base"):
  """Put the recipe on `NAME`, `NAME:ARGUMENT` or a path, or on the defaults.

  Args:
    experiment: of this folder by name, or a file that ends in .py; its own
      argument may follow a colon.

  Raises:
    FileNotFoundError: there is no such experiment.
  """
  name, *argument = experiment.split(":", 1)
  c = _load(name).get_config(*argument)
  c.name = "modern" if name == "base" else f"{c.name}_modern"
  c.augment.randaugment_layers = 2
  c.augment.randaugment_magnitude = 5.0
  c.ema_decay = 0.9998
  c.schedule.name = "cosine"
  for unit in ("epochs", "steps", "examples", "min_steps"):
    if c[f"total_{unit}"] is not None:
      c[f"total_{unit}"] *= 2
  return c


def _load(name):
  if name.endswith(".py"):
    path = pathlib.Path(name)
    if not path.is_file():
      raise FileNotFoundError(f"there is no experiment file {name!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
  known = {path.stem for path in configs.FOLDER.glob("*.py")} - {"modern"}
  if name not in known:
    near = difflib.get_close_matches(name, known, 1, 0)[0]
    raise FileNotFoundError(
      f"no experiment is named {name!r}; did you mean {near!r}?"
      f" (known: {', '.join(sorted(known))}, or a path that ends in .py)"
    )
  return importlib.import_module(f"etf_jax.configs.{name}")
