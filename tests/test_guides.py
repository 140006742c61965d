# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The guides: their commands and their code run.

Training is made short by fields that follow those of the guide; what belongs to
a cluster is a dry run, or is held against the commands that are.
"""

import configparser
import importlib
import importlib.util
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import guides
import jax
from launch_scripts import LAUNCH, ROOT, bash, commands
import pytest
import trained_runs

from etf_jax import benchmark, features, main
from etf_jax.runs import command_line

pytestmark = pytest.mark.slow

EXTRAS = configparser.ConfigParser()
EXTRAS.read(ROOT / "setup.cfg")
EXTRAS = EXTRAS["options.extras_require"]


@pytest.fixture(scope="module", autouse=True)
def _compiled_soon():
  """A few steps take less time than LLVM takes to make them fast."""
  jax.config.update("jax_disable_most_optimizations", True)
  yield
  jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def places(digits_dir, tmp_path_factory):
  """Values of the words in capitals, and the folder of the commands."""
  cwd = tmp_path_factory.mktemp("guides")
  images = trained_runs.photograph_folder()
  for name in ("configs", "launch"):
    (cwd / name).symlink_to(ROOT / name)
  return {
    "cwd": cwd,
    "digits": digits_dir,
    "words": {
      "DIR": images,
      "PHOTOGRAPHS": images / "train",
      "PHOTOGRAPH": next((images / "test" / "ant").iterdir()),
    },
  }


@pytest.mark.parametrize("name", guides.GUIDES)
def test_everything_in_it_runs(name, places, monkeypatch):
  monkeypatch.chdir(places["cwd"])
  guide, number = guides.section(name), 0
  for code, line in guides.steps(guide):
    text = line or code
    if text.startswith("DIR/"):  # a layout
      continue
    print(f"guide: {text}")
    for word, place in places["words"].items():
      text = re.sub(rf"\b{word}\b", str(place), text)
    if line is None:
      exec(text, {})
    else:
      rule_of(line)(shlex.split(text), guide, places)
    number += 1
  assert number >= 5
  if name == "images":
    assert len(guide.splitlines()) <= 120


@pytest.mark.parametrize("name", guides.GUIDES)
def test_its_links_lead_to_headings(name):
  page = ROOT / guides.GUIDES[name][0]
  links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
  for path, anchor in links:
    there = page.parent / path if path else page
    found = re.findall(r"^#+ (.*)", there.read_text(), re.MULTILINE)
    assert anchor in [
      re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
      for heading in found
    ], (name, path, anchor)


def rule_of(line):
  for pattern, rule in RULES:
    if re.match(pattern, line):
      return rule
  raise AssertionError(f"no rule says how to run this command: {line}")


def test_a_command_that_no_rule_knows_is_found():
  text = "\nsay:\n\n    make \\\n      all\n    pip install '.[cuda]'\n"
  (_, first), (_, second) = guides.steps(text)
  assert first == "make all"
  with pytest.raises(AssertionError, match="make all"):
    rule_of(first)
  assert rule_of(second) is install


# What the rules do with the words of a command.


def train(words, guide, places):
  """A run of a few steps."""
  arguments = words[words.index("etf_jax.main") + 1 :]
  assert (
    main.main(["main", *guides.shortened(arguments, places["digits"])]) == 0
  )


def one_of_several(words, guide, places):
  """A process that waits for others elsewhere is given their words."""
  command = command_line.parse_command(words[words.index("etf_jax.main") :])
  assert command.processes.num_processes > command.processes.process_id
  assert pathlib.Path(command.workdir).is_absolute()


def on_this_machine(words, guide, places):
  """The processes start, told who they are; and the run is one.

  Two that train together are in tests/training/test_processes.py.
  """
  middle = words.index("--")
  script, own = words[1:middle], words[middle + 4 :]
  python = [sys.executable, "-m", "etf_jax.main"]
  done = subprocess.run(
    [sys.executable, *script, "--", *python, *own, "--help"],
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    capture_output=True,
    text=True,
    check=False,
    timeout=300,
  )
  assert done.returncode == 0, done.stdout
  for number in range(2):
    assert f"--num_processes=2 --process_id={number}\n" in done.stdout
    assert f"[{number}] Trains the runs of an experiment file." in done.stdout
  train(words[middle + 1 :], guide, places)


def use(*more):
  """A command of the package, in this process."""

  def run(words, guide, places):
    module = importlib.import_module(words[2])
    if module.__name__ == "etf_jax.reporting":
      module = importlib.import_module("etf_jax.reporting.__main__")
    assert module.main([*words[3:], *more]) == 0

  return run


def extract(words, guide, places):
  """A function of a color for a network of PyTorch."""
  short = ("--model=trained_runs:mean_color", "--image_size=8")
  assert features.main([*words[3:], *short]) == 0


def serve(words, guide, places):
  """The page is there, until Ctrl-C."""
  process = subprocess.Popen(
    [sys.executable, *words[1:], "--port=0"],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    assert process.stdout.readline().startswith("serving on http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
  finally:
    process.kill()
    process.wait()
    process.stdout.close()


def compile_for_tpus(words, guide, places):
  """A small network in the place of the guide's."""
  small = ("--config.model.name=resnet8", "--config.batch_size=16")
  here = importlib.util.find_spec("libtpu") is not None
  code = benchmark.main([*words[3:], "--quick", *small])
  assert code == (0 if here else 2)


def dry_run(words, guide, places):
  """A script says what it would run, and the run it starts is one."""
  at = next(i for i, word in enumerate(words) if word.startswith("launch/"))
  script, arguments = words[at], words[at + 1 :]
  if words[0] == "sbatch":
    text = pathlib.Path(script).read_text()
    asked = re.findall(r"^#SBATCH (--[a-z-]+)", text, re.MULTILINE)
    assert {word.split("=")[0] for word in words[1:at]} <= set(asked)
  arguments = [word for word in arguments if word != "--dry_run"]
  done = bash(pathlib.Path(script).name, "--dry_run", *arguments)
  assert done.returncode == 0, done.stderr
  assert commands(done.stdout + done.stderr)
  own = [word for word in arguments if word.startswith("--config")]
  if "--stop" not in arguments:
    command_line.parse(["main", *own])
  for word in own:
    assert word in done.stdout


def elsewhere(words, guide, places):
  """Commands for Google and Kubernetes have names of other programs."""
  line = " ".join(words)
  same = {
    r"--zone=(\S+)": "--zone={} ",
    r"--location=(\S+)": "--zone={}-",
    r"gs://(\S+)": "--mount=gs://{} ",
    r"jobset-name=(\S+)": "jobset.sh --name={} ",
    r"delete jobset (\S+)": "jobset.sh --name={} ",
  }
  found = {r: m[1] for r in same if (m := re.search(r, line))}
  assert found, line
  for pattern, name in found.items():
    assert same[pattern].format(name) in guides.one_line(guide), line


def install(words, guide, places):
  """The extras are there."""
  (requirement,) = [w for w in words if not w.startswith("-")][-1:]
  name, extra = re.fullmatch(r"(\.|etf_jax)\[(\w+)\]", requirement).groups()
  assert extra in EXTRAS, name


def environment(words, guide, places):
  """That of the scripts."""
  assert words[1:] == ["-m", "venv", ".venv"]
  assert "venv=${VENV:-.venv}\n" in (LAUNCH / "gpu_node.sh").read_text()


def image(words, guide, places):
  """The image of this version, and the run in it."""
  (tag,) = [w for w in words if w.startswith("etf_jax:")]
  version, accelerator = tag.removeprefix("etf_jax:").split("-")
  changes = (ROOT / "CHANGELOG.md").read_text()
  assert f"\n## {version} - " in changes  # It is released.
  if words[1] == "build":
    assert f"ACCELERATOR={accelerator}" in words
    assert accelerator in EXTRAS
    assert pathlib.Path(words[words.index("--file") + 1]).exists()
  else:
    assert f"--tag {tag} " in guides.one_line(guide)
    command_line.parse(["main", *words[words.index(tag) + 1 :]])


RULES = (
  (r"python -m etf_jax\.main .*--coordinator_address=", one_of_several),
  (r"(\.venv/bin/)?python -m etf_jax\.main ", train),
  (r"python -m etf_jax\.(advise|evaluate|predict|export) ", use()),
  (r"python -m etf_jax\.features ", extract),
  (r"python -m etf_jax\.serve ", serve),
  (r"python -m etf_jax\.(reporting|theory_lab) ", use()),
  (r"python -m etf_jax\.reproduce .*--dry_run$", use()),
  (
    r"python -m etf_jax\.probe ",
    use("--epochs=1", "--per_class=6", "--images_at_once=100"),
  ),
  (
    r"python -m etf_jax\.benchmark losses ",
    use("--num_classes=20", "--feature_dim=32", "--blocks=1", "--seconds=0.01"),
  ),
  (r"python -m etf_jax\.benchmark compile ", compile_for_tpus),
  (r"python launch/local_processes\.py ", on_this_machine),
  (r"(bash|sbatch) .*launch/", dry_run),
  (r"(gcloud|kubectl) ", elsewhere),
  (r"docker (build|run) ", image),
  (r"python3 -m venv ", environment),
  (r"(\.venv/bin/)?pip install ", install),
)
