# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs a command of the package, or lists them.

python -m etf_jax
python -m etf_jax evaluate --workdir=runs/my_run
"""

import runpy
import sys

from etf_jax.errors import unknown_name

COMMANDS = {
  "prepare": "make a data set ready for training",
  "advise": "describe a data set, and say what to begin with",
  "main": "train the runs of an experiment file",
  "evaluate": "measure a trained model: accuracy, calibration, abstaining",
  "predict": "classify photographs",
  "serve": "open a local page, and JSON, for photographs",
  "export": "write a trained model for use elsewhere, with its card",
  "convert": "turn a PyTorch file of weights into safetensors",
  "features": "turn images into features, by any model",
  "reporting": "write a table and a report of runs",
  "probe": "learn other data sets on frozen features",
  "reproduce": "run the tables and figures of the papers",
  "theory_lab": "draw the theory beside solved models",
  "benchmark": "measure speed and memory",
}


def main() -> int:
  """Run the command that the first argument names."""
  name, *rest = sys.argv[1:] or ["--help"]
  if name in ("--help", "-h"):
    print("usage: python -m etf_jax COMMAND ..., or etf-jax COMMAND ...\n")
    for known, summary in COMMANDS.items():
      print(f"  {known:12}{summary}")
    print("\npython -m etf_jax COMMAND --help says more")
    return 0
  if name not in COMMANDS:
    print(f"error: {unknown_name('COMMAND', name, COMMANDS)}", file=sys.stderr)
    return 2
  sys.argv = [name, *rest]
  runpy.run_module(f"etf_jax.{name}", run_name="__main__", alter_sys=True)
  return 0


if __name__ == "__main__":
  sys.exit(main())
