# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Long-tailed classification with fixed simplex-ETF classifiers, in JAX.

    from etf_jax import losses, simplex_etf

This import needs jax and numpy only. ``etf_jax.collapse``, ``etf_jax.theory``,
``etf_jax.models``, ``etf_jax.nnx`` and ``etf_jax.sklearn`` are imported on
first use; data and training are subpackages to import by name. ``python -m
etf_jax.main`` and ``etf_jax.train`` train, and ``etf_jax.load`` gives the
trained model to call.
"""

import importlib
import os
import types
from typing import TYPE_CHECKING

from etf_jax import etf, losses
from etf_jax.etf import simplex_etf

if TYPE_CHECKING:
  from ml_collections import ConfigDict

  from etf_jax.serving.trained import Trained
  from etf_jax.training.train import TrainResult

__version__ = "0.2.0.dev0"

__all__ = ["__version__", "etf", "load", "losses", "simplex_etf", "train"]


def load(
  workdir: str | os.PathLike, step: str = "last", *, trust_code: bool = False
) -> "Trained":
  """Load the trained model of a run; see `etf_jax.serving.trained.load`."""
  # Not before it is asked for, since it imports all of the package.
  from etf_jax.serving import trained

  return trained.load(os.fspath(workdir), step, trust_code=trust_code)


def train(
  config: "ConfigDict", workdir: str | os.PathLike | None = None
) -> list["TrainResult"]:
  """Train every seed of a config, write reports and print the table.

  In a notebook the same cell again continues a run that was interrupted, or
  returns the result that is there. See `etf_jax.training.train.train`.
  """
  from etf_jax.reporting import report, results
  from etf_jax.runs import console
  from etf_jax.training import train as training

  trained = training.train(config, workdir, report=report.write)
  if trained[0].last:  # which process 0 has
    console.say(results.text([result.workdir for result in trained]))
  return trained


def __getattr__(name: str) -> types.ModuleType:
  """Import a public subpackage on first use."""
  if name in ("collapse", "models", "nnx", "sklearn", "theory"):
    return importlib.import_module(f"etf_jax.{name}")
  raise AttributeError(f"module 'etf_jax' has no attribute {name!r}")
