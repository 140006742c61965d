# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Backbones, heads, and `create_model`, which joins one of each.

A backbone is any linen module that maps `[B, H, W, C]` images to `[B, d]`
features. It may take the keywords `train` and `mask`; what it does not take
is not passed.
"""

from etf_jax.models.classifier import (
  BACKBONES,
  Classifier,
  create_model,
  layers,
)
from etf_jax.models.densenet import DenseNet
from etf_jax.models.heads import CosineHead, ETFHead, LinearHead, Output
from etf_jax.models.mlp import MLP
from etf_jax.models.resnet import ResNet
from etf_jax.models.resnet_cifar import ResNetCIFAR

__all__ = [
  "BACKBONES",
  "MLP",
  "Classifier",
  "CosineHead",
  "DenseNet",
  "ETFHead",
  "LinearHead",
  "Output",
  "ResNet",
  "ResNetCIFAR",
  "create_model",
  "layers",
]
