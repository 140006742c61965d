# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run that goes on under other versions says so, and keeps their history."""

import json
import logging

import numpy as np
import pytest

from etf_jax.configs import base
from etf_jax.runs import directory, identity


def open_run(workdir, alpha):
  config = base.get_config()
  config.augment.mixup_alpha = alpha
  directory.open_run(
    workdir,
    config,
    0,
    np.array([2, 1]),
    ("a", "b"),
    {"splits": {}, "left_out": None},
  )


def change_versions(workdir, **versions):
  """Record other versions; None: as a version that had no such entry."""
  path = workdir / "config.json"
  description = json.loads(path.read_text())
  for name, value in versions.items():
    description["versions"].pop(name)
    if value is not None:
      description["versions"][name] = value
  path.write_text(json.dumps(description))
  return description["versions"]


def test_another_version_is_named_and_kept(tmp_path, caplog):
  open_run(tmp_path, 0.0)
  before = change_versions(tmp_path, jax="0.9.9")
  with caplog.at_level(logging.WARNING):
    open_run(tmp_path, 0.0)
  assert "jax 0.9.9 there" in caplog.text
  description = json.loads((tmp_path / "config.json").read_text())
  assert description["history"] == [before]
  assert description["versions"] == identity.versions()
  caplog.clear()
  open_run(tmp_path, 0.0)
  assert caplog.text == ""


@pytest.mark.parametrize(("alpha", "named"), [(0.0, False), (1.0, True)])
def test_other_draws_matter_where_images_are_mixed(
  tmp_path, caplog, alpha, named
):
  open_run(tmp_path, alpha)
  change_versions(tmp_path, **{identity.MIXING: None})
  with caplog.at_level(logging.WARNING):
    open_run(tmp_path, alpha)
  assert (f"{identity.MIXING} 1 there, 2 here" in caplog.text) is named
  assert bool(caplog.text) is named
