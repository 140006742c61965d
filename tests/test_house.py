# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The layout: who may import whom, and what a wheel holds."""

import ast
import configparser
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "etf_jax"

# Each part may import those named here, itself, and nothing else of etf_jax.
BOTTOM = {"errors", "configs"}
LIBRARY = {"arrays", "etf", "losses", "collapse"}
COMMANDS = {"main", "prepare", "benchmark", "theory_lab", "convert"}
COMMANDS |= {"reproduce", "benchmarks"}
COMMANDS |= {"evaluate", "predict", "export", "probe"}
MAY_IMPORT = {
  "errors": set(),
  "configs": set(),
  "arrays": set(),
  "etf": {"arrays"},
  "losses": {"arrays", "etf"},
  "collapse": {"arrays"},
  "theory": BOTTOM | LIBRARY | {"runs"},
  "__init__": LIBRARY | {"serving"},
  "runs": BOTTOM,
  "reporting": BOTTOM | {"evaluation", "runs"},
  "data": BOTTOM | {"runs"},
  "models": BOTTOM | LIBRARY | {"runs"},
  "evaluation": BOTTOM | LIBRARY | {"data", "models", "runs"},
  "probing": BOTTOM | LIBRARY | {"data", "reporting", "runs", "serving"},
  "training": BOTTOM
  | LIBRARY
  | {"data", "models", "reporting", "runs", "evaluation"},
  "serving": BOTTOM
  | {"data", "models", "reporting", "runs", "evaluation", "training"},
  "reproductions": BOTTOM | {"data", "reporting", "runs", "training"},
}
# Inside training, from the bottom up: each may import what stands before it.
TRAINING = [
  {"digests", "durations", "methods", "sharding", "distributed"},
  {"compilation", "packing", "saved"},
  {"calls", "streaming", "sweeps"},
  {"objectives", "memory", "joining"},
  {"optimizer", "state"},
  {"step", "checkpoint", "init_from", "feeding"},
  {"two_stage"},
  {"plan", "window"},
  {"experiment"},
  {"records", "profile"},
  {"loop"},
  {"runs"},
]
ONLY_JAX_AND_NUMPY = (
  "arrays.py",
  "etf/*.py",
  "losses/*.py",
  "collapse/*.py",
)
STANDALONE = {"jax", "numpy", "etf_jax"}


def imported(path):
  """Dotted names of the modules that a file imports."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path} uses a relative import"
      yield node.module
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts(path):
  """The names below etf_jax that a file imports, split at the dots."""
  for name in imported(path):
    root, *rest = name.split(".")
    if root == "etf_jax" and rest:
      yield rest


def source_files():
  return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize(
  "path", source_files(), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_run_upward(path):
  part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
  if part in COMMANDS:
    return
  allowed = MAY_IMPORT[part] | {part}
  names = {name[0] for name in parts(path)} - {"__version__"}
  # `from etf_jax import simplex_etf` names what losses and etf re-export.
  assert names - {"simplex_etf"} <= allowed


def test_imports_run_upward_inside_training():
  rank = {name: i for i, level in enumerate(TRAINING) for name in level}
  folder = PACKAGE / "training"
  assert {p.stem for p in folder.glob("*.py")} == {"__init__"} | set(rank)
  for name in rank:
    for part in parts(folder / f"{name}.py"):
      if part[0] == "training" and len(part) > 1:
        assert rank[part[1]] < rank[name], f"{name} imports {part[1]}"


def test_losses_and_geometry_import_jax_and_numpy_only():
  import sys

  for pattern in ONLY_JAX_AND_NUMPY:
    for path in PACKAGE.glob(pattern):
      if path.name == "__main__.py":
        continue
      roots = {name.split(".")[0] for name in imported(path)}
      assert roots <= STANDALONE | sys.stdlib_module_names, path


def test_wheel_holds_every_folder():
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  listed = set(setup["options"]["packages"].split())
  folders = {PACKAGE} | {path.parent for path in source_files()}
  expected = {".".join(f.relative_to(ROOT).parts) for f in folders}
  assert listed == expected | {"etf_jax._configs"}


def test_no_file_is_long():
  for path in [*source_files(), *ROOT.glob("configs/*.py")]:
    assert len(path.read_text().splitlines()) <= 400, path
