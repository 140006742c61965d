# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""TPU pods: what gcloud is told, and when.

A small program stands for gcloud; it answers as the test has written down.
"""

import shlex
import subprocess

from launch_scripts import (
  KWARGS,
  RUN,
  commands,
  make_checkout,
  path_with,
  program,
  revision_of,
  worker_command,
)
import pytest

SETTINGS = ("--name=pod-1", "--zone=us-west4-a")
NEW = ("--accelerator=v5litepod-16", "--runtime_version=v2-alpha-tpuv5-lite")
NFS = "--mount=10.0.0.2:/share"
TPUS = ["gcloud", "compute", "tpus"]
ZONE = "--zone=us-west4-a"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
  return make_checkout(tmp_path_factory.mktemp("checkout"))


def pod(checkout, *arguments, env=None):
  return subprocess.run(
    ["bash", checkout / "launch/tpu_pod.sh", *arguments],
    env=env or path_with(checkout / "bin"),
    capture_output=True,
    text=True,
    check=False,
    timeout=60,
  )


def on_all(*words):
  command = worker_command(*words)
  return ["tpu-vm", "ssh", "pod-1", ZONE, "--worker=all", command]


def told(lines):
  """The commands to gcloud, with what the worker is told as plain words."""
  plain = []
  for words in lines:
    if words[:3] == TPUS:
      words = words[3:]
    *words, last = words
    if last.startswith("--command="):
      last = shlex.join(shlex.split(last.removeprefix("--command=")))
    plain.append([*words, last])
  return plain


CREATE = ["queued-resources", "create", "pod-1", ZONE, "--node-id=pod-1"]
CREATE += ["--accelerator-type=v5litepod-16"]
CREATE += ["--runtime-version=v2-alpha-tpuv5-lite"]
CREATE += ["--valid-until-duration=24h"]
DELETE = ["queued-resources", "delete", "pod-1", ZONE, "--force", "--quiet"]


def test_a_dry_run_shows_everything(checkout):
  revision = revision_of(checkout)
  done = pod(
    checkout,
    *(*SETTINGS, *NEW, NFS, "--spot", "--delete", "--dry_run", "--"),
    *(*RUN, KWARGS),
  )
  assert done.returncode == 0, done.stderr
  create, bundle, copy, scp, *rest = commands(done.stdout)
  assert told([create]) == [[*CREATE, "--spot"]]
  assert bundle[:4] == ["git", "bundle", "create", "--quiet"]
  assert bundle[-1] == "HEAD"
  assert copy[:2] == ["cp", "launch/tpu_worker.sh"]
  files = [bundle[4], copy[2]]
  assert told([scp]) == [
    ["tpu-vm", "scp", *files, "pod-1:", ZONE, "--worker=all"]
  ]
  assert bundle[4].endswith(f"/etf_jax-{revision}.bundle")
  assert copy[2].endswith("/etf_jax_worker.sh")
  assert told(rest) == [
    on_all("install", revision),
    on_all("mount", "10.0.0.2:/share", "/mnt/etf_jax"),
    on_all("run", "pod-1", revision, *RUN, KWARGS),
    DELETE,
  ]
  assert "pod-1 is billed from when it is ready" in done.stdout


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["--zone=z", "--", *RUN], "--name='' must be lower-case letters"),
    (["--name=Pod", "--zone=z"], "--name='Pod' must be lower-case letters"),
    (["--name=pod"], "--zone is missing, as in --zone=us-west4-a"),
    ([*SETTINGS, "--spot", "--", *RUN], "give --accelerator too"),
    ([*SETTINGS, NEW[0], "--", *RUN], "needs --runtime_version too"),
    ([*SETTINGS, "--mount=bucket", "--", *RUN], "gs://BUCKET or HOST:/EXPORT"),
    ([*SETTINGS, "--wait_hours=0"], "--wait_hours=0 must be at least 1"),
    ([*SETTINGS, "--wait_hours=1h"], "--wait_hours='1h' must be a whole"),
    ([*SETTINGS, "--", RUN[1]], "no --config=FILE was given after --"),
    ([*SETTINGS, "--", RUN[0]], "--workdir='' must be an absolute path"),
    ([*SETTINGS, NFS, "--", RUN[0], "--workdir=/tmp/a"], "in /mnt/etf_jax"),
    ([*SETTINGS, *RUN], "is not a setting; arguments of training follow"),
  ],
)
def test_settings_are_refused(checkout, arguments, message):
  done = pod(checkout, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith("error: ")
  assert done.stderr.count("\n") == 1
  assert message in done.stderr


def test_a_shallow_clone_is_refused(checkout, tmp_path):
  git = ["git", "clone", "--quiet", "--depth=1", f"file://{checkout}"]
  subprocess.run([*git, tmp_path / "shallow"], check=True)
  done = pod(tmp_path / "shallow", *SETTINGS, "--dry_run", "--", *RUN)
  assert done.returncode == 2
  assert "git fetch --unshallow" in done.stderr


@pytest.fixture
def gcloud(checkout, tmp_path):
  """Run a pod with answers of gcloud; returns what came of it, and calls.

  What it answers to `describe` are states, or errors; to training, exit codes.
  """
  program(
    tmp_path / "bin/gcloud",
    f"cd {tmp_path}\n"
    "printf '%q ' gcloud \"$@\" >>calls; echo >>calls\n"
    'case "$*" in\n'
    "  *describe*) kind=describe ;;\n"
    "  *etf_jax_worker.sh\\ run*) kind=train ;;\n"
    "  *) exit 0 ;;\n"
    "esac\n"
    "read -r answer <$kind\n"
    "sed -i 1d $kind\n"
    "case $answer in\n"
    '  [0-9]*) exit "$answer" ;;\n'
    "  ABSENT) echo 'ERROR: NOT_FOUND: no such thing' >&2; exit 1 ;;\n"
    "  DENIED) echo 'ERROR: PERMISSION_DENIED' >&2; exit 1 ;;\n"
    "esac\n"
    "echo $answer",
  )

  def run(states, codes, *arguments):
    for kind, answers in (("describe", states), ("train", codes)):
      (tmp_path / kind).write_text("".join(f"{a}\n" for a in answers))
    done = pod(
      checkout,
      *(*SETTINGS, "--poll_seconds=0", *arguments, "--", *RUN),
      env=path_with(tmp_path / "bin"),
    )
    calls = told(
      map(shlex.split, (tmp_path / "calls").read_text().splitlines())
    )
    for kind in ("describe", "train"):
      assert (tmp_path / kind).read_text() == ""  # all were asked for
    return done, [c for c in calls if c[1] != "describe"]

  return run


def names(calls):
  """Creation, deletion, copies, and steps of the workers."""
  return [
    c[-1].split()[2] if c[1] == "ssh" else c[1] for c in calls if c[1] != "scp"
  ]


def test_a_preempted_pod_is_asked_for_again(gcloud):
  done, calls = gcloud(
    [
      *("ABSENT", "ABSENT"),  # created
      *("ABSENT", "WAITING_FOR_RESOURCES", "CREATING", "READY"),
      *("PREEMPTED", "SUSPENDED"),  # deleted
      *("ABSENT", "ABSENT"),  # created again
      "READY",
    ],
    [75, 0],
    *(*NEW, "--spot"),
  )
  assert done.returncode == 0, done.stderr
  assert names(calls) == [
    *("create", "install", "run"),
    *("delete", "create", "install", "run"),
  ]
  assert calls[0] == [*CREATE, "--spot"]
  assert calls[4] == DELETE
  first, second = (c for c in calls if c[1:2] == ["ssh"] and " run " in c[-1])
  assert first == second
  # It stays, and the user is told what that means.
  assert "pod-1 is billed until it is deleted: gcloud" in done.stdout
  # Everything was printed before it was run.
  assert [c for c in told(commands(done.stdout)) if c[:1] != ["git"]][
    :1
  ] == calls[:1]


def test_a_pod_that_is_there_is_used(gcloud):
  done, calls = gcloud(["READY"], [0], NFS)
  assert done.returncode == 0, done.stderr
  assert names(calls) == ["install", "mount", "run"]


def test_nothing_is_created_unasked(gcloud):
  done, calls = gcloud(["ABSENT", "ABSENT"], [])
  assert done.returncode == 1
  assert "there is no TPU VM pod-1 in us-west4-a; --accelerator" in done.stderr
  assert not calls


def test_a_request_that_fails_is_not_repeated(gcloud):
  done, calls = gcloud(["ABSENT", "FAILED"], [], *NEW)
  assert done.returncode == 1
  assert "the request for pod-1 failed; see: gcloud" in done.stderr
  assert not calls


def test_without_an_answer_nothing_is_changed(gcloud):
  done, calls = gcloud(["DENIED"], [], *NEW)
  assert done.returncode == 1
  assert "PERMISSION_DENIED" in done.stderr
  assert "nothing was changed" in done.stderr
  assert not calls


@pytest.mark.parametrize(
  ("states", "codes", "code", "message"),
  [
    # Bad input: at once.
    (["READY"], [2], 2, ""),
    # A crash on a TPU that is still there.
    (["READY", "READY"], [1], 1, "pod-1 is still billed"),
    # The connection is lost, the run is not.
    (["READY", "READY", "READY"], [255, 0], 0, "exit code 255; going on"),
    # A worker vanishes before the state shows that they all did.
    (["READY", "PREEMPTED", "PREEMPTED"], [76], 1, "pod-1 was lost"),
    (["READY", *["READY", "READY"] * 2, "READY"], [76] * 3, 1, "lost 3 times"),
    # --stop, from elsewhere.
    (["READY"], [130], 75, "stopped; the same command goes on"),
    (["READY"] * 3, [75] * 3, 75, "--max_restarts=2; the same command goes on"),
  ],
)
def test_how_a_run_ends(gcloud, states, codes, code, message):
  done, calls = gcloud(states, codes, "--max_restarts=2")
  assert done.returncode == code
  assert message in done.stdout + done.stderr
  assert names(calls) == ["install", "run"] * len(codes)
