# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Logit adjustment on photographs of your own, in folders or named by lists.

  python -m etf_jax.main --config=configs/folder.py --config.data.dir=DIR
  python -m etf_jax.main --config=configs/folder.py --config.data.dir=DIR \\
    --config.data.train_list=TRAIN.csv --config.data.test_list=TEST.csv

DIR holds `CLASS/IMAGE`, of which a fifth is held back to test on, or
`train/CLASS/IMAGE` and `test/CLASS/IMAGE`, or the images that the lines
`path,label` of the lists name. All training images are used, as many as a
class has; `--config.data.profile=exponential` cuts them to a long tail, and
`--config.data.validation_fraction=0.1` holds some of each class out.

Images are held at 64 pixels and seen at 56, small enough for the ResNet of
CIFAR. Meant for one GPU or TPU; chosen, not tuned. `configs/folder.py:cpu` is a
small network for two CPU cores, which sees 32 pixels. Both train for epochs,
but at least for so many steps: of a few hundred images an epoch is a few steps.
With a frame (`--config.method=etf_dr`) their 128 and 64 features serve one more
class than that; more need a wider network (`--config.model.width=4`) or
`--config.head.projector=1000`.

The method is the one that had the best balanced accuracy on 740 photographs of
ten classes, 300 to 3 each; the guide to one's own images has the table
(etf_jax/data/README.md, "What to expect").
"""

from etf_jax.configs import base


def get_config(size: str = "full"):
  """ResNet-32 of twice the width for 100 epochs; `cpu`: ResNet-8 for 20."""
  c = base.get_config()
  c.name = "folder"
  c.method = "logit_adjusted"
  c.total_epochs = 100.0
  c.total_min_steps = 2000
  c.schedule.name = "cosine"
  c.data.name = "folder"
  c.data.profile = "none"
  c.data.image_size = 64
  c.augment.crop_size = 56  # of 64 in evaluation: eval_crop 0.875
  c.augment.crop_scale = (0.25, 1.0)  # a smaller part of 64 pixels is a blur
  c.augment.flip = True
  c.augment.brightness = 0.4
  c.augment.contrast = 0.4
  c.augment.saturation = 0.4
  c.model.width = 2
  # Epochs of a few steps: seldom enough that training takes most of the time.
  c.eval.every_min_steps = 100
  c.collapse.every_min_steps = 300
  c.checkpoint.every_min_steps = 100
  if size == "cpu":
    c.name += "_cpu"
    c.model.name = "resnet8"
    c.model.width = 1
    c.batch_size = 64
    c.total_epochs = 20.0
    c.total_min_steps = 600
    c.schedule.warmup_epochs = 2.0
    c.schedule.warmup_min_steps = 60
    c.optimizer.weight_decay = 5e-4
    c.data.image_size = 40
    c.augment.crop_size = 32
  elif size != "full":
    raise ValueError(f"unknown size {size!r}: full or cpu")
  return c
