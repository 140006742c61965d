# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A release: sdist and wheel hold what they should, and the wheel works."""

import configparser
import email
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import guides
from packaging.version import Version
import pytest

import etf_jax

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
# What a release is made of; a checkout holds more.
SOURCES = ("CHANGELOG.md", "LICENSE", "README.md", "setup.cfg")
SOURCES += ("pyproject.toml",)
NAME = f"etf_jax-{etf_jax.__version__}"
BUILD = (sys.executable, "-m", "build", "--no-isolation")
USE = """\
import etf_jax
from etf_jax import losses, simplex_etf
from etf_jax.runs import command_line
config, _ = command_line.parse(["", "--config=etf_jax:cifar100_lt"])
print(etf_jax.__file__, etf_jax.__version__, config.name, config.model.width)
"""


def build(source, out, *options):
  """Build with the setuptools that is here."""
  done = subprocess.run(
    [*BUILD, *options, "--outdir", out, source],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
  """A folder with the sdist, the wheel made of it, and one of the source."""
  folder = tmp_path_factory.mktemp("release")
  source = folder / "source"
  source.mkdir()
  for name in SOURCES:
    shutil.copy(ROOT / name, source)
  for name in ("configs", "etf_jax", "tests"):
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / name, source / name, ignore=ignored)
  build(source, folder)
  build(source, folder / "direct", "--wheel")
  return folder


@pytest.fixture(scope="module")
def wheel(built):
  return zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl")


@pytest.fixture(scope="module")
def installed(built, wheel):
  """Folder into which pip has put it, alone."""
  pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
  pip += ["--no-index", "--no-compile", "--disable-pip-version-check"]
  site = built / "site"
  subprocess.run([*pip, "--target", site, wheel.filename], check=True)
  return site


def run(site, *arguments):
  """Python with that wheel, in a folder where nothing else is."""
  return subprocess.run(
    [sys.executable, *arguments],
    cwd=site.parent,
    env=os.environ | {"PYTHONPATH": str(site)},
    capture_output=True,
    text=True,
    check=False,
  )


def modules_of_the_checkout():
  """Paths in a wheel of all code of the package."""
  files = (
    path
    for pattern in ("*.py", "*.pyi", "*.j2", "web.*", "py.typed")
    for path in (ROOT / "etf_jax").rglob(pattern)
    if path.parent.name != "__pycache__"
  )
  found = {str(path.relative_to(ROOT)): path for path in files}
  configs = (ROOT / "configs").glob("*.py")
  return found | {f"etf_jax/_configs/{path.name}": path for path in configs}


def test_the_wheel_holds_the_code_and_the_license(wheel):
  expected = modules_of_the_checkout()
  held = set(wheel.namelist())
  facts = {name for name in held if name.startswith(f"{NAME}.dist-info/")}
  assert held - facts == set(expected)
  for name, path in expected.items():
    assert wheel.read(name) == path.read_bytes()
  (license_,) = [name for name in facts if name.endswith("/LICENSE")]
  assert wheel.read(license_) == (ROOT / "LICENSE").read_bytes()


def test_the_sdist_makes_the_same_wheel(built, wheel):
  direct = zipfile.ZipFile(built / "direct" / pathlib.Path(wheel.filename).name)
  assert set(direct.namelist()) == set(wheel.namelist())
  for name in wheel.namelist():
    if not name.endswith("/RECORD"):
      assert direct.read(name) == wheel.read(name), name


def test_the_sdist_is_of_one_folder(built):
  with tarfile.open(built / f"{NAME}.tar.gz") as archive:
    held = set(archive.getnames())
  assert all(name.split("/")[0] == NAME for name in held)
  needed = {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"}
  assert {f"{NAME}/{name}" for name in needed} <= held


def test_its_facts_are_those_of_the_checkout(wheel):
  text = wheel.read(f"{NAME}.dist-info/METADATA").decode()
  facts = email.message_from_string(text)
  assert facts["Version"] == etf_jax.__version__
  assert facts["License"] == "Apache-2.0"
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  assert facts["Requires-Python"] == setup["options"]["python_requires"]
  extras = set(setup["options.extras_require"])
  assert set(facts.get_all("Provides-Extra")) == extras
  readme = (ROOT / "README.md").read_text()
  assert facts.get_payload().strip() == readme.strip()


def test_the_changelog_is_of_this_version():
  text = (ROOT / "CHANGELOG.md").read_text()
  headings = re.findall(r"^## (.*)", text, re.MULTILINE)
  assert headings[0] == "Unreleased"
  version, date = headings[1].split(" - ")
  # Behind a release its successor is developed, and runs tell the two apart.
  here, released = Version(etf_jax.__version__), Version(version)
  assert here == released or (here.is_devrelease and here > released)
  assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)


def test_what_was_installed_runs_without_the_checkout(installed):
  done = run(installed, "-c", USE)
  assert done.returncode == 0, done.stderr
  place, *said = done.stdout.split()
  assert pathlib.Path(place) == installed / "etf_jax" / "__init__.py"
  assert said == [etf_jax.__version__, "cifar100_lt", "2"]


def test_it_trains(installed, digits_dir):
  fields = [*guides.SHORT, f"--config.data.data_dir={digits_dir}"]
  fields += ["--config.report.html=True", "--workdir=run"]
  done = run(
    installed, "-m", "etf_jax.main", "--config=etf_jax:digits_lt", *fields
  )
  assert done.returncode == 0, done.stderr
  made = {path.name for path in (installed.parent / "run").iterdir()}
  assert {"metrics.jsonl", "checkpoints", "best", "report.html"} <= made


def test_its_command_answers(installed):
  done = run(installed, "-m", "etf_jax.main", "--config=etf_jax:digits_ltt")
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert run(installed, "-m", "etf_jax.main", "--help").returncode == 0
