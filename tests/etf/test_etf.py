# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The geometry: simplex ETFs, class lengths and softmax codes."""

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from etf_jax import etf, simplex_etf
from etf_jax.etf import _softmax_code

KEY = jax.random.key(0)


def gram_of_simplex(num_classes):
  k = num_classes
  return (k * np.eye(k) - np.ones((k, k))) / (k - 1)


@pytest.mark.parametrize(
  ("feature_dim", "num_classes"),
  [(1, 2), (64, 2), (2, 3), (9, 10), (10, 10), (64, 10), (99, 100), (510, 100)],
)
def test_simplex_has_the_exact_gram_and_projector(feature_dim, num_classes):
  stored = simplex_etf(KEY, feature_dim, num_classes)
  assert stored.dtype == jnp.float32
  assert stored.shape == (feature_dim, num_classes)
  m = np.asarray(stored, np.float64)
  gram = gram_of_simplex(num_classes)
  np.testing.assert_allclose(m.T @ m, gram, atol=1e-6)
  np.testing.assert_allclose(m.sum(axis=1), 0, atol=1e-6)
  # M M^T is K/(K-1) times a projector of rank K - 1.
  projector = (num_classes - 1) / num_classes * m @ m.T
  np.testing.assert_allclose(projector @ projector, projector, atol=2e-6)
  assert np.trace(projector) == pytest.approx(num_classes - 1, abs=1e-4)


def test_simplex_of_two_classes_is_plus_and_minus_one_vector():
  m = np.asarray(simplex_etf(KEY, 5, 2))
  np.testing.assert_allclose(m[:, 0], -m[:, 1], atol=1e-7)


def test_simplex_depends_on_its_key_only():
  first = simplex_etf(KEY, 8, 4)
  np.testing.assert_array_equal(first, simplex_etf(KEY, 8, 4))
  other = simplex_etf(jax.random.key(1), 8, 4)
  assert np.abs(np.asarray(first - other)).max() > 0.1
  with jax.enable_x64(True):
    wide = simplex_etf(KEY, 8, 4, dtype=jnp.float64)
  assert wide.dtype == jnp.float64
  np.testing.assert_allclose(wide, first, atol=1e-7)
  gram = np.asarray(wide).T @ np.asarray(wide)
  np.testing.assert_allclose(gram, gram_of_simplex(4), atol=1e-14)


def test_simplex_is_haar():
  # For a uniformly random direction in R^3 the coordinates have mean 0 and
  # covariance I/3; the QR of a uniform [0, 1) matrix, or unfixed signs, would
  # give the first coordinate a preferred sign.
  draws = np.stack(
    [simplex_etf(jax.random.key(seed), 3, 3) for seed in range(600)]
  )
  first = draws[:, :, 0]
  np.testing.assert_allclose(first.mean(axis=0), 0, atol=4 / np.sqrt(3 * 600))
  covariance = first.T @ first / 600
  np.testing.assert_allclose(covariance, np.eye(3) / 3, atol=0.06)


def test_the_published_construction_is_a_simplex_in_preferred_directions():
  draws = np.stack(
    [etf.uniform_qr_etf(jax.random.key(seed), 6, 3) for seed in range(200)]
  ).astype(np.float64)
  assert draws.shape == (200, 6, 3)
  grams = np.swapaxes(draws, 1, 2) @ draws
  np.testing.assert_allclose(
    grams, np.broadcast_to(gram_of_simplex(3), (200, 3, 3)), atol=1e-6
  )
  # By hand, from the same random numbers.
  uniform = np.asarray(
    jax.random.uniform(jax.random.key(7), (6, 3)), np.float64
  )
  q = np.linalg.qr(uniform).Q
  by_hand = np.sqrt(3 / 2) * q @ (np.eye(3) - np.ones((3, 3)) / 3)
  np.testing.assert_allclose(draws[7], by_hand, atol=1e-6)
  # Uniform rotations have a mean of zero, within 5 / sqrt(6 * 200) = .14. Here
  # q's first column is near -1 / sqrt(6), which the others are normal to.
  mean = draws.mean(axis=0)
  assert np.abs(mean).max() > 0.25
  haar = np.stack(
    [simplex_etf(jax.random.key(seed), 6, 3) for seed in range(200)]
  )
  assert np.abs(haar.mean(axis=0)).max() < 0.14


def test_the_published_construction_needs_as_many_features_as_classes():
  with pytest.raises(ValueError, match="at least num_classes, got 9 and 10"):
    etf.uniform_qr_etf(KEY, 9, 10)


def test_simplex_keeps_zero_sum_in_float32_but_not_in_bfloat16():
  half = simplex_etf(KEY, 299, 300, dtype=jnp.bfloat16)
  assert half.dtype == jnp.bfloat16
  lost = np.abs(np.asarray(half, np.float64).sum(axis=1)).max()
  assert lost > 1e-3
  exact = np.asarray(simplex_etf(KEY, 299, 300), np.float64)
  assert np.abs(exact.sum(axis=1)).max() < 1e-6


def test_simplex_takes_keys_of_both_kinds():
  raw = simplex_etf(jax.random.PRNGKey(0), 4, 3)
  np.testing.assert_array_equal(raw, simplex_etf(KEY, 4, 3))


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ((KEY, 8, 1), "num_classes must be at least 2, got 1"),
    (
      (KEY, 8, 10),
      "needs num_classes - 1 = 9.*Project.*softmax_code.*random_frame",
    ),
  ],
)
def test_simplex_refuses_sizes_that_do_not_exist(arguments, message):
  with pytest.raises(ValueError, match=message):
    simplex_etf(*arguments)


def test_simplex_refuses_integers():
  with pytest.raises(ValueError, match="dtype must be floating, got int32"):
    simplex_etf(KEY, 4, 3, dtype=jnp.int32)


@pytest.mark.parametrize(
  ("feature_dim", "num_classes"),
  [(1, 2), (2, 3), (9, 10), (10, 10), (64, 10), (300, 257)],
)
def test_a_structured_frame_is_a_simplex(feature_dim, num_classes):
  m = etf.structured_etf(KEY, feature_dim, num_classes)
  assert m.shape == (feature_dim, num_classes)
  exact = np.asarray(m, np.float64)
  np.testing.assert_allclose(
    exact.T @ exact, gram_of_simplex(num_classes), atol=1e-6
  )
  margin = num_classes / (num_classes - 1)
  assert float(etf.frame_margin(m)) == pytest.approx(margin, abs=1e-6)
  if feature_dim > 2:
    other = etf.structured_etf(jax.random.key(1), feature_dim, num_classes)
    assert np.abs(np.asarray(m - other)).max() > 0.1


def test_structured_frames_prefer_no_direction():
  # Means over keys of entries of size 1/sqrt(64): within 5 standard errors.
  draws = np.stack(
    [etf.structured_etf(jax.random.key(seed), 64, 8) for seed in range(100)]
  )
  assert np.abs(draws.mean(axis=0)).max() < 5 / np.sqrt(64 * 100)


def test_random_columns_and_their_margin():
  columns = np.asarray(etf.random_frame(KEY, 16, 700), np.float64)
  np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, atol=1e-6)
  cosines = columns.T @ columns - 2 * np.eye(700)
  margin = etf.frame_margin(jnp.asarray(columns, jnp.float32))
  assert float(margin) == pytest.approx(1 - cosines.max(), abs=1e-6)
  assert 0 < float(margin) <= exact_margin(columns[:, :40]) + 1e-6


def test_class_lengths_by_hand():
  # gamma = 12/3 = 4; the fourth class is absent.
  lengths = etf.class_lengths([8, 2, 2, 0])
  np.testing.assert_allclose(lengths, [0.5**0.5, 2**0.5, 2**0.5, 1], rtol=1e-6)


@pytest.mark.parametrize(
  "counts",
  [
    [3, 1],
    (3, 1),
    np.array([3, 1]),
    np.array([3, 1], np.uint8),
    np.array([3.0, 1.0]),
    jnp.array([3, 1]),
    jnp.array([3, 1], jnp.bfloat16),
  ],
)
def test_class_lengths_of_any_kind_of_counts(counts):
  lengths = etf.class_lengths(counts)
  assert lengths.dtype == jnp.float32
  np.testing.assert_allclose(lengths, [(2 / 3) ** 0.5, 2**0.5], rtol=1e-6)


def test_class_lengths_in_64_bits():
  with jax.enable_x64(True):
    assert etf.class_lengths(np.array([3, 1])).dtype == jnp.float64
    assert etf.class_lengths(np.array([3, 1], np.float32)).dtype == jnp.float32
    assert etf.batch_class_lengths(jnp.array([0, 1]), 2).dtype == jnp.float64


def test_class_lengths_of_no_samples_are_one():
  np.testing.assert_array_equal(etf.class_lengths([0, 0]), [1, 1])


@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=12))
def test_class_lengths_balance_the_classes(counts):
  counts = np.array(counts)
  lengths = np.asarray(etf.class_lengths(counts), np.float64)
  total = counts * lengths**2
  present = counts > 0
  if present.any():
    # Every present class weighs the same, and the mean weight is 1.
    np.testing.assert_allclose(
      total[present], counts.sum() / present.sum(), rtol=1e-5
    )
  np.testing.assert_array_equal(lengths[~present], 1)


@pytest.mark.parametrize(
  ("counts", "message"),
  [
    ([3, -1], "not negative, got -1 for class 1"),
    ([3.0, np.nan], "must be finite and not negative, got nan for class 1"),
    ([[3, 1]], r"must have shape \[num_classes\], got \(1, 2\)"),
    (7, r"must have shape \[num_classes\], got \(\)"),
    ([True, False], "must be numbers, got booleans"),
  ],
)
def test_class_lengths_refuse_wrong_counts(counts, message):
  with pytest.raises(ValueError, match=message):
    etf.class_lengths(counts)


# One size, so that everything compiles once.
@given(
  st.lists(
    st.tuples(st.integers(0, 6), st.booleans()), min_size=24, max_size=24
  )
)
def test_batch_class_lengths_are_those_of_the_batch(pairs):
  labels, where = (np.array(x) for x in zip(*pairs, strict=True))
  counts = np.bincount(labels[where], minlength=7)
  np.testing.assert_allclose(
    etf.batch_class_lengths(labels, 7, where=where),
    etf.class_lengths(counts),
    rtol=1e-6,
  )


def test_batch_class_lengths_of_a_masked_batch_are_one():
  labels, where = jnp.array([2, 2]), jnp.zeros(2, bool)
  np.testing.assert_array_equal(
    etf.batch_class_lengths(labels, 3, where=where), [1, 1, 1]
  )


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_batch_class_lengths_are_of_the_global_batch(kind):
  labels = np.arange(16, dtype=np.int32).reshape(8, 2) ** 2 % 7
  where = np.arange(16).reshape(8, 2) % 5 != 0
  expected = etf.batch_class_lengths(labels, 7, where=where)
  mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
  with jax.set_mesh(mesh):
    sharding = NamedSharding(mesh, P("data"))
    placed = jax.device_put((labels, where), sharding)
    lengths = jax.jit(
      lambda labels, where: etf.batch_class_lengths(labels, 7, where=where)
    )(*placed)
  np.testing.assert_array_equal(lengths, expected)


def test_batch_class_lengths_are_one_sum_over_the_devices():
  mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
  spread, everywhere = (NamedSharding(mesh, spec) for spec in (P("data"), P()))
  program = (
    jax.jit(
      lambda labels: etf.batch_class_lengths(labels, 7),
      in_shardings=spread,
      out_shardings=everywhere,
    )
    .lower(jnp.zeros(16, jnp.int32))
    .compile()
    .as_text()
  )
  assert program.count(" all-reduce(") == 1


def test_traced_labels_out_of_range_give_nan_if_they_count():
  lengths = jax.jit(lambda y, where: etf.batch_class_lengths(y, 3, where=where))
  labels = jnp.array([0, 0, 0, 1, 3, -1])
  first, last = (jnp.arange(6) < number for number in (4, 5))
  np.testing.assert_allclose(
    lengths(labels, first), [(2 / 3) ** 0.5, 2**0.5, 1], rtol=1e-6
  )
  assert np.isnan(lengths(labels, last)).all()


def test_batch_class_lengths_inside_shard_map_need_a_gather():
  labels = jnp.arange(16, dtype=jnp.int32) ** 2 % 7
  mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))

  def of_all(labels):
    labels = jax.lax.all_gather(labels, "data", tiled=True)
    return etf.batch_class_lengths(labels, 7)[None]

  per_device = jax.jit(
    jax.shard_map(of_all, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
  )(labels)
  expected = etf.batch_class_lengths(labels, 7)
  np.testing.assert_array_equal(per_device, np.tile(expected, (8, 1)))


def test_batch_class_lengths_build_nothing_of_batch_by_classes():
  labels = jnp.zeros(128, jnp.int32)
  text = str(jax.make_jaxpr(lambda y: etf.batch_class_lengths(y, 37))(labels))
  assert "128,37" not in text
  assert "37,128" not in text


def test_batch_class_lengths_refuse_wrong_labels():
  with pytest.raises(ValueError, match=r"lie in \[0, 3\), got 3"):
    etf.batch_class_lengths([0, 3], 3)
  with pytest.raises(ValueError, match="labels must be integers"):
    etf.batch_class_lengths([0.0, 1.0], 3)
  with pytest.raises(
    ValueError, match=r"where must be boolean .* of shape \(2,\)"
  ):
    etf.batch_class_lengths([0, 1], 3, where=jnp.array([True] * 3))
  with pytest.raises(ValueError, match="num_classes must be at least 1"):
    etf.batch_class_lengths([0, 1], 0)
  traced = jax.jit(lambda y: etf.batch_class_lengths(y, 3))(jnp.array([0, 3]))
  assert np.isnan(traced).all()


def exact_margin(codes):
  """Distance of each code to the hull of the others, by scipy's NNLS."""
  from scipy.optimize import nnls

  distances = []
  for k in range(codes.shape[1]):
    others = np.delete(codes, k, axis=1)
    # A heavy row makes the weights add up to one.
    heavy = 1e4
    a = np.vstack([others, heavy * np.ones(others.shape[1])])
    weights, _ = nnls(a, np.append(codes[:, k], heavy), maxiter=10_000)
    distances.append(np.linalg.norm(codes[:, k] - others @ weights))
  return min(distances)


@pytest.mark.parametrize(
  ("feature_dim", "num_classes", "margin"),
  [
    (2, 5, 1 - np.cos(2 * np.pi / 5)),  # a regular pentagon
    (2, 8, 1 - np.cos(2 * np.pi / 8)),
    (3, 5, 1.0),  # for d + 2 <= K <= 2 d the best margin is 1
    (3, 6, 1.0),  # an octahedron
    (3, 12, 1 - 1 / np.sqrt(5)),  # an icosahedron
    (3, 4, 4 / 3),  # a simplex fits
  ],
)
def test_softmax_code_finds_the_known_optima(feature_dim, num_classes, margin):
  codes, found = etf.softmax_code(KEY, feature_dim, num_classes)
  assert codes.dtype == found.dtype == jnp.float32
  assert codes.shape == (feature_dim, num_classes)
  assert found.shape == ()
  np.testing.assert_allclose(jnp.linalg.norm(codes, axis=0), 1, atol=1e-6)
  assert float(found) == pytest.approx(margin, abs=1e-3)
  exact = exact_margin(np.asarray(codes, np.float64))
  assert float(found) <= exact + 1e-5
  assert float(found) == pytest.approx(exact, abs=1e-3)


def test_softmax_code_beats_random_codes():
  codes, margin = etf.softmax_code(KEY, 8, 40)
  draws = np.random.default_rng(0).standard_normal((20, 8, 40))
  draws /= np.linalg.norm(draws, axis=1, keepdims=True)
  best = max(exact_margin(draw) for draw in draws)
  assert float(margin) > best + 0.1
  cosines = np.asarray(codes.T @ codes)[~np.eye(40, dtype=bool)]
  assert cosines.max() < 0.9


def test_certified_margin_of_codes_that_touch():
  # The second of three vectors on a line lies between the others.
  codes = np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
  assert _softmax_code.certified_margin(codes) == pytest.approx(0, abs=1e-6)


def test_projection_onto_the_simplex():
  columns = np.array([[0.2, 3.0, -np.inf], [0.8, 0.0, 0.0], [0.0, 0.0, 0.0]])
  expected = [[0.2, 1.0, 0.0], [0.8, 0.0, 0.5], [0.0, 0.0, 0.5]]
  np.testing.assert_allclose(_softmax_code._onto_simplex(columns), expected)


@pytest.mark.parametrize(
  ("sizes", "message"),
  [
    ((1, 3), "3 classes need feature_dim of at least 2, got 1"),
    ((4, 1), "num_classes must be at least 2"),
  ],
)
def test_softmax_code_refuses_impossible_sizes(sizes, message):
  with pytest.raises(ValueError, match=message):
    etf.softmax_code(KEY, *sizes)
