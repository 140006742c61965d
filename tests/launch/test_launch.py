# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The launch scripts: what they would run, and what they refuse.

No GPU and no cluster is needed: small programs of the test stand for theirs.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

from launch_scripts import (
  KWARGS,
  LAUNCH,
  RUN,
  bash,
  commands,
  path_with,
  program,
  refusal,
)
import pytest

from etf_jax.training.parallel import distributed

SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])


def test_shellcheck_finds_nothing():
  shellcheck = pathlib.Path(sys.executable).parent / "shellcheck"
  done = subprocess.run(
    [shellcheck if shellcheck.exists() else "shellcheck", *SCRIPTS],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_what_it_is_and_stops_at_errors(script):
  text = script.read_text()
  assert text.startswith("#!/usr/bin/env bash\n# ")
  assert "\nset -euo pipefail\n" in text
  assert os.access(script, os.X_OK)
  done = subprocess.run(["bash", "-n", script], capture_output=True, check=True)
  assert not done.stderr


def test_all_know_the_exit_code_of_a_preempted_run():
  code = distributed.EXIT_PREEMPTED
  for name in ("tpu_pod.sh", "slurm.sbatch"):
    found = re.findall(
      r"^readonly preempted=(\d+)", (LAUNCH / name).read_text(), re.M
    )
    assert found == [str(code)]
  (rule,) = re.findall(
    r"onExitCodes:.*?values: \[(\d+)\]",
    (LAUNCH / "gke_jobset.yaml").read_text(),
    re.DOTALL,
  )
  assert rule == str(code)
  found = re.search(r"lost=(\d+)", (LAUNCH / "tpu_pod.sh").read_text())
  assert found[1] == str(distributed.EXIT_LOST)


# One node.


def test_a_node_runs_one_process(tmp_path):
  done = bash(
    "gpu_node.sh",
    *("--gpus=0,3", "--dry_run", "--", *RUN, KWARGS),
    env=os.environ | {"VENV": str(tmp_path / "env"), "PYTHON": "python3.12"},
  )
  assert done.returncode == 0, done.stderr
  python = str(tmp_path / "env/bin/python")
  train = [python, "-m", "etf_jax.main", *RUN, KWARGS]
  assert commands(done.stdout) == [
    ["python3.12", "-m", "venv", str(tmp_path / "env")],
    [python, "-m", "pip", "install", "--quiet", "--editable", ".[cuda]"],
    ["exec", "env", "CUDA_VISIBLE_DEVICES=0,3", *train],
  ]


def test_a_node_passes_on_the_exit_code_and_the_arguments(tmp_path):
  program(tmp_path / "nvidia-smi", "echo 'GPU 0: of the test'")
  program(
    tmp_path / "env/bin/python",
    'printf "<%s>" "$@" "$CUDA_VISIBLE_DEVICES"\nexit 75',
  )
  done = bash(
    "gpu_node.sh",
    *("--gpus=1", "--", *RUN, KWARGS),
    env=path_with(tmp_path) | {"VENV": str(tmp_path / "env")},
  )
  assert done.returncode == 75
  words = ["-m", "etf_jax.main", *RUN, KWARGS, "1"]
  assert done.stdout.endswith("".join(f"<{word}>" for word in words))
  assert len(commands(done.stdout)) == 1  # the environment is there already


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--gpus=a", "--", *RUN], "--gpus='a' must be numbers of GPUs"),
    (["--dry_run"], "no --config=FILE was given after --"),
    (RUN, "is not a setting; arguments of training follow after --"),
  ],
)
def test_a_node_refuses(arguments, message):
  assert message in refusal("gpu_node.sh", *arguments)


def test_a_node_without_gpus_is_refused(tmp_path):
  program(tmp_path / "nvidia-smi", "exit 9")
  line = refusal("gpu_node.sh", "--", *RUN, env=path_with(tmp_path))
  assert "nvidia-smi finds no GPU here" in line


# SLURM.


def test_what_the_batch_script_asks_of_slurm():
  text = (LAUNCH / "slurm.sbatch").read_text()
  head = text[: text.index("\nset -euo")]
  # SLURM reads directives up to the first command only.
  assert text.count("\n#SBATCH") == head.count("\n#SBATCH")
  asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", head, re.M))
  assert len(asked) == head.count("\n#SBATCH")
  assert asked.keys() >= {"requeue", "nodes", "gpus-per-node", "output"}
  assert asked["ntasks-per-node"] == "1"
  # Restarts must add to the log, not replace it.
  assert asked["open-mode"] == "append"
  # To the processes, not to the shell (which would be B:TERM), in time to save.
  signal, seconds = asked["signal"].split("@")
  assert signal == "TERM"
  assert int(seconds) >= 120


def slurm(folder, code, **variables):
  """Run the batch script as SLURM would, with two processes."""
  bin_ = folder / "bin"
  program(
    bin_ / "srun",
    'echo "$@" >"$0.options"\n'
    "while [[ $1 == --* ]]; do shift; done\n"
    "for SLURM_PROCID in 0 1; do\n"
    "  export SLURM_PROCID SLURM_NTASKS=2 SLURM_LOCALID=0\n"
    '  "$@" || code=$?\n'
    "done\n"
    "exit ${code:-0}",
  )
  program(
    bin_ / "scontrol",
    'echo "$@" >>"$0.log"\n'
    'case "$1 $2" in\n'
    '  "show hostnames") printf "node%d\\n" {7..3000} ;;\n'
    '  "show job") echo "JobId=41234 JobState=$STATE Reason=None" ;;\n'
    "esac",
  )
  program(
    folder / ".venv/bin/python",
    'printf "<%s>" "$@" "${SLURM_LOCALID-unset}"\necho\nexit ' + str(code),
  )
  # SLURM runs a copy.
  shutil.copy(LAUNCH / "slurm.sbatch", folder / "slurm_script")
  done = subprocess.run(
    ["bash", folder / "slurm_script", *RUN, KWARGS],
    capture_output=True,
    text=True,
    check=False,
    env=path_with(bin_)
    | {
      "SLURM_JOB_ID": "41234",
      "SLURM_JOB_NODELIST": "node[7-8]",
      "SLURM_SUBMIT_DIR": str(folder),
      "SLURM_CPUS_PER_TASK": "8",
    }
    | variables,
    cwd="/",
  )
  calls = (bin_ / "scontrol.log").read_text().splitlines()
  return done, calls, (bin_ / "srun.options").read_text()


def test_each_process_of_slurm_knows_who_it_is(tmp_path):
  done, calls, options = slurm(tmp_path, 0)
  assert done.returncode == 0, done.stderr
  assert calls == ["show hostnames node[7-8]"]
  assert options.startswith(
    "--kill-on-bad-exit=0 --wait=300 --cpus-per-task=8 "
  )
  printed, *processes = done.stdout.splitlines()
  assert printed.startswith("+ srun --kill-on-bad-exit=0 ")
  for rank, line in enumerate(processes):
    words = ["-m", "etf_jax.main", *RUN, KWARGS]
    # 20000 + 41234 % 10000.
    words += ["--coordinator_address=node7:21234", "--num_processes=2"]
    words += [f"--process_id={rank}", "unset"]
    assert line == "".join(f"<{word}>" for word in words)
  assert len(processes) == 2


@pytest.mark.parametrize(
  ("code", "state", "restarts", "requeued"),
  [
    (75, "RUNNING", "0", True),
    (75, "RUNNING", "4", True),
    (75, "RUNNING", "5", False),
    (75, "COMPLETING", "0", False),  # cancelled, or requeued by SLURM
    (1, "RUNNING", "0", False),
    (76, "RUNNING", "0", False),
  ],
)
def test_only_a_preempted_run_goes_back_to_the_queue(
  tmp_path, code, state, restarts, requeued
):
  done, calls, _ = slurm(
    tmp_path, code, STATE=state, SLURM_RESTART_COUNT=restarts, MAX_RESTARTS="5"
  )
  assert done.returncode == code
  assert ("requeue 41234" in calls) == requeued
  assert ("restarted 5 times" in done.stderr) == (restarts == "5")
  assert ("the job is COMPLETING" in done.stdout) == (state != "RUNNING")


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--workdir=/shared/a"], "no --config=FILE was given"),
    (["--config=x", "--workdir=a"], "--workdir='a' must be an absolute path"),
    (["--config=x"], "in a folder that all nodes share"),
    (["--config=x", "--workdir=/a"], "submit it with sbatch, or add --dry_run"),
  ],
)
def test_the_batch_script_refuses(arguments, message):
  env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
  assert message in refusal("slurm.sbatch", *arguments, env=env)
