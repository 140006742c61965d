# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""A run that goes on under other versions says so, and keeps their history."""

import json
import logging

import numpy as np

from etf_jax.configs import base
from etf_jax.runs import directory, identity


def open_run(workdir):
  directory.open_run(
    workdir,
    base.get_config(),
    0,
    np.array([2, 1]),
    ("a", "b"),
    {"splits": {}, "left_out": None},
  )


def test_another_version_is_named_and_kept(tmp_path, caplog):
  open_run(tmp_path)
  path = tmp_path / "config.json"
  first = json.loads(path.read_text())
  before = first["versions"] | {"etf_jax": "0.1.0"}
  path.write_text(json.dumps(first | {"versions": before}))
  with caplog.at_level(logging.WARNING):
    open_run(tmp_path)
  assert "(etf_jax 0.1.0 there, 0.2.0.dev0 here)" in caplog.text
  description = json.loads(path.read_text())
  assert description["history"] == [before]
  assert description["versions"] == identity.versions()
  caplog.clear()
  open_run(tmp_path)
  assert caplog.text == ""
