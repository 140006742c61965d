# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The leaderboards of CIFAR-LT at 0.01 and ImageNet-LT, with their sources."""

from etf_jax.reproductions import hingece, yang2022
from etf_jax.reproductions.targets import Elsewhere, Reported, Target, Value

_ENTRY = "Papers With Code's archive: error rates 23.5 and 54.7"
_TSC = "https://arxiv.org/abs/2111.13998, by Papers With Code's archive"

TARGETS = {
  "leaderboard": Target(
    "ETF + DR among methods for long tails",
    "Yang et al. 2022 and the papers of each method",
    [
      yang2022.setting_1(1, 1.0),
      yang2022.setting_2("resnet", "cifar100_lt", 0.01),
      yang2022.setting_3(3),
    ],
    ("ce", "etf_dr"),
    (*yang2022.BASELINES, "class_balanced", "focal"),
    elsewhere=Elsewhere(
      "ETF + DR among methods for long tails",
      ("ce", "etf_dr", "class_balanced", "focal"),
      (1.0,),
    ),
    reported=[
      Reported("cifar10_lt", "ETF classifier + DR", Value(76.5), _ENTRY),
      Reported("cifar100_lt", "ETF classifier + DR", Value(45.3), _ENTRY),
      *hingece.CITED,
      Reported("cifar10_lt", "TSC", Value(78.7), _TSC),
      Reported("cifar100_lt", "TSC", Value(43.8), _TSC),
      Reported("imagenet_lt", "TSC", Value(52.4), _TSC),
    ],
    notes=(
      "Rows of published values come from runs of other authors, with other"
      " recipes; a difference to ours tells nothing about the methods.",
      yang2022.BEST_NOTE,
    ),
  )
}
