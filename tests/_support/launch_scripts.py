# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Runs the scripts of launch/, beside small programs that stand for others."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
RUN = ("--config=etf_jax:digits_lt", "--workdir=/mnt/etf_jax/runs/a b")
KWARGS = "--config.model.kwargs={'depth': \"$(HOME)\"}"


def bash(script, *arguments, **kwargs):
  return subprocess.run(
    ["bash", str(LAUNCH / script), *arguments],
    capture_output=True,
    text=True,
    check=False,
    timeout=60,
    **kwargs,
  )


def refusal(script, *arguments, **kwargs):
  """The one line with which a script refuses its settings."""
  done = bash(script, *arguments, **kwargs)
  assert done.returncode == 2
  assert re.fullmatch(r"error: .*\n", done.stderr)
  assert not done.stdout
  return done.stderr


def commands(text):
  """Return the words behind the + of each printed command, as lists."""
  # Bash's $'...' is a plain word to shlex; nothing here prints one.
  assert "$'" not in text
  return [
    shlex.split(line[2:]) for line in text.splitlines() if line[:2] == "+ "
  ]


def program(path, text):
  """Write a small program of Bash."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(f"#!/usr/bin/env bash\n{text}\n")
  path.chmod(0o755)


def path_with(folder):
  """The environment, with the programs of a folder before all others.

  Without what would change what a script does: a developer's VENV, or the job
  that runs these tests.
  """
  kept = {
    name: value
    for name, value in os.environ.items()
    if name not in ("VENV", "PYTHON") and not name.startswith("SLURM_")
  }
  return kept | {"PATH": f"{folder}:{os.environ['PATH']}"}


def make_checkout(folder):
  """A repository of its own, with the scripts in it."""
  shutil.copytree(LAUNCH, folder / "launch")
  git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b.c"]
  commit = ["commit", "--quiet", "--allow-empty", "--message=a"]
  for words in (["init", "--quiet"], commit, ["add", "."], commit):
    subprocess.run([*git, *words], check=True)
  # What a test does not expect must not reach the cloud.
  program(folder / "bin/gcloud", "echo not expected >&2; exit 99")
  return folder


def revision_of(checkout):
  """Its last commit, as the scripts name it."""
  return subprocess.run(
    ["git", "-C", checkout, "rev-parse", "--short=12", "HEAD"],
    capture_output=True,
    text=True,
    check=True,
  ).stdout.strip()


def worker_command(*words):
  """Return the words that a host is given."""
  return f"bash etf_jax_worker.sh {shlex.join(words)}"
