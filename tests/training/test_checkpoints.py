# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are damaged, that cannot be written, and whose they are."""

import os
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs

from etf_jax.errors import InputError
from etf_jax.runs import directory as run_directory
from etf_jax.training.checkpoints import integrity, manager
from etf_jax.training.state import TrainState

CONFIG = tiny_runs.config("", "etf_dr").checkpoint


def state(step):
  return TrainState(
    step=jnp.int32(step),
    params={"w": jax.random.normal(jax.random.key(step), (64, 64))},
    batch_stats={},
    etf={},
    opt_state=(),
  )


def opened(directory):
  return manager.Checkpoints(directory, CONFIG)


def restore(directory, like=None):
  checkpoints = opened(directory)
  try:
    return checkpoints.restore(state(0) if like is None else like)
  finally:
    checkpoints.close()


def save(directory, *steps):
  checkpoints = opened(directory)
  try:
    for step in steps:
      checkpoints.save(state(step), step)
  finally:
    checkpoints.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """A directory with steps 4 and 8."""
  directory = tmp_path_factory.mktemp("saved")
  save(directory, 4, 8)
  return directory


@pytest.fixture
def copy(saved, tmp_path):
  return shutil.copytree(saved, tmp_path / "run")


def files(directory, step):
  folder = directory / "checkpoints" / str(step)
  return sorted(path for path in folder.rglob("*") if path.is_file())


def truncate(path):
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


def flip(path):
  """One bit in the middle."""
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def test_nothing_is_restored_as_it_is(tmp_path):
  like = state(0)
  restored, step = restore(tmp_path, like)
  assert restored is like
  assert step == 0


# Orbax gives up the arrays that it has not read yet, whose loop is closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", [os.unlink, truncate, flip])
def test_a_damaged_step_is_named_or_not_needed(saved, tmp_path, capsys, damage):
  damaged = []
  for number, file in enumerate(files(saved, 8)):
    directory = shutil.copytree(saved, tmp_path / str(number))
    damage(directory / file.relative_to(saved))
    restored, step = restore(directory)
    said = capsys.readouterr().err
    # Whatever is read is right; a file that nothing needs does no harm.
    np.testing.assert_array_equal(
      restored.params["w"], state(step).params["w"], err_msg=str(file)
    )
    if step == 4:
      damaged.append(file)
      assert said.startswith(
        f"warning: step 8 in {directory / 'checkpoints'} is damaged ("
      )
      assert said.endswith("); going on from step 4\n")
      assert said.count("\n") == 1
      # It is put aside, so that the run can save a step 8 of its own.
      assert [p.name for p in (directory / "damaged").iterdir()] == ["8-0"]
      assert opened(directory).latest == 4
    else:
      assert step == 8
      assert said == (
        f"warning: {directory / 'checkpoints' / '8'} has no SHA256SUMS, so a"
        " flipped bit in it would go unseen\n"
        if file.name == integrity.NAME
        else ""
      )
  unread = {"commit_success.txt", "_CHECKPOINT_METADATA"}
  if damage is os.unlink:
    unread.add(integrity.NAME)
  assert set(files(saved, 8)) - set(damaged) == {
    file for file in files(saved, 8) if file.name in unread
  }


def test_digests_are_what_sha256sum_writes(tmp_path):
  (tmp_path / "d").mkdir()
  (tmp_path / "d" / "b").write_bytes(b"abc")
  (tmp_path / "a").touch()
  integrity.write(tmp_path)
  # FIPS 180-2, appendix B.1, and the digest of nothing.
  assert (tmp_path / "SHA256SUMS").read_text() == (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n"
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  d/b\n"
  )
  assert integrity.check(tmp_path)


def test_a_step_that_was_put_aside_is_saved_again(copy):
  truncate(max(files(copy, 8), key=lambda path: path.stat().st_size))
  assert restore(copy)[1] == 4
  save(copy, 8)
  restored, step = restore(copy)
  assert step == 8
  np.testing.assert_array_equal(restored.params["w"], state(8).params["w"])


def test_nothing_that_can_be_read_is_one_line(copy):
  for step in (4, 8):
    for file in files(copy, step):
      truncate(file)
  with pytest.raises(InputError) as error:
    restore(copy)
  line = str(error.value)
  assert line.startswith(f"cannot resume from {copy / 'checkpoints'}, step 8: ")
  assert line.endswith("; choose another --workdir")
  assert "\n" not in line
  assert not (copy / "damaged").exists()


def test_the_checkpoint_of_another_model_is_one_line(copy):
  like = state(0).replace(params={"other": jnp.zeros((64, 64))})
  with pytest.raises(InputError, match=r"^cannot resume from .*, step 8: "):
    restore(copy, like)
  assert not (copy / "damaged").exists()


# TensorStore's other writes report to an event loop that Orbax has closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_leaves_the_last_good_step(copy):
  # Files cannot grow beyond 8,000 bytes; the array has 16,384.
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  checkpoints = opened(copy)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limit[1]))
    checkpoints.save(state(12), 12)
    with pytest.raises(InputError) as error:
      checkpoints.wait()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  line = str(error.value)
  assert line.startswith(f"cannot save in {copy}: ")
  assert "\n" not in line
  restored, step = restore(copy)
  assert step == 8
  np.testing.assert_array_equal(restored.params["w"], state(8).params["w"])


# As above.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_is_full_for_both_folders_is_one_line(tmp_path):
  config = CONFIG.copy_and_resolve_references()
  config.best = True
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  checkpoints = manager.Checkpoints(tmp_path, config)
  try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limit[1]))
    checkpoints.save(state(4), 4)
    checkpoints.save_best(state(4).params, 4)
    # Each of the two has an error to tell.
    with pytest.raises(InputError, match=r"^cannot save in .*; make room or"):
      checkpoints.close()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
  (tmp_path / "checkpoints").touch()
  with pytest.raises(InputError, match=r"^cannot save in .*; make room or"):
    save(tmp_path, 4)


def test_a_second_run_in_a_directory_names_the_first(tmp_path):
  place = tmp_path / "run"
  with run_directory.only_run(place):
    with pytest.raises(InputError) as error, run_directory.only_run(place):
      pass
    line = str(error.value)
    assert f"--workdir={place}: a run of process {os.getpid()} on " in line
    assert "wait for it" in line
  with run_directory.only_run(place):
    pass


def write_in(place, limit):
  """A run whose files cannot grow beyond some bytes."""
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  with run_directory.only_run(place):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
      (place / "metrics.jsonl").write_bytes(bytes(2000))
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full_later_is_one_line(tmp_path):
  place = tmp_path / "run"
  with pytest.raises(InputError) as error:
    write_in(place, 1000)
  assert str(error.value) == (
    f"cannot write to {place}: File too large; make room: the same command"
    " continues from the last checkpoint there"
  )
  # Another error is not called that.
  (place / "metrics.jsonl").unlink()
  (place / "metrics.jsonl").mkdir()
  (place / "config.json").touch()
  with pytest.raises(IsADirectoryError):
    write_in(place, 1000)
