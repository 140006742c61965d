# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""`collapse` wherever it runs: meshes, transformations, dtypes,
masks, memory, and the words on wrong input."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from etf_jax import collapse, simplex_etf

SIZE, DIM, CLASSES = 40, 6, 5
KINDS = [pytest.param(AxisType.Auto, marks=pytest.mark.slow), AxisType.Explicit]
PROTOTYPES = np.asarray(simplex_etf(jax.random.key(0), DIM, CLASSES))

update = jax.jit(lambda s, h, y, w: collapse.update(s, h, y, where=w))


@functools.cache
def data():
  """Features around random means, labels, a mask, and a reference."""
  rng = np.random.default_rng(0)
  y = np.arange(SIZE) ** 2 % 7 % CLASSES
  h = rng.standard_normal((CLASSES, DIM))[y]
  h = (h + 0.3 * rng.standard_normal((SIZE, DIM))).astype(np.float32)
  reference = rng.standard_normal((CLASSES, DIM)).astype(np.float32)
  return h, y.astype(np.int32), np.arange(SIZE) % 3 != 0, reference


def empty():
  return collapse.init(CLASSES, DIM, reference=data()[3])


def assert_same(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for a, b in zip(*map(jax.tree.leaves, (actual, expected)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@functools.cache
def on_one_device():
  h, y, where, _ = data()
  stats = update(empty(), h, y, where)
  return stats, collapse.compute(stats, PROTOTYPES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_meshes(kind):
  h, y, where, _ = data()
  stats, metrics = on_one_device()
  outside = empty()
  mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind))
  with jax.set_mesh(mesh):
    placed = jax.device_put((h, y, where), NamedSharding(mesh, P("data")))
    actual = update(empty(), *placed)
    assert_same(actual, stats)
    assert_same(update(outside, *placed), stats)
    assert_same(collapse.compute(actual, PROTOTYPES), metrics)
    shaped = [x.reshape(4, 10, *x.shape[1:]) for x in (h, y, where)]
    placed = jax.device_put(shaped, NamedSharding(mesh, P("data", "model")))
    assert_same(update(empty(), *placed), stats)
    assert_same(jax.jit(collapse.merge)(actual, empty()), stats)


def test_shard_map_and_psum():
  h, y, where, reference = data()
  mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

  def per_shard(h, y, where, reference):
    stats = collapse.init(CLASSES, DIM, reference=reference)
    stats = collapse.update(stats, h, y, where=where)
    sums = jax.lax.psum(tuple(stats[:4]), "data")
    return collapse.Statistics(*sums, stats.reference)

  run = jax.jit(
    jax.shard_map(
      per_shard,
      mesh=mesh,
      in_specs=(P("data"), P("data"), P("data"), P()),
      out_specs=P(),
    )
  )
  assert_same(run(h, y, where, reference), on_one_device()[0])
  bad = np.where(np.arange(SIZE) == 7, 9, y)
  assert all(np.isnan(x).all() for x in run(h, bad, where, reference)[:4])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_measures_by_example_on_meshes(kind):
  h, y, where, _ = data()
  tau = np.linspace(0.2, 1.8, CLASSES, dtype=np.float32)
  means = np.array(collapse.class_means(on_one_device()[0]))
  means[2] = np.nan

  @jax.jit
  def measures(h, y, where):
    logits = h @ PROTOTYPES
    return (
      collapse.centre_cosines(h, y, means.T, where=where),
      collapse.in_cone(h, y, PROTOTYPES, tau, where=where),
      collapse.nearest_mean_agreement(logits, h, means, where=where),
    )

  expected = measures(h, y, where)
  assert 0 < float(expected[1].sum()) < where.sum()
  mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
  with jax.set_mesh(mesh):
    placed = jax.device_put((h, y, where), NamedSharding(mesh, P("data")))
    assert_same(measures(*placed), expected)
    frame = jax.device_put(h.T, NamedSharding(mesh, P(None, "data")))
    np.testing.assert_allclose(
      collapse.cosines(frame), collapse.cosines(h.T), atol=1e-6
    )


@pytest.mark.slow
def test_masked_rows_change_nothing():
  h, y, where, _ = data()
  expected = collapse.update(empty(), h[where], y[where])
  h = np.where(where[:, None], h, np.float32(np.nan))
  y = np.where(where, y, -1)
  for function in (update, update.__wrapped__):
    assert_same(function(empty(), h, y, where), expected)
  nothing = update(empty(), h, y, np.zeros(SIZE, bool))
  for a, b in zip(nothing, empty(), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_leading_axes_and_vmap():
  h, y, _, _ = data()
  stats = update(empty(), h, y, None)
  assert_same(
    update(empty(), h.reshape(4, 2, 5, DIM), y.reshape(4, 2, 5), None), stats
  )
  single = empty()
  for row, label in zip(h, y, strict=True):
    single = update(single, row, label, None)
  assert_same(single, stats)
  assert_same(update(stats, h[:0], y[:0], None), stats)
  seeds = jax.jit(jax.vmap(collapse.update, (None, 0, 0)))(
    empty(), h.reshape(2, 20, DIM), y.reshape(2, 20)
  )
  first, second = (jax.tree.map(lambda x, i=i: x[i], seeds) for i in (0, 1))
  assert_same(collapse.merge(first, second), stats)
  metrics = jax.vmap(collapse.compute, (0, None))(seeds, PROTOTYPES)
  assert metrics.nc1.shape == (2,)
  first = jax.tree.map(lambda x: x[0], metrics)
  alone = collapse.compute(update(empty(), h[:20], y[:20], None), PROTOTYPES)
  assert_same(first, alone)


def test_update_inside_scan():
  h, y, where, _ = data()
  batches = [x.reshape(4, 10, *x.shape[1:]) for x in (h, y, where)]

  @jax.jit
  def run(stats, batches):
    def step(stats, batch):
      h, y, where = batch
      return collapse.update(stats, h, y, where=where), None

    return jax.lax.scan(step, stats, batches)[0]

  assert_same(run(empty(), batches), on_one_device()[0])


@pytest.mark.slow
def test_dtypes():
  h, y, _, reference = data()
  half = jnp.asarray(h, jnp.bfloat16)
  stats = update(empty(), half, y, None)
  assert {x.dtype for x in stats} == {jnp.dtype(jnp.float32)}
  assert_same(stats, update(empty(), half.astype(jnp.float32), y, None))
  rough = collapse.init(2, 2, reference=jnp.zeros((2, 2), jnp.bfloat16))
  assert rough.reference.dtype == jnp.float32
  with jax.enable_x64(True):
    assert collapse.init(2, 3).count.dtype == jnp.float64
    narrow = update(empty(), h, y, None)
    assert {x.dtype for x in narrow} == {jnp.dtype(jnp.float32)}
    assert collapse.merge(narrow, narrow).count.dtype == jnp.float32
    wide = update(empty(), np.float64(h), y, None)
    assert {x.dtype for x in wide} == {jnp.dtype(jnp.float64)}
    assert collapse.merge(narrow, wide).reference.dtype == jnp.float64
    shifted = np.float64(h) - reference[y]
    np.testing.assert_allclose(
      wide.shifted_scatter, shifted.T @ shifted, rtol=1e-13, atol=1e-13
    )
    metrics = collapse.compute(narrow, np.float64(PROTOTYPES))
    assert metrics.cdnv.dtype == jnp.float64


def test_memory():
  shapes = jax.eval_shape(lambda: collapse.init(1000, 4096))
  assert sum(x.size * x.dtype.itemsize for x in shapes) <= 100e6
  # With its input donated an update needs one more [d, d], not several.
  size = 512
  compiled = jax.jit(collapse.update, donate_argnums=0).lower(
    collapse.init(4, size), jnp.zeros((8, size)), jnp.zeros(8, jnp.int32)
  )
  memory = compiled.compile().memory_analysis()
  square = 4 * size * size
  assert memory.alias_size_in_bytes >= square
  assert memory.temp_size_in_bytes <= 1.2 * square


@pytest.mark.parametrize("wrong", [-1, CLASSES])
def test_traced_wrong_labels_make_everything_nan(wrong):
  h, y, where, _ = data()
  y = np.where(np.arange(SIZE) == 7, wrong, y)
  stats = update(empty(), h, y, where)
  assert where[7]
  assert all(np.isnan(x).all() for x in stats[:4])
  metrics = collapse.compute(stats, PROTOTYPES)
  assert all(np.isnan(x) for x in jax.tree.leaves(metrics))
  assert np.isnan(collapse.class_means(stats)).all()
  kept = update(empty(), h, y, np.arange(SIZE) != 7)
  assert all(np.isfinite(x).all() for x in kept)


def test_traced_references_that_differ_make_everything_nan():
  a = collapse.init(1, 2)
  b = collapse.init(1, 2, reference=np.ones((1, 2), np.float32))
  merged = jax.jit(collapse.merge)(a, b)
  assert all(np.isnan(x).all() for x in merged[:4])
  assert all(np.isfinite(x).all() for x in jax.jit(collapse.merge)(a, a))


def test_masked_and_wrongly_labelled_examples():
  h, y, where, _ = data()
  bad = np.where(where, y, -1).astype(np.int32)
  poison = np.where(where[:, None], h, np.float32(np.nan))

  def measures(h, y, where):
    own, others = collapse.centre_cosines(h, y, PROTOTYPES, where=where)
    inside = collapse.in_cone(h, y, PROTOTYPES, 1.2, where=where)
    return jnp.stack([own, others, inside])

  compiled = jax.jit(measures)
  clean = compiled(h, y, None)
  value = compiled(poison, bad, where)
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, np.where(where, clean, 0), rtol=1e-5)
  np.testing.assert_array_equal(
    np.isnan(compiled(h, bad, None)), np.tile(~where, (3, 1))
  )
  half = compiled(jnp.asarray(h, jnp.bfloat16), y, None)
  assert half.dtype == jnp.float32
  np.testing.assert_allclose(half[:2], clean[:2], atol=0.01)
  vmapped = jax.vmap(compiled, (0, 0, None), 1)(h, y, None)
  np.testing.assert_allclose(vmapped, clean, rtol=1e-5, atol=1e-6)
  message = r"labels must lie in \[0, 5\), got -1"
  for call in (
    lambda: collapse.centre_cosines(h, bad, PROTOTYPES),
    lambda: collapse.in_cone(h, bad, PROTOTYPES, 1.2),
  ):
    with pytest.raises(ValueError, match=message):
      call()


ONE = (np.ones((1, 2), np.float32), np.zeros(1, int))


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: collapse.init(0, 2), "must be at least 1, got 0 and 2"),
    (
      lambda: collapse.init(3, 2, reference=np.zeros((2, 3), "f4")),
      r"reference must be floating with shape \(3, 2\), got float32 of shape",
    ),
    (
      lambda: collapse.init(1, 1, reference=np.zeros((1, 1), int)),
      "reference must be floating .* got int32",
    ),
    (
      lambda: collapse.update(collapse.init(3, 2), np.ones((1, 3), "f4"), [0]),
      r"features must have feature_dim 2 like the statistics, got shape \(1, 3",
    ),
    (
      lambda: collapse.update(collapse.init(3, 2), *ONE, where=[1.0]),
      "where must be boolean",
    ),
    (
      lambda: collapse.update(collapse.init(3, 2), ONE[0], [3]),
      r"labels must lie in \[0, 3\), got 3",
    ),
    (
      lambda: collapse.update(collapse.init(3, 2), np.ones((1, 2), int), [0]),
      "features must be floating",
    ),
    (
      lambda: collapse.merge(collapse.init(3, 2), collapse.init(2, 3)),
      r"references of one shape, got \(3, 2\) and \(2, 3\)",
    ),
    (
      lambda: collapse.merge(
        collapse.init(1, 2), collapse.init(1, 2, reference=ONE[0])
      ),
      "must have equal references: start both from the same collapse.init",
    ),
    (
      lambda: collapse.compute(collapse.init(3, 2), np.ones((3, 2), "f4")),
      r"prototypes must be floating with shape \(2, 3\), got float32 of shape",
    ),
    (
      lambda: collapse.compute(
        collapse.init(1, 1), np.ones((1, 1), "f4"), global_mean="mean"
      ),
      r"global_mean must be one of \('class', 'sample'\), got 'mean'",
    ),
    (
      lambda: collapse.centre_cosines(*ONE, np.ones((3, 2), "f4")),
      "centres must be floating with shape .* feature_dim 2, got float32",
    ),
    (
      lambda: collapse.in_cone(*ONE, np.ones((3, 2), "f4"), 1.0),
      "prototypes must be floating with shape .* feature_dim 2, got float32",
    ),
    (
      lambda: collapse.in_cone(*ONE, np.ones((2, 3), "f4"), [0.1, 0.2]),
      r"tau must be a scalar or have shape \(3,\), got \(2,\)",
    ),
    (
      lambda: collapse.in_cone(*ONE, np.ones((2, 3), "f4"), -0.1),
      r"tau must lie in \[0, 3.14159\], got -0.1",
    ),
    (
      lambda: collapse.nearest_mean_agreement(ONE[0], ONE[0], ONE[0][0]),
      r"class_means must have shape \[num_classes, feature_dim\], got \(2,",
    ),
    (
      lambda: collapse.nearest_mean_agreement(
        ONE[0], ONE[0], np.ones((3, 2), "f4")
      ),
      r"logits must be floating with shape \(1, 3\), got float32 of shape",
    ),
    (
      lambda: collapse.nearest_mean_agreement(
        ONE[0], ONE[0], np.ones((2, 3), "f4")
      ),
      "class_means.T must be floating with shape .* feature_dim 2",
    ),
    (
      lambda: collapse.numerical_rank(ONE[0], [3], 3),
      r"labels must lie in \[0, 3\), got 3",
    ),
    (
      lambda: collapse.numerical_rank(np.ones((1, 2), int), [0], 3),
      "features must be floating",
    ),
    (
      lambda: jax.jit(lambda h: collapse.numerical_rank(h, ONE[1], 3))(ONE[0]),
      "needs the values of features and labels .* call it outside jit",
    ),
    (lambda: collapse.cosines(np.ones(2, "f4")), "a must be floating"),
    (
      lambda: collapse.cosines(np.ones((2, 2), "f4"), np.ones((2, 2), int)),
      "b must be floating",
    ),
    (
      lambda: collapse.cosines(np.ones((2, 2), "f4"), np.ones((3, 2), "f4")),
      r"equally many rows, got \(2, 2\) and \(3, 2\)",
    ),
  ],
)
def test_wrong_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
