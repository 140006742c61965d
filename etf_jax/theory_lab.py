# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
r"""Draws the theory: solved models beside closed forms, as figures and a page.

In use::

    python -m etf_jax.theory_lab
    python -m etf_jax.theory_lab phase_diagram cosines --out=figures
    python -m etf_jax.theory_lab my_counts --counts=5000,2997,1796,1077,645
    python -m etf_jax.theory_lab my_counts --counts_file=runs/my_run/seed=0
    python -m etf_jax.theory_lab my_counts --counts=500,50,50 --lambda_z=0.01

Figures: phase_diagram, cosines, pull_push, regularity, large_sample, simplex,
cones, my_counts. Without a name all are drawn, my_counts only if there are
counts. Writes a PNG each and index.html, which needs no network.
"""

import argparse
from collections.abc import Callable, Sequence
import difflib
import json
import math
from pathlib import Path
import sys
import time
from typing import Any

import jax
import numpy as np

import etf_jax
from etf_jax.errors import InputError
from etf_jax.runs import files
from etf_jax.theory import laboratory

_TITLE = "Neural collapse on imbalanced data: theory beside solutions"
_LEAD = (
  "What the theory says about a learned and a fixed classifier, each number"
  " computed here from solved models and compared with the closed forms."
)
# Angles of the table of regularity numbers, radians.
_ANGLES = (0.1, 0.5, 1.0, 1.5)
# Where float64 still tells a count of 1 from none in their sum.
_MOST = 1e15
_SECONDS_BETWEEN_LINES = 5.0


def _cosines() -> Any:
  return laboratory.classifier_cosines(np.geomspace(1, 1000, 121))


def _large_sample() -> Any:
  return laboratory.large_sample(np.geomspace(10, 1e24, 93))


def _phase_diagram() -> Any:
  return laboratory.phase_diagram(
    np.geomspace(3e-4, 2e-2, 32), np.geomspace(110, 10000, 17)
  )


def _regularity() -> Any:
  angles = np.union1d(np.linspace(0.01, 2.5, 250), _ANGLES)
  return laboratory.regularity_numbers(angles, marked=_ANGLES)


# What computes the numbers of a figure; `reporting` has a function of the same
# name that draws them.
FIGURES: dict[str, Callable[[], Any]] = {
  "phase_diagram": _phase_diagram,
  "cosines": _cosines,
  "pull_push": laboratory.pull_push_fields,
  "regularity": _regularity,
  "large_sample": _large_sample,
  "simplex": laboratory.tetrahedron,
  "cones": laboratory.cones,
}


def main(argv: Sequence[str] | None = None) -> int:
  """Run the command and returns its exit code."""
  options = _parser().parse_args(argv)
  started = time.perf_counter()
  # Small problems in float64: no accelerator is faster, and not all have it.
  cpu = jax.local_devices(backend="cpu")[0]
  try:
    counts = _counts(options)
    names = _names(options, counts)
    lambda_z = _positive("--lambda_z", options.lambda_z)
    lambda_b = _positive("--lambda_b", options.lambda_b)
    out = files.out_folder(options.out)
    # Not before the arguments are known to be right: matplotlib is slow.
    from etf_jax.reporting import _theory_shown, theory_page

    with jax.default_device(cpu):
      shown = []
      for place, name in enumerate(names):
        _progress(f"{place + 1} of {len(names)}: {name}")
        if name == "my_counts":
          sweep = _sweep(counts, lambda_z, lambda_b, options.exact)
          shown += _my_counts(sweep, out)
        else:
          shown.append(getattr(_theory_shown, name)(FIGURES[name]()))
      for figure in shown:
        if figure.error:
          print(f"{figure.name}: {figure.error}")
      seconds = time.perf_counter() - started
      facts = [("figures", f"{len(shown)}"), ("etf_jax", etf_jax.__version__)]
      facts.append(("computed in", f"{seconds:.0f} s"))
      *pictures, page = theory_page.write(
        shown, out, title=_TITLE, lead=_LEAD, facts=facts
      )
  except InputError as error:
    print(f"error: {error}", file=sys.stderr)
    return 2
  seconds = time.perf_counter() - started
  names = ", ".join(path.name for path in pictures)
  print(f"wrote {page}, and beside it {names}, in {seconds:.0f} s")
  return 0


def _sweep(
  counts: np.ndarray,
  lambda_z: float | None,
  lambda_b: float | None,
  exact: bool,
) -> Any:
  """Solve for the user's counts, with a line now and then."""
  grid = laboratory.default_grid(counts) if lambda_z is None else [lambda_z]
  started = said = time.perf_counter()

  def progress(done: int) -> None:
    nonlocal said
    now = time.perf_counter()
    if now - said > _SECONDS_BETWEEN_LINES and done < len(grid):
      said = now
      _progress(
        f"my_counts: {done} of {len(grid)} values of lambda_Z solved in"
        f" {now - started:.0f} s"
      )

  try:
    return laboratory.sweep_counts(
      counts, grid, lambda_b, exact=exact, progress=progress
    )
  except RuntimeError as error:
    edge = math.sqrt(counts.min()) / counts.sum()
    raise InputError(
      f"my_counts could not be solved: {error}. Here that means a larger"
      f" --lambda_z: sqrt(n)/N of the smallest class is {edge:.3g}"
    ) from error


def _my_counts(sweep: Any, out: Path) -> list[Any]:
  """Print the table, writes the CSV and returns the figures."""
  from etf_jax.reporting import _theory_counts

  print(_theory_counts.text(sweep))
  path = out / "my_counts.csv"
  files.write(path, _theory_counts.as_csv(sweep))
  print(f"all classes, every lambda_Z: {path}")
  return list(_theory_counts.figures(sweep))


def _progress(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _names(options: argparse.Namespace, counts: np.ndarray | None) -> list[str]:
  known = [*FIGURES, "my_counts"]
  for name in options.figures:
    if name not in known:
      near = difflib.get_close_matches(name, known, 1, 0)[0]
      raise InputError(
        f"unknown figure {name!r}; did you mean {near!r}? (known:"
        f" {', '.join(known)})"
      )
  names = [name for name in known if name in options.figures]
  if not names:
    names = known if counts is not None else list(FIGURES)
  if counts is None:
    if "my_counts" in names:
      raise InputError(
        "my_counts needs class counts: add --counts=5000,500,50 or"
        " --counts_file=class_counts.json"
      )
    for flag in ("lambda_z", "lambda_b", "exact"):
      if getattr(options, flag):
        raise InputError(
          f"--{flag} is for my_counts: add --counts or --counts_file"
        )
  elif "my_counts" not in names:
    raise InputError(
      "--counts and --counts_file are for my_counts: name that figure too, or"
      " none"
    )
  return names


def _counts(options: argparse.Namespace) -> np.ndarray | None:
  """The class counts of the command line, checked."""
  if options.counts is not None and options.counts_file is not None:
    raise InputError("give --counts or --counts_file, not both")
  if options.counts is not None:
    return _checked(options.counts.split(","), "--counts")
  if options.counts_file is None:
    return None
  path = Path(options.counts_file)
  if path.is_dir():  # of a run
    path /= "class_counts.json"
  try:
    text = path.read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    said = getattr(error, "strerror", None) or "it is not text"
    raise InputError(f"cannot read --counts_file={path}: {said}") from error
  if text.lstrip()[:1] not in ("[", "{"):
    return _checked(text.replace(",", " ").split(), path)
  try:
    held = json.loads(text)
  except json.JSONDecodeError as error:
    raise InputError(f"{path} is not JSON: {error}") from error
  if not isinstance(held, list):
    raise InputError(f"{path} must hold a list of counts, one for each class")
  return _checked(held, path)


def _checked(values: Sequence[object], where: str | Path) -> np.ndarray:
  counts = []
  for place, value in enumerate(values):
    number = _number(value)
    if number is None or number > _MOST:
      raise InputError(
        f"{where}: the count of class {place} must be a positive number, at"
        f" most {_MOST:g}, got {str(value).strip()[:40]!r}"
      )
    counts.append(number)
  if len(counts) < 2:
    raise InputError(
      f"{where} must name the counts of at least two classes, got {len(counts)}"
    )
  return np.array(counts)


def _number(value: object) -> float | None:
  """A finite positive number, or None."""
  if isinstance(value, bool) or not isinstance(value, str | int | float):
    return None
  try:
    number = float(value)
  except (ValueError, OverflowError):
    return None
  return number if math.isfinite(number) and number > 0 else None


def _positive(flag: str, text: str | None) -> float | None:
  if text is None:
    return None
  number = _number(text)
  if number is None:
    raise InputError(f"{flag} must be a positive number, got {text!r}")
  return number


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="python -m etf_jax.theory_lab", description=__doc__.splitlines()[0]
  )
  parser.add_argument(
    "figures",
    nargs="*",
    metavar="FIGURE",
    help=f"{', '.join(FIGURES)}, my_counts (default: all, my_counts only if"
    " there are counts)",
  )
  parser.add_argument(
    "--out", default="theory_lab", help="the folder to write to"
  )
  parser.add_argument(
    "--counts", help="samples of each class, with commas between"
  )
  parser.add_argument(
    "--counts_file",
    help="the same in a file: a JSON list or lines of text; or a run's"
    " directory",
  )
  parser.add_argument(
    "--lambda_z",
    help="root of lambda_W times lambda_H (default: a range in which the"
    " classes collapse)",
  )
  parser.add_argument(
    "--lambda_b", help="weight of the bias's penalty (default: no bias)"
  )
  parser.add_argument(
    "--exact",
    action="store_true",
    help="do not merge counts where more than 100 are different; slow",
  )
  return parser


if __name__ == "__main__":
  sys.exit(main())
