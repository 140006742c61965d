# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Names that are not known: the nearest one is offered."""

from etf_jax import errors


def test_the_nearest_name_is_offered_where_one_is_near():
  known = {"resnet18": 1, "resnet32": 2}
  assert errors.did_you_mean("resnet_32", known) == (
    "; did you mean 'resnet32'?"
  )
  assert errors.did_you_mean("vit", known) == ""


def test_an_unknown_name_lists_the_known_ones():
  error = errors.unknown_name("config.method", "etf-dd", ["ce", "etf_dr"])
  assert isinstance(error, errors.InputError)
  assert str(error) == (
    "config.method='etf-dd': unknown; did you mean 'etf_dr'? (known: ce,"
    " etf_dr)"
  )
  error = errors.unknown_name("config.method", "", ["ce", "etf_dr"])
  assert "; choose one (known: ce, etf_dr)" in str(error)
  error = errors.unknown_name("--x", 3, [], "a.b:Class")
  assert str(error) == "--x=3: unknown; choose one (known: a.b:Class)"


def test_an_unknown_field():
  known = ["method", "data.workers"]
  assert str(errors.unknown_field("workers", known)) == (
    "config.workers is unknown; did you mean config.data.workers?"
  )
  error = errors.unknown_field("nothing", known)
  assert str(error).endswith("; etf_jax/configs/base.py explains the fields")
