# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The leaderboards of CIFAR-LT at 0.01 and ImageNet-LT: others' results.

Accuracies as their papers, or later ones, report them: ResNet-32 on CIFAR,
ResNet-50 on ImageNet-LT. Recipes differ between them, in length and in
augmentation; only the rows that ran here are alike.
"""

from etf_jax.reproductions import yang2022
from etf_jax.reproductions.facts import Elsewhere, Reported, Target, Value

_ENTRY = "Papers With Code's archive: error rates 23.5 and 54.7"
_TSC = "Papers With Code's archive (arXiv:2111.13998)"

# CIFAR-10-LT, CIFAR-100-LT, ImageNet-LT; None: unknown to us.
_OTHERS = (
  ("LDAM-DRW", 77.7, 42.5, 48.8, ""),
  ("Logit adjustment", 77.9, 44.1, 51.1, ""),
  ("Logit adjustment, post hoc", 77.3, 44.1, None, ""),
  ("Balanced softmax", 77.5, 43.0, None, ""),
  ("cRT", 75.0, 40.3, 47.3, ""),
  ("LWS", None, None, 47.7, ""),
  ("MiSLAS", 82.5, 47.0, 52.7, ""),
  ("GLMC", 87.8, 55.9, None, ""),
  ("PaCo", None, None, 57.0, ""),
  ("M2M", 79.1, 43.5, None, "as HingeCE's table 2 cites it"),
  ("TSC", 78.7, 43.8, 52.4, _TSC),
  ("OLTR", None, None, None, "no value known to us"),
  ("KCL", None, None, None, "no value known to us"),
)
_DATA = ("cifar10_lt", "cifar100_lt", "imagenet_lt")

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
      *(
        Reported(dataset, label, None if mean is None else Value(mean), remark)
        for label, *means, remark in _OTHERS
        for dataset, mean in zip(_DATA, means, strict=True)
        if mean is not None or not any(means)
      ),
    ],
    notes=(
      "Rows of published values come from runs of their authors, with recipes"
      " of their own; a difference to ours tells nothing about the methods.",
      yang2022.BEST_NOTE,
    ),
  )
}
