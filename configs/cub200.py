# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""CUB-200-2011, birds of 200 species, on a network trained on ImageNet.

  python -m etf_jax.convert resnet50-HASH.pth resnet50.safetensors
  python -m etf_jax.main --config=configs/cub200.py --config.seeds=0,1,2
  python -m etf_jax.main --config=configs/cub200.py \\
    --config.model.name=resnet101 --config.init_from=DIR/resnet101.safetensors
  python -m etf_jax.main --config=configs/cub200.py --config.init_from=RUN_DIR

The weights are those of torchvision or timm, `resnet34`, `resnet50` and
`resnet101`, looked for as `resnet50.safetensors` where the command runs; or the
run directory of configs/imagenet.py. Methods: `--config.method=ce`, `etf_dr`
(the default), `etf_hinge`.

Hardware: one GPU with 10 GB for the images and room for the step, or
`--config.data.feed=stream`. Time: not yet measured. Published, in Yang et al.
2022, table 4, % of the 5,794 test images with ResNet-34, 50 and 101: CE 82.2
85.5 86.2, ETF + DR 83.0 86.1 87.0. Here: not yet run.

How they fine-tuned is not published. What stands here is the field's habit,
chosen and not searched: 448 of 512 pixels, batches of 64, 100 epochs under a
cosine, new layers with ten times the rate of the trained ones. Whoever compares
methods should search the rate for each, on images held out for that:

  for rate in 0.01 0.02 0.05 0.1 0.2; do
    python -m etf_jax.main --config=configs/cub200.py \\
      --config.data.validation_fraction=0.1 \\
      --config.optimizer.learning_rate=$rate
  done
"""

from etf_jax.configs import base


def get_config():
  """ResNet-50 at 448 pixels for 100 epochs, from ImageNet's weights."""
  c = base.get_config()
  c.name = "cub200"
  c.dtype = "bfloat16"
  c.batch_size = 64
  c.total_epochs = 100.0

  c.data.name = "cub200"
  c.data.profile = "none"
  c.data.image_size = 512
  c.augment.crop_size = 448  # of 512 in evaluation: eval_crop 0.875
  # A square of 448 pixels, unscaled, wherever it falls.
  c.augment.crop_scale = (0.875**2, 0.875**2)
  c.augment.crop_ratio = (1.0, 1.0)
  c.augment.flip = True

  c.model.name = "resnet50"
  c.init_from = c.model.get_oneway_ref("name") + ".safetensors"
  c.optimizer.learning_rate = 0.05
  c.optimizer.backbone_learning_rate_factor = 0.1
  c.optimizer.weight_decay = 1e-4
  c.schedule.name = "cosine"
  c.eval.batch_size = 200
  return c
