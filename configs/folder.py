# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""ETF + DR on photographs of your own, in folders or named by lists.

  python -m etf_jax.main --config=configs/folder.py --config.data.dir=DIR
  python -m etf_jax.main --config=configs/folder.py --config.data.dir=DIR \\
    --config.data.train_list=TRAIN.csv --config.data.test_list=TEST.csv

DIR holds `CLASS/IMAGE`, of which a fifth is held back to test on, or
`train/CLASS/IMAGE` and `test/CLASS/IMAGE`, or the images that the lines
`path,label` of the lists name. All training images are used, as many as a
class has; `--config.data.profile=exponential` cuts them to a long tail, and
`--config.data.validation_fraction=0.1` holds some of each class out.

Images are held at 64 pixels and seen at 56, small enough for the ResNet of
CIFAR. Its 128 features serve up to 129 classes; more need a wider one
(`--config.model.width=4`: 256) or `--config.head.projector=1000`. Meant for one
GPU or TPU; `configs/folder.py:cpu` is a small network for two CPU cores. Nobody
can have published values for your images; the recipe is chosen, not tuned.
"""

from etf_jax.configs import base


def get_config(size: str = "full"):
  """ResNet-32 of twice the width for 100 epochs; `cpu`: ResNet-8 for 20."""
  c = base.get_config()
  c.name = "folder"
  c.total_epochs = 100.0
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
  if size == "cpu":
    c.name += "_cpu"
    c.model.name = "resnet8"
    c.total_epochs = 20.0
    c.schedule.warmup_epochs = 2.0
  elif size != "full":
    raise ValueError(f"unknown size {size!r}: full or cpu")
  return c
