# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tune a network that was trained on other images, on your photographs.

  python -m etf_jax.main --config=configs/finetune.py --config.data.dir=DIR
  python -m etf_jax.main --config=configs/finetune.py --config.data.dir=DIR \\
    --config.model.name=resnet50 --config.init_from=resnet50.safetensors

DIR is as in configs/folder.py. The weights are `resnet18` of the Hugging Face
Hub (`pip install 'etf_jax[hub]'`), which is asked once, or what
`config.init_from` names: a file of `python -m etf_jax.convert`, a run.

The head is trained alone for two epochs. Then AdamW trains the network, each
block at three quarters of the rate of the block behind it. For one GPU; on two
CPU cores take the features of the network instead, with `python -m
etf_jax.features` and configs/features.py. The recipe is chosen, not tuned; not
yet measured.
"""

from etf_jax.configs import folder


def get_config():
  """ResNet-18 at 224 pixels for 30 epochs, from ImageNet's weights."""
  c = folder.get_config()
  c.name = "finetune"
  c.init_from = "hf:timm/resnet18.a1_in1k"
  c.batch_size = 64
  c.total_epochs = 30.0
  c.total_min_steps = None
  c.freeze_epochs = 2.0
  c.data.image_size = 256
  c.augment.crop_size = 224
  c.model.name = "resnet18"
  c.model.width = 1
  c.optimizer.name = "adamw"
  c.optimizer.learning_rate = 1e-3
  c.optimizer.backbone_learning_rate_factor = 0.3
  c.optimizer.layer_decay = 0.75
  c.optimizer.weight_decay = 0.05
  c.optimizer.decayed = "kernels"
  c.optimizer.clip_norm = 1.0
  c.schedule.per_step = True
  c.schedule.warmup_epochs = 1.0
  c.eval.batch_size = 200
  return c
