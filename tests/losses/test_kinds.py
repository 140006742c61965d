# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Faults that a public function must not have, one test a kind.

The functions are found in the modules; a new one needs a row in `EXAMPLES`.
"""

import functools
import inspect
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
import jax
from jax import export
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax import collapse, etf, losses

BATCH, DIM, CLASSES = 6, 7, 5
RNG = np.random.default_rng(0)


def normal(*shape):
  return RNG.standard_normal(shape).astype(np.float32)


H, W, Z = normal(BATCH, DIM), normal(DIM, CLASSES), normal(BATCH, CLASSES)
Y = np.array([0, 1, 3, 4, 4, 1], np.int32)
WHERE = np.array([True, True, False, True, True, True])
COUNTS = np.array([50, 20, 9, 4, 1])
ABSENT = np.array([50, 20, 0, 4, 1])
ONE, HALF = np.float32(1), np.float32(0.5)
STATS = collapse.update(
  collapse.init(CLASSES, DIM), normal(40, DIM), np.arange(40) % CLASSES
)
KEY = jax.random.key(0)

LINEAR = losses.LinearLogits(H, W, normal(CLASSES))
TARGETS = RNG.dirichlet(np.ones(CLASSES), BATCH).astype(np.float32)

# Arguments by name: arrays and NumPy's scalars can be traced, the others are
# Python's and cannot. Arrays with BATCH rows are batches.
logits = {"logits": Z, "labels": Y, "where": WHERE}
features = {"features": H, "labels": Y, "where": WHERE}
EXAMPLES = {
  "losses.adjust_logits": {
    "logits": Z, "class_counts": COUNTS, "temperature": ONE,
    "target_counts": COUNTS[::-1].copy(),
  },
  "losses.balanced_softmax": logits | {"class_counts": COUNTS},
  "losses.class_balanced_weights": {"class_counts": COUNTS, "beta": HALF},
  "losses.deferred_weights": {
    "weights": normal(CLASSES), "step": np.int32(3), "start": np.int32(2),
  },
  "losses.dot_regression": {
    "features": H, "targets": normal(BATCH, DIM), "feature_length": ONE,
    "where": WHERE,
  },
  "losses.dot_regression_with_integer_labels": features | {
    "prototypes": W, "class_lengths": np.ones(CLASSES, np.float32),
    "feature_length": ONE,
  },
  "losses.feature_length_penalty": {"features": H, "where": WHERE},
  "losses.focal": logits | {"gamma": HALF, "alpha": ONE},
  "losses.hinge_cross_entropy_with_integer_labels": features | {
    "prototypes": W, "tau_plus": HALF, "tau_minus": np.float32(2),
    "label_smoothing": np.float32(0.1),
  },
  "losses.hinge_logits": {
    "features": H, "labels": Y, "prototypes": W, "tau_plus": HALF,
    "tau_minus": np.float32(2),
  },
  "losses.inverse_frequency_weights": {"class_counts": COUNTS},
  "losses.ldam": logits | {
    "class_counts": COUNTS, "max_margin": HALF, "scale": np.float32(10),
  },
  "losses.logit_adjusted": logits | {
    "class_counts": COUNTS, "temperature": ONE,
  },
  "losses.mixup": {
    "logits": Z, "labels_a": Y, "labels_b": Y[::-1].copy(), "lam": HALF,
  },
  "losses.pull_push": {"features": H, "labels": Y, "weights": W},
  "losses.vector_scaling": logits | {
    "class_counts": COUNTS, "gamma": HALF, "temperature": ONE,
  },
  "losses.weighted_mean": {
    "values": normal(BATCH), "weights": RNG.random(BATCH, np.float32),
    "where": WHERE,
  },
  "etf.batch_class_lengths": {
    "labels": Y, "num_classes": CLASSES, "where": WHERE,
  },
  "etf.class_lengths": {"class_counts": COUNTS},
  "etf.simplex_etf": {"key": KEY, "feature_dim": 4, "num_classes": 3},
  "etf.frame_margin": {"prototypes": W},
  "etf.random_frame": {"key": KEY, "feature_dim": 2, "num_classes": 3},
  "etf.structured_etf": {"key": KEY, "feature_dim": 4, "num_classes": 3},
  "etf.softmax_code": {"key": KEY, "feature_dim": 2, "num_classes": 3},
  "etf.uniform_qr_etf": {"key": KEY, "feature_dim": 4, "num_classes": 3},
  "collapse.centre_cosines": features | {"centres": W},
  "collapse.class_means": {"stats": STATS},
  "collapse.compute": {"stats": STATS, "prototypes": W},
  "collapse.cosines": {"a": W, "b": normal(DIM, 3)},
  "collapse.in_cone": features | {"prototypes": W, "tau": HALF},
  "collapse.init": {
    "num_classes": CLASSES, "feature_dim": DIM, "reference": W.T,
  },
  "collapse.merge": {"a": STATS, "b": STATS},
  "collapse.nearest_mean_agreement": {
    "logits": Z, "features": H, "class_means": W.T.copy(), "where": WHERE,
  },
  "collapse.numerical_rank": {
    "features": H, "labels": Y, "num_classes": CLASSES,
  },
  "collapse.update": features | {"stats": STATS},
}  # fmt: skip
# The same losses of other logits and labels.
for name in (
  "balanced_softmax",
  "focal",
  "ldam",
  "logit_adjusted",
  "vector_scaling",
):
  usual = EXAMPLES[f"losses.{name}"]
  EXAMPLES[f"losses.{name} in blocks"] = usual | {
    "logits": LINEAR, "block_size": 2,
  }  # fmt: skip
  EXAMPLES[f"losses.{name} of targets"] = usual | {
    "labels": TARGETS, "label_smoothing": np.float32(0.1),
  }  # fmt: skip
name = "losses.hinge_cross_entropy_with_integer_labels"
EXAMPLES[f"{name} in blocks"] = EXAMPLES[name] | {"block_size": 2}
EXAMPLES[f"{name} of targets"] = EXAMPLES[name] | {"labels": TARGETS}
# Functions that compute on the host.
HOST = {"collapse.numerical_rank"}
# The draws of frames, which are not for export: their numbers are NumPy's.
DRAWS = {name for name in EXAMPLES if "key" in EXAMPLES[name]}
TRACED = sorted(EXAMPLES.keys() - HOST - DRAWS)

# Values out of range of every parameter that is not data, by its name.
NOT_FINITE = (np.nan, np.inf)
WRONG = {
  "alpha": (-1, *NOT_FINITE),
  "beta": (-0.1, 1, np.nan),
  "class_counts": (-1, *NOT_FINITE),
  "class_lengths": (-1, 0, *NOT_FINITE),
  "feature_length": (-1, 0, *NOT_FINITE),
  "gamma": (-1, *NOT_FINITE),
  "label_smoothing": (-0.1, 1.1, np.nan),
  "lam": (-0.1, 1.1, np.nan),
  "max_margin": (-1, *NOT_FINITE),
  "scale": (-1, 0, *NOT_FINITE),
  "tau": (-0.1, 4, np.nan),
  "tau_minus": (-0.1, 4, np.nan),
  "tau_plus": (-0.1, 4, np.nan),
  "target_counts": (-1, *NOT_FINITE),
  "temperature": NOT_FINITE,
}
DATA = {
  "a", "b", "centres", "class_means", "features", "labels", "labels_a",
  "labels_b", "logits", "prototypes", "reference", "start", "stats", "step",
  "targets", "values", "weights", "where",
}  # fmt: skip


def public():
  """Names of the public functions, as `module.function`."""
  return {
    f"{module.__name__.rpartition('.')[2]}.{name}"
    for module in (losses, etf, collapse)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
  }


def function(name):
  if name == "losses.mixup":
    return lambda logits, labels_a, labels_b, lam: losses.mixup(
      lambda y: losses.focal(logits, y), labels_a, labels_b, lam
    )
  module, _, attribute = name.partition(" ")[0].partition(".")
  chosen = {"losses": losses, "etf": etf, "collapse": collapse}[module]
  return getattr(chosen, attribute)


class Call(NamedTuple):
  """A function of its arrays alone, and an example of them."""

  call: object
  arrays: dict


def example(name, **changes):
  arguments = EXAMPLES[name] | changes
  arrays = {
    key: x
    for key, x in arguments.items()
    if isinstance(x, np.ndarray | np.generic | jax.Array | tuple)
  }
  fixed = {key: x for key, x in arguments.items() if key not in arrays}
  inner = function(name)

  def call(**given):
    return inner(**fixed, **given)

  return Call(call, arrays)


def same(actual, expected, rtol=1e-5, atol=1e-6):
  actual, expected = map(jax.tree.leaves, (actual, expected))
  for one, other in zip(actual, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def with_argument(*arguments):
  return [
    (name, argument)
    for name in TRACED
    for argument in EXAMPLES[name]
    if argument in arguments
  ]


def test_every_public_function_has_an_example():
  assert public() == {name.partition(" ")[0] for name in EXAMPLES}
  for name in TRACED:
    others = example(name).arrays.keys() - DATA - WRONG.keys()
    assert not others, f"{name}: say the range of {others} in WRONG"


@pytest.mark.parametrize("name", TRACED)
def test_traced_and_untraced_agree(name):
  call, arrays = example(name)
  same(jax.jit(call)(**arrays), call(**arrays))


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "feature_dim"),
  [
    (name, feature_dim)
    for name in sorted(DRAWS)
    for feature_dim in (2, 3, 8)
    # It needs as many features as classes, of which there are three.
    if name != "etf.uniform_qr_etf" or feature_dim >= 3
  ],
)
def test_a_frame_is_the_same_to_the_bit_wherever_it_is_drawn(name, feature_dim):
  sizes = {"feature_dim": feature_dim, "num_classes": 3}
  draw = functools.partial(function(name), **sizes)
  keys = jax.random.split(KEY, 3)
  frames = [draw(key) for key in keys]
  shapes = jax.eval_shape(draw, KEY)
  assert jax.tree.map(lambda x: (x.shape, x.dtype), frames[0]) == jax.tree.map(
    lambda x: (x.shape, x.dtype), shapes
  )
  jitted, vmapped = jax.jit(draw), jax.jit(jax.vmap(draw))(keys)
  for i, (key, frame) in enumerate(zip(keys, frames, strict=True)):
    for other in (
      jitted(key),
      jax.jit(lambda x, key=key: jax.tree.map(lambda y: x * y, draw(key)))(1.0),
      jax.tree.map(lambda x, i=i: x[i], vmapped),
    ):
      jax.tree.map(np.testing.assert_array_equal, other, frame)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_a_frame_of_any_dtype_is_the_same_to_the_bit(dtype):
  with jax.enable_x64(True):
    draw = functools.partial(
      etf.simplex_etf, feature_dim=7, num_classes=5, dtype=dtype
    )
    frame = draw(KEY)
    assert frame.dtype == dtype
    np.testing.assert_array_equal(jax.jit(draw)(KEY), frame)


def test_counts_beyond_32_bits_by_hand():
  loss = losses.logit_adjusted(
    np.zeros((3, 3), np.float32),
    np.arange(3),
    class_counts=np.array([5_000_000_000, 1_000_000_000, 10]),
  )
  np.testing.assert_allclose(loss, [0.18232, 1.79176, 20.2124], rtol=1e-5)


@pytest.mark.parametrize(("name", "argument"), with_argument("class_counts"))
def test_counts_beyond_32_bits(name, argument):
  counts = np.array([5_000_000_000, 1_000_000_000, 3_000_000_000, 10, 1])
  results = []
  for kind in (np.int64, np.uint64, np.float32):
    call, arrays = example(name, class_counts=counts.astype(kind))
    results.append(call(**arrays))
  same(results[0], results[2])
  same(results[1], results[2])


@pytest.mark.parametrize(("name", "argument"), with_argument("class_counts"))
def test_an_absent_class_changes_nothing_for_the_others(name, argument):
  changes = {"class_counts": ABSENT}
  if np.ndim(EXAMPLES[name].get("labels")) == 2:
    changes["labels"] = np.where(ABSENT == 0, 0, TARGETS)
  if "target_counts" in EXAMPLES[name]:
    changes["target_counts"] = ABSENT[::-1].copy()
  call, arrays = example(name, **changes)
  loss = call(**arrays)
  same(jax.jit(call)(**arrays), loss)
  without = {"class_counts": np.delete(ABSENT, 2)}
  if "target_counts" in arrays:
    without["target_counts"] = np.delete(arrays["target_counts"], 2)
  if "logits" in arrays and arrays["logits"] is Z:
    without["logits"] = np.delete(Z, 2, axis=1)
  elif "logits" in arrays:
    without["logits"] = LINEAR._replace(
      weights=np.delete(W, 2, axis=1), bias=np.delete(LINEAR.bias, 2)
    )
  if "labels" in arrays and np.ndim(arrays["labels"]) == 1:
    without["labels"] = np.where(Y > 2, Y - 1, Y)
  elif "labels" in arrays:
    without["labels"] = np.delete(TARGETS, 2, axis=1)
  changed = example(name, **without)
  expected = changed.call(**changed.arrays)
  if name.endswith("_weights"):
    assert loss[2] == 0
  if loss.shape[-1:] == (CLASSES,):
    loss = jnp.delete(loss, 2, axis=-1)
  if name.startswith("losses.ldam"):
    # Its logit stays in the softmax.
    expected = call(
      **arrays | {"class_counts": np.array([50, 20, 10**9, 4, 1])}
    )
  same(loss, expected, rtol=1e-4)


@pytest.mark.parametrize(
  ("name", "argument", "value"),
  [
    (name, argument, value)
    for name, argument in with_argument(*WRONG)
    for value in WRONG[argument]
  ],
)
def test_parameters_out_of_range(name, argument, value):
  shape = np.shape(EXAMPLES[name][argument])
  wrong = np.full(shape, value, np.float32)
  call, arrays = example(name, **{argument: wrong})
  with pytest.raises(ValueError, match=argument):
    call(**arrays)
  outputs = jax.tree.leaves(jax.jit(call)(**arrays))
  assert any(np.isnan(x).any() for x in outputs)


@pytest.mark.parametrize(
  ("name", "argument"), with_argument(*WRONG, "labels", "where")
)
def test_a_column_does_not_broadcast(name, argument):
  value = EXAMPLES[name][argument]
  column = np.broadcast_to(np.ravel(value)[0], (BATCH, 1)).copy()
  call, arrays = example(name, **{argument: column})
  for one in (call, jax.jit(call)):
    with pytest.raises(ValueError, match=rf"{argument}|where .*shape"):
      one(**arrays)


def check_gradients(name, changes):
  """Gradients of the finite outputs are finite."""
  call, arrays = example(name, **changes)
  floating = {
    key: x
    for key, x in arrays.items()
    if all(
      jnp.issubdtype(np.asarray(leaf).dtype, jnp.floating)
      for leaf in jax.tree.leaves(x)
    )
  }
  others = {key: x for key, x in arrays.items() if key not in floating}

  def total(floating):
    leaves = jax.tree.leaves(call(**floating, **others))
    return sum(jnp.sum(jnp.where(jnp.isfinite(x), x, 0)) for x in leaves)

  gradients = jax.grad(total)(floating) if floating else {}
  for key, x in gradients.items():
    for leaf in jax.tree.leaves(x):
      assert np.isfinite(leaf).all(), f"{name}: gradient by {key} is {leaf}"


SPECIAL = ("zero column", "zero row", "zeros", "equal rows", "equal columns")
MATRICES = (
  "a", "b", "centres", "class_means", "features", "logits", "prototypes",
  "reference", "targets", "weights",
)  # fmt: skip


def special(x, kind):
  x = x.copy()
  match kind:
    case "zero column":
      x[:, 1] = 0
    case "zero row":
      x[1] = 0
    case "zeros":
      x[:] = 0
    case "equal rows":
      x[:] = x[:1]
    case "equal columns":
      x[:] = x[:, :1]
  return x


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", TRACED)
def test_gradients_are_finite_at_special_inputs(name, kind):
  arguments = EXAMPLES[name]
  matrices = [
    key
    for key in MATRICES
    if isinstance(arguments.get(key), np.ndarray) and arguments[key].ndim == 2
  ]
  for key in matrices:
    check_gradients(name, {key: special(arguments[key], kind)})
  check_gradients(
    name, {key: special(arguments[key], kind) for key in matrices}
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  "features",
  [
    np.zeros((4, DIM), np.float32),
    np.ones((4, DIM), np.float32),
    normal(1, DIM),
    np.repeat(normal(2, DIM), 2, axis=0),
    np.eye(4, DIM, dtype=np.float32),
  ],
)
@pytest.mark.parametrize("global_mean", ["class", "sample"])
def test_gradients_of_collapse_are_finite(features, global_mean):
  labels = np.arange(len(features)) // 2
  stats = collapse.update(collapse.init(CLASSES, DIM), features, labels)
  check_gradients(
    "collapse.compute", {"stats": stats, "global_mean": global_mean}
  )

  def total(features):
    stats = collapse.update(collapse.init(CLASSES, DIM), features, labels)
    values = collapse.compute(stats, W, global_mean=global_mean)
    leaves = jax.tree.leaves(values)
    return sum(jnp.where(jnp.isfinite(x), x, 0) for x in leaves)

  assert np.isfinite(jax.grad(total)(features)).all()


SCALES = st.sampled_from([0.0, 1e-30, 1e-8, 1.0, 1e4])


@pytest.mark.slow
@given(st.lists(SCALES, min_size=BATCH, max_size=BATCH), st.integers(0, 99))
def test_gradients_are_finite_at_any_scale(scales, seed):
  rng = np.random.default_rng(seed)
  scales = np.array(scales, np.float32)[:, None]
  features = rng.standard_normal((BATCH, DIM)).astype(np.float32) * scales
  logits = rng.standard_normal((BATCH, CLASSES)).astype(np.float32) * scales
  name = sorted(WITH_BATCH)[seed % len(WITH_BATCH)]
  changes = {"features": features, "logits": logits}
  if isinstance(EXAMPLES[name].get("logits"), losses.LinearLogits):
    changes["logits"] = LINEAR._replace(features=features)
  check_gradients(
    name, {key: x for key, x in changes.items() if key in EXAMPLES[name]}
  )


WITH_BATCH = [
  name for name in TRACED if {"features", "logits"} & EXAMPLES[name].keys()
]


WITH_LOGITS = [
  name
  for name in TRACED
  if name.startswith("losses.") and "logits" in EXAMPLES[name]
]


@pytest.mark.slow
@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("name", WITH_LOGITS)
def test_a_masked_class_costs_infinity_and_leaves_gradients_finite(
  name, smoothing
):
  z, bias = Z.copy(), LINEAR.bias.copy()
  z[:, 2] = bias[2] = -np.inf
  linear = isinstance(EXAMPLES[name]["logits"], losses.LinearLogits)
  changes = {"logits": LINEAR._replace(bias=bias) if linear else z}
  usual = EXAMPLES[name].get("labels")
  if usual is TARGETS:
    labels = TARGETS * (np.arange(CLASSES) != 2)
    changes["labels"] = labels / labels.sum(1, keepdims=True)
    changes["labels"][0] = TARGETS[0]
  elif usual is Y:
    changes["labels"] = np.where(np.arange(BATCH) == 0, 2, Y)
  if usual is not None and not (smoothing and "focal in" in name):
    changes["label_smoothing"] = smoothing
  check_gradients(name, changes)
  call, arrays = example(name, **changes)
  loss = call(**arrays)
  same(jax.jit(call)(**arrays), loss)
  if usual is not None:
    # Nothing is expected of the masked class by the others.
    np.testing.assert_array_equal(np.isinf(loss), np.arange(BATCH) == 0)
    assert not np.isnan(loss).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACED)
def test_export_to_every_platform_with_a_symbolic_batch(name):
  call, arrays = example(name)
  (batch,) = export.symbolic_shape("batch")

  def like(x):
    symbolic = np.ndim(x) and len(x) == BATCH
    shape = (batch, *x.shape[1:]) if symbolic else np.shape(x)
    return jax.ShapeDtypeStruct(shape, jnp.asarray(x).dtype)

  shapes = jax.tree.map(like, arrays)
  exported = export.export(jax.jit(call), platforms=("cpu", "cuda", "tpu"))(
    **shapes
  )
  restored = export.deserialize(exported.serialize())
  given = jax.tree.map(jnp.asarray, arrays)
  same(restored.call(**given), call(**arrays))
