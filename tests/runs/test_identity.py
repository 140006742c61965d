# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Identity of runs, and durations of the command line."""

import json
import pathlib

import numpy as np
import pytest

from etf_jax.configs import base
from etf_jax.errors import InputError
from etf_jax.runs import command_line, data_record, directory, identity

FILES = {
  "splits": {
    "train": {"files": {"cat": {"a.png": 3}, "dog": {"b.png": 4}}, "order": "1"}
  },
  "left_out": None,
}


def config(**fields):
  made = base.get_config()
  made.update_from_flattened_dict(fields)
  return made


def test_images_in_files_name_a_run_and_not_their_place():
  here = config(**{"data.name": "folder", "data.dir": "/a"})
  moved = config(**{"data.name": "folder", "data.dir": "/b/c/"})
  name = identity.fingerprint(here, FILES)
  assert name == identity.fingerprint(moved, FILES)
  other = json.loads(json.dumps(FILES))
  other["splits"]["train"]["files"]["cat"]["a.png"] = 5
  assert name != identity.fingerprint(here, other)
  assert identity.fingerprint(here) != identity.fingerprint(moved)


@pytest.mark.parametrize(
  "fields",
  [
    {"data.feed": "stream"},
    {"data.corrupt": "skip"},
    {"data.decoder": "opencv"},
    {"eval.batch_size": 7},
  ],
)
def test_what_changes_no_result_names_no_run(fields):
  assert identity.fingerprint(config(**fields)) == (
    identity.fingerprint(config())
  )
  assert identity.conflicts({}, config(**fields), located=True) == []


@pytest.mark.parametrize(
  "fields",
  [{"data.decoder": "pillow"}, {"eval.best_metric": "accuracy"}],
)
def test_what_changes_a_result_names_a_run(fields):
  assert identity.fingerprint(config(**fields)) != (
    identity.fingerprint(config())
  )


def test_a_run_named_by_an_older_version_goes_on(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = config(**{"data.feed": "stream"})
  now = directory.choose(found, None, 0, FILES)
  old = f"base-etf_dr-{identity.fingerprint(found, once=True)}"
  once = pathlib.Path("runs", old, "seed=0")
  assert now != once
  once.mkdir(parents=True)
  (once / "config.json").touch()
  assert directory.choose(found, None, 0, FILES) == once


def test_paths_become_absolute(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("HOME", "/home/me")
  found = identity.with_absolute_paths(
    config(
      **{
        "data.dir": "photos/",
        "data.cache_dir": "~/cache",
        "data.data_dir": "gs://bucket/data",
        "data.train_list": "https://example.org/train.csv",
      }
    )
  ).data
  assert found.dir == str(tmp_path / "photos")
  assert found.cache_dir == "/home/me/cache"
  assert found.data_dir == "gs://bucket/data"
  assert found.train_list == "https://example.org/train.csv"


def test_changes_are_counted_and_named():
  now = {
    "splits": {
      "train": {
        "files": {"cat": {"a.png": 9}, "emu": {f"{k}.png": 1 for k in "cdefg"}},
        "order": "2",
      },
      "test": {"files": {}, "order": "3"},
    },
    "left_out": {"train": ["a.png"]},
  }
  assert data_record.changes(FILES, now) == [
    "test: images were added",
    "train: 5 added (c.png, d.png, e.png and 2 more), 1 removed (b.png), 1"
    " changed (a.png)",
  ]
  same = FILES | {"left_out": {"train": ["a.png"]}}
  assert data_record.changes(FILES, same) == [
    "1 that cannot be decoded were not left out (a.png)"
  ]
  order = json.loads(json.dumps(FILES))
  order["splits"]["train"]["order"] = "2"
  assert data_record.changes(FILES, order) == [
    "train: the same images in another order"
  ]
  prepared = {
    "splits": {
      "train": {
        "prepared": "digits/1.0.0", "split": "train", "images": 3, "order": "4",
      }
    },
    "left_out": None,
  }  # fmt: skip
  newer = json.loads(json.dumps(prepared))
  newer["splits"]["train"]["prepared"] = "digits/1.0.1"
  (line,) = data_record.changes(prepared, newer)
  assert "digits/1.0.0" in line
  assert "digits/1.0.1" in line


def test_longer_training_is_refused_with_the_way_to_it(tmp_path):
  record = {"splits": {}, "left_out": None}
  counts, names = np.array([2, 1]), ("a", "b")

  def open_run(epochs):
    directory.open_run(
      tmp_path, config(total_epochs=epochs), 0, counts, names, record
    )

  open_run(2.0)
  open_run(2.0)
  with pytest.raises(InputError, match=r"total_epochs: 2\.0 there") as told:
    open_run(4.0)
  assert f"config.init_from={tmp_path} config.init_parts='all'" in (
    str(told.value)
  )


def test_a_duration_of_the_command_line_replaces_one_of_the_file():
  file = "--config=etf_jax:digits_lt"
  found, _ = command_line.parse(
    ["", file, "--config.report.log_every_epochs=1"]
  )
  assert found.report.log_every_steps is None
  steps, _ = command_line.parse(["", file, "--config.total_steps=7"])
  assert steps.total_steps == 7
  both = ("--config.total_steps=7", "--config.total_epochs=2")
  found, _ = command_line.parse(["", file, *both])
  assert (found.total_steps, found.total_epochs) == (7, 2.0)
