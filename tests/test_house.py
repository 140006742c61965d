# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The layout: imports, folders, sizes, and rules for docstrings and tests.

The lists of exceptions shrink: an exception that is no longer needed fails.
"""

import ast
import configparser
import functools
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "etf_jax"

# Lines of etf_jax, configs and launch, and of tests. Raise a number only in a
# commit that gives the reason in CHANGELOG.md; lower it after a cut.
MAX_LINES = {"etf_jax configs launch": 46_700, "tests": 39_200}
MAX_FILE_LINES = 400

MAX_MODULES = 12
CROWDED_FOLDERS: set[str] = set()

# A part imports itself and the parts before it; commands import all of these.
PARTS = ["errors", "configs", "arrays", "etf", "losses", "collapse", "runs"]
PARTS += [
  "data",
  "theory",
  "models",
  "nnx",
  "evaluation",
  "training",
  "reporting",
]
PARTS += ["sklearn", "serving", "probing", "reproductions", "benchmarks"]
COMMANDS = {"main", "prepare", "evaluate", "predict", "export", "convert"}
COMMANDS |= {"advise", "probe", "reproduce", "benchmark", "theory_lab", "serve"}
COMMANDS |= {"features"}
COMMANDS |= {"__init__", "__main__"}
IMPORTS_BACKWARD = {
  ("benchmarks", "main"),
}
ONLY_JAX_AND_NUMPY = {"arrays", "etf", "losses", "collapse"}

# Modules with a leading underscore that another package imports.
PRIVATE_IMPORTS: set[str] = set()

FOLDERS = {
  "etf_jax": {
    "sklearn",
    *(
      "etf",
      "losses",
      "collapse",
      "theory",
      "models",
      "runs",
      "data",
      "training",
    ),
    *("evaluation", "reporting", "serving", "probing", "reproductions"),
    "benchmarks",
  },
  "etf_jax/data": {
    *("catalog", "sources", "prepare", "decode", "augment", "feeds"),
  },
  "etf_jax/training": {"feeds", "checkpoints", "records", "parallel"},
  "etf_jax/theory": {"laboratory"},
  "etf_jax/reporting": {"figures"},
}

QUESTIONS = {"What", "Whether", "How", "Where", "Which", "Why", "Of"}

CLOCKS = {"time", "monotonic", "perf_counter", "process_time"}


def found(folder, pattern="*.py"):
  """The files below a folder; there must be some."""
  files = sorted(
    path for path in folder.rglob(pattern) if "__pycache__" not in path.parts
  )
  assert files, f"no {pattern} below {folder}"
  return files


@functools.cache
def parsed(path):
  return ast.parse(path.read_text())


def part_of(path):
  return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
  """Dotted names that a file imports: modules and what it takes from them."""
  for node in ast.walk(parsed(path)):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path} uses a relative import"
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of_parts():
  """Pairs of different parts of which the first imports the second."""
  parts = {part_of(path) for path in found(PACKAGE)}
  for path in found(PACKAGE):
    for name in imported(path):
      root, *rest = name.split(".")
      if root == "etf_jax" and rest and rest[0] in parts - {part_of(path)}:
        yield part_of(path), rest[0]


def allowed(part):
  if part in COMMANDS:
    return set(PARTS)
  assert part in PARTS, f"etf_jax/{part} belongs to no layer"
  return set(PARTS[: PARTS.index(part)])


def test_imports_run_one_way():
  pairs = set(imports_of_parts())
  assert pairs
  assert {(a, b) for a, b in pairs if b not in allowed(a)} == IMPORTS_BACKWARD


def test_losses_and_geometry_import_jax_and_numpy_only():
  paths = [p for p in found(PACKAGE) if part_of(p) in ONLY_JAX_AND_NUMPY]
  assert {part_of(path) for path in paths} == ONLY_JAX_AND_NUMPY
  for path in paths:
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots <= {"jax", "numpy", "etf_jax"} | sys.stdlib_module_names, path


def test_private_modules_stay_in_their_package():
  modules = {path.with_suffix(""): path for path in found(PACKAGE, "_*.py")}
  private = {
    ".".join(name.relative_to(ROOT).parts): path.parent
    for name, path in modules.items()
    if not name.name.startswith("__")
  }
  outside = {
    module.removeprefix("etf_jax.")
    for path in found(PACKAGE)
    for name in imported(path)
    for module, folder in private.items()
    if f"{name}.".startswith(f"{module}.") and folder not in path.parents
  }
  assert outside == PRIVATE_IMPORTS


def test_folders_have_few_modules():
  outside = {PACKAGE / f"{name}.py" for name in COMMANDS}
  folders = [
    path.parent
    for path in found(PACKAGE)
    if path.name != "__init__.py" and path not in outside
  ]
  crowded = {
    str(folder.relative_to(ROOT))
    for folder in set(folders)
    if folders.count(folder) > MAX_MODULES
  }
  assert crowded == CROWDED_FOLDERS


def test_folders_are_those_of_the_layout():
  folders = {path.parent for path in found(PACKAGE)} - {PACKAGE}
  for folder in folders:
    above = str(folder.parent.relative_to(ROOT))
    assert folder.name in FOLDERS.get(above, ()), folder


def test_wheel_holds_every_folder():
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  listed = set(setup["options"]["packages"].split())
  folders = {path.parent for path in found(PACKAGE)}
  expected = {".".join(f.relative_to(ROOT).parts) for f in folders}
  assert listed == expected | {"etf_jax._configs"}


def test_no_file_is_long():
  for path in [*found(PACKAGE), *found(ROOT / "configs")]:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES, path


@pytest.mark.parametrize("folders", MAX_LINES)
def test_the_whole_does_not_grow(folders):
  lines = 0
  for folder in folders.split():
    pattern = "*" if folder == "launch" else "*.py"
    files = [path for path in found(ROOT / folder, pattern) if path.is_file()]
    lines += sum(len(path.read_text().splitlines()) for path in files)
  assert lines <= MAX_LINES[folders]


def test_docstrings_begin_with_no_question():
  kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
  docstrings = [
    (path, ast.get_docstring(node))
    for path in (*found(PACKAGE), *found(ROOT / "tests"))
    for node in ast.walk(parsed(path))
    if isinstance(node, kinds)
  ]
  docstrings = [(path, text) for path, text in docstrings if text]
  assert docstrings
  asking = [text for _, text in docstrings if text.split()[0] in QUESTIONS]
  assert asking == []


def reads_clock(node, names=frozenset()):
  """Return True if an expression calls a clock or holds one of the names."""
  return any(
    (
      isinstance(part, ast.Call)
      and getattr(part.func, "attr", getattr(part.func, "id", "")) in CLOCKS
    )
    or (isinstance(part, ast.Name) and part.id in names)
    for part in ast.walk(node)
  )


def seconds_asserted(tree):
  """Return the lines that assert on a difference of clocks.

  A deadline of a loop that waits is no such assertion.
  """
  lines = []
  for function in ast.walk(tree):
    if not isinstance(function, ast.FunctionDef | ast.Module):
      continue
    body = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
    times = set()
    for _ in range(2):  # a difference of differences
      for node in body:
        if (
          isinstance(node, ast.Assign)
          and isinstance(node.value, ast.Call | ast.BinOp)
          and not isinstance(getattr(node.value, "op", None), ast.Add)
          and reads_clock(node.value, times)
        ):
          times |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    lines += [
      node.lineno
      for node in body
      if isinstance(node, ast.Assert) and reads_clock(node.test, times)
    ]
  return sorted(set(lines))


@pytest.mark.parametrize(
  ("code", "lines"),
  [
    ("start = time.monotonic()\nassert time.monotonic() - start < 2", [2]),
    ("a = perf_counter()\nb = perf_counter() - a\nassert b < 1", [3]),
    ("end = time.monotonic() + 9\nassert found", []),
    ("assert row['seconds'] == 3", []),
  ],
)
def test_seconds_asserted(code, lines):
  assert seconds_asserted(ast.parse(code)) == lines


def test_no_test_asserts_on_seconds():
  for path in found(ROOT / "tests"):
    assert seconds_asserted(parsed(path)) == [], path
