# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Every field of an experiment, once: its meaning, unit, range and default.

The other files of this folder start from `get_config()` and change a few
fields; the command line changes any (`--config.data.imbalance=0.02`). None
means "not given" wherever it is the default.

A duration NAME is three fields, NAME_epochs, NAME_steps and NAME_examples. Set
one; where several are set the finest unit decides (steps, then examples, then
epochs), so that a command line can override a file. NAME_min_steps is a floor
under examples and epochs, which have few steps where images are few; a command
line that gives examples or epochs replaces it too.
"""

import math

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
  """Return the defaults: ETF + DR on the embedded digits."""
  c = ml_collections.ConfigDict()

  c.name = "base"  # names the run in directories and tables
  # ce | ce_weighted | ce_frozen | etf_ce | etf_dr | etf_hinge | ldam_drw |
  # logit_adjusted | balanced_softmax | focal | class_balanced, and on the
  # model of a finished run, named in init_from: crt | tau_norm
  c.method = "etf_dr"
  # Start from a trained model: directory of a finished run, or the one above
  # its seed=N (the run of the same seed is taken), or in torchvision's layout a
  # .safetensors file or hf:ORG/NAME[@REVISION] of the Hugging Face Hub. For crt
  # and tau_norm its data.*, model.* and head.* must be those of this run, for
  # the others its model.* alone.
  c.init_from = placeholder(str)
  c.init_hash = placeholder(str)  # what that is, by a hash; None: any
  # What those others take of it: backbone (with a fresh head) | all, head.*
  # and the classes being the same ...
  c.init_parts = "backbone"
  c.init_checkpoint = "last"  # ... and of a run's checkpoints: last | best
  # One independent run each. The seed decides the initial weights, the
  # prototypes, the order of the data and every augmentation; not the subset.
  c.seeds = (0,)
  # Seeds that are trained in one program, >= 1, where a single one leaves an
  # accelerator idle; 1: one after the other. Each run is the one that it would
  # be alone, up to rounding.
  c.pack_seeds = 1
  # Compute dtype of the backbone: bfloat16 | float32 | float64 (needs
  # JAX_ENABLE_X64=1). Parameters, statistics, prototypes and losses have at
  # least float32.
  c.dtype = "float32"
  c.batch_size = 128  # images per step over all devices
  # Compute a step in so many parts, one after the other, where a batch does not
  # fit, >= 1. Class lengths, loss weights and mixup are those of the whole
  # batch; BatchNorm normalises each part by itself.
  c.accumulate_steps = 1
  # BatchNorm normalises groups of so many images, >= 2, each as if it were on a
  # device of its own (PyTorch's default on several); None: the whole batch.
  c.bn_group_size = placeholder(int)
  _duration(c, "total", epochs=200.0)
  # Steps that the devices go without the host, >= 1, of images that lie there;
  # never past an evaluation, a row of metrics or a checkpoint, before which
  # they go one by one. None: 1 on CPUs and for streamed images, 10 elsewhere.
  # It changes rounding at most.
  c.steps_per_call = placeholder(int)
  # The head is trained alone before the backbone of init_from joins it.
  _duration(c, "freeze", epochs=0.0)
  # Keep compiled programs for later runs: in JAX_COMPILATION_CACHE_DIR, which
  # is ~/.cache/etf_jax/xla unless set.
  c.compilation_cache = True
  # After so many steps, profile so many, as in 100,10: written to profile/ in
  # the run's directory (etf_jax/training/README.md); (): no profile.
  c.profile_steps = ()

  # Evaluate an exponential moving average of the parameters and statistics;
  # each step keeps this much of it, in [0, 1); 0: none.
  c.ema_decay = 0.0

  c.data = d = ml_collections.ConfigDict()
  d.name = "digits"  # python -m etf_jax.prepare --list; folder: your images
  d.data_dir = placeholder(str)  # where prepared data live; None: TFDS's own
  d.manual_dir = placeholder(str)  # archives fetched by hand
  d.prepare = True  # prepare missing data before training
  # Folder of images: split/class/image, class/image, or what lists name. Of
  # features: FILE.npz or .parquet, or a folder with train and test.
  d.dir = placeholder(str)
  d.feature_dim = placeholder(int)  # features: their number; None: the file's
  # Share of each class of a folder without test images that is held back to
  # test on, in (0, 1); data.seed chooses, and no class gives its last image.
  d.test_fraction = 0.2
  d.follow_links = False  # links may lead out of data.dir
  # Which images, with which labels, path or URL: .csv, .tsv, .txt or .json,
  # with "#sha256=..." or "#git=..." behind it if its content is to be checked.
  d.train_list = placeholder(str)
  d.validation_list = placeholder(str)  # the same for validation images
  d.test_list = placeholder(str)  # and for test images
  # Header of the paths' and of the labels' column of a CSV, as in file,species;
  # (): path and label, or the first two where no header has these.
  d.columns = ()
  # exponential | step | pareto | list | none (all); published_svhn: SVHN with
  # the wrong labels of the published loader.
  d.profile = "exponential"
  d.imbalance = 0.01  # smallest / largest class, in (0, 1]
  # Training images in all, shared out by the profile, so that the imbalance
  # alone can vary; None: the largest class has N // K of the N there are.
  d.images = placeholder(int)
  # A coarser class for each of the K classes, in their order, to learn instead,
  # before the tail is cut; classes of one name become one. (): none.
  d.coarse_classes = ()
  d.counts = ()  # images of each class, for the profile `list`
  d.seed = 0  # decides the subset and the validation split, for all seeds
  # Share of each class of the training set, in [0, 1): rounded down, but at
  # least one image of two, and never the last one.
  d.validation_fraction = 0.0
  # Which examples an epoch holds: instance | class_balanced | square_root |
  # progressively_balanced | class_aware | repeat_factor. None: class_balanced
  # for crt, instance for the others.
  d.sampler = placeholder(str)
  # repeat_factor: classes of a smaller share than this are repeated, in (0, 1];
  # None: 1 / K, that of a class among balanced ones.
  d.repeat_threshold = placeholder(float)
  d.feed = "resident"  # resident (decoded, on the devices) | stream
  # Side in pixels of the square that a photograph is held in; None: as it is,
  # for sets whose images are all of one size.
  d.image_size = placeholder(int)
  # shorter: scaled to fill the square, its middle is kept; longer: scaled down
  # to fit into it, whole.
  d.fit = "shorter"
  d.decoder = placeholder(str)  # simplejpeg | opencv | pillow; None: the first
  # Your images that are in training and in testing, or in two classes, with the
  # same bytes: warn | error | allow, which does not look.
  d.duplicates = "warn"
  d.corrupt = "error"  # an image that cannot be decoded: error | skip
  # An image beyond these cannot be decoded either, each >= 1.
  d.max_pixels = 2**27  # that are decoded at once
  d.max_side = 2**16  # pixels
  d.max_scans = 64  # of a JPEG
  d.workers = 0  # processes that decode for the stream; 0: threads
  d.cache_dir = placeholder(str)  # decoded photographs, for the resident feed

  c.augment = a = ml_collections.ConfigDict()
  a.crop_padding = 0  # pixels of zeros on each side before a random crop
  # Side in pixels that random-resized crops, and the centre crops of the
  # evaluation, are scaled to; None: images keep their size.
  a.crop_size = placeholder(int)
  a.crop_scale = (0.08, 1.0)  # its share of the area, in (0, 1] ...
  a.crop_ratio = (3 / 4, 4 / 3)  # ... and its width over its height, > 0
  a.eval_crop = 0.875  # side of the centre crop over the image's shorter side
  a.flip = False  # mirror half of the images, left to right
  a.brightness = 0.0  # factors are drawn from [1 - x, 1 + x], x >= 0 ...
  a.contrast = 0.0  # ... of the distance to the image's mean grey
  a.saturation = 0.0  # ... of the distance to each pixel's grey
  a.randaugment_layers = 0  # operations on each image, >= 0
  a.randaugment_magnitude = 9.0  # their strength, in [0, 10]
  a.cutout = 0  # side in pixels of a square that is blanked, >= 0
  a.mixup_alpha = 0.0  # Beta(alpha, alpha), one draw per batch; 0: no mixup
  a.cutmix_alpha = 0.0  # the same for a pasted box; with both on, one a batch

  c.model = m = ml_collections.ConfigDict()
  # Small images: resnet8 | 20 | 32 | 44 | 56, densenet10 | 100 | 150 | 190 |
  # 250. Photographs: resnet18 | 34 | 50 | 101. Features: identity | mlp.
  # Others: package.module:Class.
  m.name = "resnet32"
  m.width = 1  # multiplies the channels of the resnets
  # Further arguments of the backbone. resnet18 to 101: last_stage_width, which
  # multiplies the channels of the last stage (1). DenseNets: growth, channels
  # that a layer adds (12); reduction, share kept between blocks (0.5). mlp:
  # width, of a hidden layer (512); depth, layers (1); dropout, share of units
  # (0.0); and of identity too normalize, by the training features (True).
  # --config.model.kwargs.width=64 sets one.
  m.kwargs = ml_collections.ConfigDict()
  m.num_classes = placeholder(int)  # None: as many as the data have

  # None: the method's own. Both normalisations for etf_ce and etf_dr; neither
  # for the others, but unit length for cosine heads.
  c.head = h = ml_collections.ConfigDict()
  h.name = placeholder(str)  # etf | linear | frozen_linear | cosine
  h.batch_norm = placeholder(bool)  # of the features, before the head
  h.l2_normalize = placeholder(bool)  # features of length 1
  # Width of a linear layer before them; -1: as wide as the backbone's features
  # (etf_hinge's own); 0: no such layer (the others').
  h.projector = placeholder(int)
  # etf: a frame of so many prototypes, >= the classes. Classes that are added
  # later take the spare ones, with the same seed, and move no other; until then
  # only the classes that there are enter losses and predictions. None: as many
  # as classes.
  h.num_prototypes = placeholder(int)
  # etf: haar, every rotation alike | structured, by fast transforms, for
  # thousands of classes | uniform_qr, as in the authors' code, which prefers
  # some rotations. For more classes than features + 1: softmax_code (hundreds)
  # | random, unit columns.
  h.frame = "haar"
  # etf: length of the prototypes under a softmax, sqrt(E_W) > 0. None: 10 for
  # etf_logit_adjusted, 1 for the others.
  h.length = placeholder(float)
  h.learn_length = False  # the length is learned, from that one on

  c.loss = s = ml_collections.ConfigDict()
  # Lengths of the targets of dot regression, sqrt(gamma / n_class) with the
  # counts of the global batch or of the data set, or 1: batch | global | none.
  s.class_lengths = "batch"
  # class_balanced is the published code's loss; paper is its Eq 14.
  s.scaling = "class_balanced"
  # Length that dot regression expects of a feature; None: 1 for features of
  # unit length, otherwise each feature's own, detached. etf_dr only.
  s.feature_length = placeholder(float)
  s.feature_length_penalty = 0.0  # times mean |feature|; ImageNet-LT: 0.01
  # Losses with class weights: the batch's weighted sum over its size, or over
  # its weights: batch_size | weight_sum. None: weight_sum for ldam_drw,
  # batch_size for ce_weighted and class_balanced.
  s.weight_reduction = placeholder(str)
  # a in targets (1 - a) [k = y] + a / K, in [0, 1]; cross-entropies, etf_hinge.
  s.label_smoothing = 0.0
  # etf_hinge does not pull features that are within an angle of their own
  # prototype, nor push those beyond another from a wrong one; radians, [0, pi].
  s.hinge_tau_minor = math.pi / 4  # own, classes of few images ...
  s.hinge_minor_count = 50  # ... which are at most so many
  s.hinge_tau_major = 0.0  # own, all other classes
  s.hinge_tau_minus = math.pi  # the wrong ones
  s.ldam_max_margin = 0.5  # of the smallest class, in cosines, >= 0
  s.ldam_scale = 30.0  # of the cosines in the softmax, > 0
  s.drw_start = 0.8  # ldam_drw: fraction of the epochs without weights
  s.class_balanced_beta = 0.9999  # class_balanced, ldam_drw: in [0, 1)
  s.temperature = 1.0  # of the log priors in logit_adjusted, >= 0
  s.focal_gamma = 2.0  # exponent of 1 - p, >= 0; 0: cross-entropy
  # tau_norm: exponents of the columns' norms, >= 0, of which the one that is
  # best on validation images by eval.best_metric is taken.
  s.tau_grid = tuple(i / 10 for i in range(21))

  c.optimizer = o = ml_collections.ConfigDict()
  # sgd, as PyTorch's: the decay joins the gradient before the momentum | adamw:
  # the decay is apart from the gradient, and momentum is its first beta.
  o.name = "sgd"
  o.learning_rate = 0.1  # highest of the schedule, > 0
  o.momentum = 0.9  # in [0, 1)
  o.nesterov = False  # Nesterov's form of the momentum
  o.weight_decay = 2e-4  # >= 0
  o.decayed = "all"  # all | kernels (neither biases nor BatchNorm)
  # Of the backbone's rate over the head's, >= 0. 0: the backbone of init_from
  # stays as it is, its running statistics too.
  o.backbone_learning_rate_factor = 1.0
  # Of a layer's rate over that of the layer behind it, in (0, 1]; layers are
  # the parts of the backbone, and the head has the full rate.
  o.layer_decay = 1.0
  # Gradients whose norm over all trained parameters is larger are scaled down
  # to it, > 0; None: none are.
  o.clip_norm = placeholder(float)

  c.schedule = r = ml_collections.ConfigDict()
  r.name = "step"  # step | cosine | constant
  r.per_step = False  # the rate changes with each step; False: each epoch
  _duration(r, "warmup", epochs=5.0)  # linear, from learning_rate / warmup
  r.decay_fractions = (0.8, 0.9)  # of the whole run: after these epochs ...
  r.decay_factor = 0.1  # ... the rate is multiplied, for `step`

  c.eval = e = ml_collections.ConfigDict()
  _duration(e, "every", epochs=1.0)
  # What chooses best/, on validation images where there are some and else on
  # the test images: balanced_accuracy (the mean over classes) | accuracy |
  # macro_f1. tau_norm chooses its tau by it.
  e.best_metric = "balanced_accuracy"
  # End when that has not risen for so many epochs, > 0; None: never.
  e.patience_epochs = placeholder(float)
  e.batch_size = 1000  # images per evaluation step
  e.train_accuracy_steps = 10  # training accuracy on every n-th step only

  # Neural collapse: etf_jax/collapse says what is measured.
  c.collapse = n = ml_collections.ConfigDict()
  _duration(n, "every", epochs=10.0)  # and after the last step
  n.splits = ("train", "test")  # of train (not augmented), validation, test
  # Keep a split's features on the devices, 4 bytes a number, for what needs
  # the class means first: agreement with the nearest mean, cosines, ranks.
  n.hold_features = True
  n.rank_images = 100  # of each class enter the numerical rank; 0: no rank

  c.checkpoint = k = ml_collections.ConfigDict()
  _duration(k, "every", epochs=10.0)
  k.keep = 2  # resumable checkpoints kept
  k.best = True  # keep the best evaluation's weights in best/

  c.report = p = ml_collections.ConfigDict()
  _duration(p, "log_every")  # rows of training metrics; none set: 50 steps
  p.html = True  # report.html, when the run has ended
  p.tensorboard = True  # event files, without TensorFlow
  # package.module:function, called with (config as a dict, directory); it
  # returns an object with write(row) and close(), beside TensorBoard.
  p.tracker = placeholder(str)

  c.devices = placeholder(int)  # use the first n; None: all
  # How they are arranged: seed x data x fsdp x model of them. Batches are
  # spread over data x fsdp.
  c.mesh = g = ml_collections.ConfigDict()
  g.seed = 1  # the runs of pack_seeds are spread over these
  g.data = placeholder(int)  # None: as many as remain
  g.fsdp = 1  # parameters and optimiser state are cut into so many parts
  # And a classifier's classes into these, where they are many; the devices of
  # one such set compute the same backbone on the same images.
  g.model = 1
  return c


def _duration(node, name, *, epochs=None, steps=None):
  node[f"{name}_epochs"] = placeholder(float)
  for unit in ("steps", "examples", "min_steps"):
    node[f"{name}_{unit}"] = placeholder(int)
  node.update({f"{name}_epochs": epochs, f"{name}_steps": steps})
