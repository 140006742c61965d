# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Draw the theory: solved models beside closed forms, as figures and a page.

In use::

    python -m etf_jax.theory_lab
    python -m etf_jax.theory_lab phase_diagram cosines --output=figures
    python -m etf_jax.theory_lab my_counts --counts=5000,2997,1796,1077,645
    python -m etf_jax.theory_lab my_counts --counts_file=runs/my_run/seed=0
    python -m etf_jax.theory_lab my_counts --counts=500,50,50 --lambda_z=0.01

Figures: phase_diagram, cosines, pull_push, regularity, large_sample, simplex,
cones, my_counts. Without a name all are drawn, my_counts only if there are
counts. Writes a PNG each and index.html, which needs no network.
"""

import argparse
from collections.abc import Callable, Sequence
import sys
import time
from typing import Any

import jax
import numpy as np

import etf_jax
from etf_jax.errors import InputError, unknown_name
from etf_jax.runs import console, files
from etf_jax.theory import laboratory

_LEAD = (
  "What the theory says about a learned and a fixed classifier, each number"
  " computed here from solved models and compared with the closed forms."
)
# Angles of the table of regularity numbers, radians.
_ANGLES = (0.1, 0.5, 1.0, 1.5)
# Functions that compute the numbers of a figure; `reporting.figures.theory` has
# one of the same name that describes and draws them.
FIGURES: dict[str, Callable[[], Any]] = {
  "phase_diagram": lambda: laboratory.phase_diagram(
    np.geomspace(3e-4, 2e-2, 32), np.geomspace(110, 10000, 17)
  ),
  "cosines": lambda: laboratory.classifier_cosines(np.geomspace(1, 1000, 121)),
  "pull_push": laboratory.pull_push_fields,
  "regularity": lambda: laboratory.regularity_numbers(
    np.union1d(np.linspace(0.01, 2.5, 250), _ANGLES), marked=_ANGLES
  ),
  "large_sample": lambda: laboratory.large_sample(np.geomspace(10, 1e24, 93)),
  "simplex": laboratory.tetrahedron,
  "cones": laboratory.cones,
}
_FLAGS = {
  "output": "folder to write to (default: theory_lab)",
  "counts": "samples of each class, with commas between",
  "counts_file": "a JSON list or text that holds the counts, or a run's folder",
  "lambda_z": "root of lambda_W lambda_H (default: a range that collapses)",
  "lambda_b": "weight of the bias's penalty (default: no bias)",
}


def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and return its exit code."""
  options = parser().parse_args(argv)
  started = time.perf_counter()
  try:
    names = _names(options)
    counts = laboratory.read_counts(options.counts, options.counts_file)
    lambda_z, lambda_b = (
      laboratory.read_positive(f"--{flag}", getattr(options, flag))
      for flag in ("lambda_z", "lambda_b")
    )
    out = files.out_folder(options.output)
    # Not before the arguments are known to be right: matplotlib is slow.
    from etf_jax.reporting import page
    from etf_jax.reporting.figures import theory, theory_counts

    shown = []
    # Small problems in float64: no accelerator is faster, and not all have it.
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
      for place, name in enumerate(names):
        print(f"{place + 1} of {len(names)}: {name}", file=sys.stderr)
        if name != "my_counts" or counts is None:
          shown.append(getattr(theory, name)(FIGURES[name]()))
          continue
        sweep = _sweep(counts, lambda_z, lambda_b, options.exact)
        print(theory_counts.as_text(sweep))
        files.write(out / "my_counts.csv", theory_counts.as_csv(sweep))
        print(f"all classes, every lambda_Z: {out / 'my_counts.csv'}")
        shown += theory.my_counts(sweep)
    for figure in shown:
      if figure.error:
        print(f"{figure.name}: {figure.error}")
    seconds = f"{time.perf_counter() - started:.0f} s"
    facts = {"figures": str(len(shown)), "etf_jax": etf_jax.__version__}
    index, *pictures = page.write(
      out / "index.html",
      "Neural collapse on imbalanced data: theory beside solutions",
      [block for figure in shown for block in figure.blocks()],
      eyebrow="etf_jax theory",
      lead=_LEAD,
      facts=[*facts.items(), ("computed in", seconds)],
      figures_folder=out,
    )
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  beside = ", ".join(path.name for path in pictures)
  print(f"wrote {index}, and beside it {beside}, in {seconds}")
  return 0


def _sweep(
  counts: np.ndarray,
  lambda_z: float | None,
  lambda_b: float | None,
  exact: bool,
) -> laboratory.CountsSweep:
  grid = laboratory.default_grid(counts) if lambda_z is None else [lambda_z]
  with console.Progress("my_counts", len(grid), unit="lambda_Z") as progress:
    try:
      return laboratory.sweep_counts(
        counts, grid, lambda_b, exact=exact, progress=progress.update
      )
    except RuntimeError as error:
      edge = np.sqrt(counts.min()) / counts.sum()
      raise InputError(
        f"--lambda_z={grid[0]:.3g}: {error}; give a larger one, sqrt(n)/N of"
        f" the smallest class is {edge:.3g}"
      ) from error


def _names(options: argparse.Namespace) -> list[str]:
  known = [*FIGURES, "my_counts"]
  for name in options.figures:
    if name not in known:
      raise unknown_name("FIGURE", name, known)
  has_counts = bool(options.counts is not None or options.counts_file)
  names = [name for name in known if name in options.figures]
  names = names or known[: None if has_counts else -1]
  if "my_counts" in names and not has_counts:
    raise InputError(
      "my_counts: has no class counts; add --counts=5000,500,50 or"
      " --counts_file=class_counts.json"
    )
  for flag in ("counts", "counts_file", "lambda_z", "lambda_b", "exact"):
    if getattr(options, flag) and "my_counts" not in names:
      raise InputError(
        f"--{flag}: is for my_counts; add --counts or --counts_file, and"
        " my_counts where figures are named"
      )
  return names


def parser() -> argparse.ArgumentParser:
  """Create the parser of the command line."""
  result = argparse.ArgumentParser(
    prog="python -m etf_jax.theory_lab",
    description=(__doc__ or "").splitlines()[0],
  )
  names = f"{', '.join(FIGURES)}, my_counts (default: all that have numbers)"
  result.add_argument("figures", nargs="*", metavar="FIGURE", help=names)
  for flag, text in _FLAGS.items():
    default = "theory_lab" if flag == "output" else None
    result.add_argument(f"--{flag}", default=default, help=text)
  result.add_argument(
    "--exact",
    action="store_true",
    help="do not merge counts where more than 100 are different; slow",
  )
  return result


if __name__ == "__main__":
  sys.exit(main())
