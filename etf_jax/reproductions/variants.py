# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Named departures from our defaults, so that a difference can be traced.

fields = VARIANTS["paper_scaling"].fields(config)
"""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

# The best epoch is compared with the published value, in place of the last.
BEST_EPOCH = "best_epoch"
_DEVICES = 8
# Undefined for a class without images.
_USE_COUNTS = (
  "ce_weighted",
  "ldam_drw",
  "logit_adjusted",
  "balanced_softmax",
  "class_balanced",
  "crt",
)


class Variant(NamedTuple):
  """A sentence, and a function of a config to the fields that change."""

  summary: str
  fields: Callable[[ConfigDict], dict[str, object]]


def _published_baseline(config: ConfigDict) -> dict[str, object]:
  # Of the authors' networks only the small ResNets have it frozen.
  if not config.model.name.startswith("resnet") or config.augment.crop_size:
    return {}
  changes: dict[str, dict[str, object]] = {
    "ce": {"method": "ce_frozen"},
    "ce_weighted": {"head.name": "frozen_linear"},
  }
  return changes.get(config.method, {})


def _published_svhn(config: ConfigDict) -> dict[str, object]:
  svhn = config.data.name == "svhn"
  return {"data.profile": "published_svhn"} if svhn else {}


def _paper_scaling(config: ConfigDict) -> dict[str, object]:
  return {"loss.scaling": "paper"} if config.method == "etf_dr" else {}


def _uniform_qr(config: ConfigDict) -> dict[str, object]:
  frame = config.method.startswith("etf_")
  return {"head.frame": "uniform_qr"} if frame else {}


def _per_device_batch_norm(config: ConfigDict) -> dict[str, object]:
  return {"bn_group_size": max(2, config.batch_size // _DEVICES)}


VARIANTS = {
  "published_baseline": Variant(
    "CE and CE* of the small ResNets keep their classifier as initialized, as"
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
    "frames come from the QR factorization of uniform numbers, as in the"
    " authors' code, so that their rotation is not uniform",
    _uniform_qr,
  ),
  "per_device_batch_norm": Variant(
    f"BatchNorm over an {_DEVICES}th of the batch, as on {_DEVICES} devices;"
    " the number of the authors' devices is not known",
    _per_device_batch_norm,
  ),
  BEST_EPOCH: Variant(
    "the best epoch, chosen on the test images, is compared with the published"
    " value, not the last",
    lambda config: {},
  ),
}


def forbids(names: tuple[str, ...], config: ConfigDict) -> str:
  """Say why a config cannot run with some variants; empty if it can."""
  without = "published_svhn" in names and config.data.name == "svhn"
  if without and config.method in _USE_COUNTS:
    return "cannot run: the published labels leave classes without images"
  return ""
