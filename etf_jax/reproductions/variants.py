# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Named departures from our defaults, so that a difference can be traced.

fields = VARIANTS["paper_scaling"].fields(config)
"""

from collections.abc import Callable
import difflib
from typing import NamedTuple

from ml_collections import ConfigDict

from etf_jax.errors import InputError

# The best epoch is compared with what was published, in place of the last.
BEST_EPOCH = "best_epoch"
_DEVICES = 8
# What these do to a class of no images is undefined.
_USE_COUNTS = (
  "ce_weighted",
  "ldam_drw",
  "logit_adjusted",
  "balanced_softmax",
  "class_balanced",
  "crt",
)


class Variant(NamedTuple):
  """One departure.

  Attributes:
    summary: what it does, in a sentence.
    fields: of a config that it changes, by name; none where it does not apply.
  """

  summary: str
  fields: Callable[[ConfigDict], dict[str, object]]


def _published_baseline(config):
  # Of the authors' networks the small ResNets alone have it frozen.
  if not config.model.name.startswith("resnet") or config.augment.crop_size:
    return {}
  return {
    "ce": {"method": "ce_frozen"},
    "ce_weighted": {"head.name": "frozen_linear"},
  }.get(config.method, {})


def _published_svhn(config):
  if config.data.name != "svhn":
    return {}
  return {"data.profile": "published_svhn"}


def _paper_scaling(config):
  return {"loss.scaling": "paper"} if config.method == "etf_dr" else {}


def _uniform_qr(config):
  if not config.method.startswith("etf_"):
    return {}
  return {"head.frame": "uniform_qr"}


def _per_device_batch_norm(config):
  return {"bn_group_size": max(2, config.batch_size // _DEVICES)}


VARIANTS = {
  "published_baseline": Variant(
    "CE and CE* of the small ResNets keep their classifier as initialised, as"
    " in the authors' code",
    _published_baseline,
  ),
  "published_svhn": Variant(
    "SVHN-LT has the labels that the authors' loader gives it, a third of them"
    " wrong and the smallest classes without any",
    _published_svhn,
  ),
  "paper_scaling": Variant(
    "dot regression as equation 14 has it, not as the authors' code",
    _paper_scaling,
  ),
  "uniform_qr": Variant(
    "frames come from the QR factorisation of uniform numbers, as in the"
    " authors' code, so that their rotation is not uniform",
    _uniform_qr,
  ),
  "per_device_batch_norm": Variant(
    f"BatchNorm over an {_DEVICES}th of the batch, as on {_DEVICES} devices;"
    " how many the authors had is not known",
    _per_device_batch_norm,
  ),
  BEST_EPOCH: Variant(
    "the best epoch, chosen on the test images, is compared with what was"
    " published, not the last",
    lambda config: {},
  ),
}


def check(names: tuple[str, ...]) -> None:
  """Refuse unknown names, with the nearest known."""
  for name in names:
    if name not in VARIANTS:
      near = difflib.get_close_matches(name, VARIANTS, 1, 0)[0]
      raise InputError(
        f"--variant: {name!r} is unknown; did you mean {near!r}? (known:"
        f" {', '.join(VARIANTS)})"
      )


def forbids(names: tuple[str, ...], config: ConfigDict) -> str:
  """Why a config cannot run with some variants, or nothing."""
  without = "published_svhn" in names and config.data.name == "svhn"
  if without and config.method in _USE_COUNTS:
    return "cannot run: the published labels leave classes without images"
  return ""
