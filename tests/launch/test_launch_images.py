# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The image, and the JobSet that runs it; without a cluster or Docker."""

import configparser
import re
import subprocess

import jobset_schema
import jsonschema
from launch_scripts import (
  KWARGS,
  LAUNCH,
  ROOT,
  RUN,
  bash,
  commands,
  path_with,
  program,
  refusal,
)
import pytest
import yaml

pytestmark = pytest.mark.slow

# GKE.

SETTINGS = {
  "--name": "tail-1",
  "--image": "europe-docker.pkg.dev/my-project/etf/etf_jax:0.1.0-tpu",
  "--claim": "shared",
  "--accelerator": "tpu-v5-lite-podslice",
  "--topology": "4x8",
  "--chips": "4",
}


def gke(*arguments, **changes):
  settings = SETTINGS | {f"--{name}": value for name, value in changes.items()}
  words = [f"{name}={value}" for name, value in settings.items()]
  return [*words, "--dry_run", *arguments]


def jobset(*arguments, **changes):
  done = bash("gke_jobset.sh", *gke(*arguments, "--", *RUN, KWARGS, **changes))
  assert done.returncode == 0, done.stderr
  assert commands(done.stderr) == [["kubectl", "apply", "--filename=-"]]
  assert not re.search(r"\${[A-Z]", done.stdout)
  filled = yaml.safe_load(done.stdout)
  jsonschema.Draft202012Validator(jobset_schema.SCHEMA).validate(filled)
  return filled


def test_the_jobset_is_as_the_schema_wants_it():
  filled = jobset()
  job = filled["spec"]["replicatedJobs"][0]["template"]["spec"]
  pod = job["template"]["spec"]
  (container,) = pod["containers"]
  # 4 x 8 chips, four on each host.
  assert job["parallelism"] == job["completions"] == 8
  assert container["resources"]["limits"] == {"google.com/tpu": 4}
  assert container["image"] == SETTINGS["--image"]
  assert pod["nodeSelector"] == {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "4x8",
  }
  (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
  assert mount["name"] == volume["name"]
  assert volume["persistentVolumeClaim"] == {"claimName": "shared"}
  # Whatever ends with the code of the rule must be this container.
  rule = job["podFailurePolicy"]["rules"][0]
  assert rule["onExitCodes"]["containerName"] == container["name"]


def test_a_misspelt_field_is_found():
  filled = jobset()
  filled["spec"]["replicatedJobs"][0]["template"]["spec"]["paralelism"] = 8
  with pytest.raises(jsonschema.ValidationError, match="paralelism"):
    jsonschema.validate(filled, jobset_schema.SCHEMA)


def test_spot_nodes_are_asked_for():
  (job,) = jobset("--spot", topology="2x2x4")["spec"]["replicatedJobs"]
  selector = job["template"]["spec"]["template"]["spec"]["nodeSelector"]
  assert selector["cloud.google.com/gke-spot"] == "true"
  assert job["template"]["spec"]["parallelism"] == 4


def test_the_container_runs_the_arguments_as_they_were_given(tmp_path):
  (job,) = jobset()["spec"]["replicatedJobs"]
  (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
  program(tmp_path / "python", 'printf "<%s>" "$@"')
  # Kubernetes replaces $$( by $(, and $(NAME) by what it knows.
  words = [a.replace("$$(", "$(") for a in container["command"]]
  words[2] = words[2].replace("ulimit -l 68719476736", ":")  # needs root
  words += [a.replace("$$(", "$(") for a in container["args"]]
  done = subprocess.run(
    words, capture_output=True, text=True, check=True, env=path_with(tmp_path)
  )
  expected = ["-m", "etf_jax.main", "--distributed", *RUN, KWARGS]
  assert done.stdout.endswith("".join(f"<{word}>" for word in expected))
  assert commands(done.stdout) == [["python", *expected]]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"name": "A"}, "--name='A' must be at most 40 lower-case letters"),
    ({"image": "host/etf_jax"}, "must name an image and its version"),
    ({"image": "host/etf_jax:latest"}, "a restart must get the same code"),
    ({"image": "IMAGE:TAG"}, "must name an image and its version"),
    ({"claim": ""}, "--claim='' must name a PersistentVolumeClaim"),
    ({"accelerator": "v5e"}, "cloud.google.com/gke-tpu-accelerator"),
    ({"topology": "16"}, "--topology='16' must be the node pool's"),
    ({"chips": ""}, "--chips='' must be the number of chips of a host"),
    ({"chips": "5"}, "--chips=5 does not divide the 32 chips"),
  ],
)
def test_the_jobset_is_refused(changes, message):
  assert message in refusal("gke_jobset.sh", *gke("--", *RUN, **changes))


def test_a_jobset_without_a_shared_folder_is_refused():
  line = refusal("gke_jobset.sh", *gke("--", RUN[0], "--workdir=/tmp/a"))
  assert "--workdir='/tmp/a' must lie in /mnt/etf_jax" in line
  assert "no --config=FILE" in refusal("gke_jobset.sh", *gke("--", RUN[1]))


# Docker.


def instructions():
  text = (LAUNCH / "Dockerfile").read_text()
  lines = [line for line in text.splitlines() if not line.startswith("#")]
  joined = "\n".join(lines).replace("\\\n", " ")
  return [line.split(None, 1) for line in joined.splitlines() if line.strip()]


def test_the_image_is_pinned_and_not_roots():
  found = instructions()
  images = [rest.split()[0] for name, rest in found if name == "FROM"]
  assert len(images) == 2
  for image in images:
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", image)
  users = [i for i, (name, _) in enumerate(found) if name == "USER"]
  assert found[users[-1]][1] not in ("root", "0")
  # From there on nothing is installed or copied.
  names = [name for name, _ in found[users[-1] :]]
  assert set(names) <= {"USER", "WORKDIR", "ENTRYPOINT", "CMD"}
  (entry,) = [rest for name, rest in found if name == "ENTRYPOINT"]
  assert entry == '["python", "-m", "etf_jax.main"]'


def test_the_image_copies_what_there_is():
  ignored = (LAUNCH / "Dockerfile.dockerignore").read_text().split("\n")
  copied = set()
  for name, rest in instructions():
    assert name != "ADD"
    if name == "COPY" and "--from=build" not in rest:
      *sources, _ = rest.split()
      copied |= set(sources)
  assert all((ROOT / source).exists() for source in copied)
  assert {line[1:] for line in ignored if line.startswith("!")} == copied
  # What the wheel is built from, and says it needs.
  setup = configparser.ConfigParser()
  setup.read(ROOT / "setup.cfg")
  assert copied >= {"setup.cfg", "pyproject.toml", "etf_jax", "configs"}
  assert setup["metadata"]["license_files"] in copied
  assert setup["metadata"]["long_description"].removeprefix("file: ") in copied


@pytest.mark.parametrize(
  ("accelerator", "code"), [("cuda", 0), ("tpu", 0), ("", 2), ("gpu", 2)]
)
def test_the_image_is_for_one_kind_of_accelerator(accelerator, code):
  (check,) = [r for n, r in instructions() if n == "RUN" and "exit 2" in r]
  done = subprocess.run(
    ["sh", "-c", check],
    env={"ACCELERATOR": accelerator},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == code
  assert ("must be cuda or tpu" in done.stderr) == bool(code)
  if not code:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert accelerator in setup["options.extras_require"]
