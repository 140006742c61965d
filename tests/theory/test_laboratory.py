# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The numbers behind the theory figures."""

import doctest

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from etf_jax.errors import InputError
from etf_jax.theory import laboratory
from etf_jax.theory.laboratory import clusters
from etf_jax.theory.laboratory import counts as laboratory_counts
from etf_jax.theory.unconstrained_features import solve_unconstrained_features

# sqrt(n_B) / N for K = (5, 5), n_B = 100 and n_A = 400, 1000.
AT_400, AT_1000 = 10 / 2500, 10 / 5500


@pytest.mark.slow
def test_solved_points_lie_on_the_right_side_of_every_border():
  grid = [0.99 * AT_1000, 1.01 * AT_1000, 0.99 * AT_400, AT_400]
  grid += [1.01 * AT_400, 0.0079, 0.0081]
  found = laboratory.phase_diagram(grid, [400, 1000], points=9)
  # Everything is zero from sqrt(n_A) / N on: .008 and .00575.
  np.testing.assert_array_equal(found.phases[0, [0, 1, 2, 4]], [0, 0, 0, 1])
  np.testing.assert_array_equal(found.phases[0, 5:], [2, 3])
  np.testing.assert_array_equal(found.phases[1], [0, 1, 2, 2, 2, 3, 3])
  assert found.wrong_side == 0
  assert found.near == 1  # the point on the border itself
  # Bisection and theory know nothing of each other.
  assert max(found.error) < 2e-5
  samples = 5 * found.line_counts + 500
  np.testing.assert_allclose(found.borders[0], 10 / samples)
  np.testing.assert_allclose(found.borders[2], found.line_counts**0.5 / samples)
  assert (np.diff(found.borders, axis=0) > 0).all()
  # Along the cut each part falls, and is zero from its own border on.
  for part, border in zip(found.cut[[0, 2]], (AT_1000, 0.005750), strict=True):
    assert (np.diff(part) <= 1e-9).all()
    np.testing.assert_array_equal(part > 0, found.cut_lambda_z < border)


def test_a_point_on_the_wrong_side_is_counted(monkeypatch):
  # Borders at half their places: .002 for .004, so that .003 seems wrong.
  right = clusters.two_cluster_thresholds
  monkeypatch.setattr(
    clusters,
    "two_cluster_thresholds",
    lambda *sizes: np.array(right(*sizes)) / 2,
  )
  found = laboratory.phase_diagram([0.001, 0.003, 0.02], [400], points=2)
  assert found.phases.tolist() == [[0, 0, 3]]
  assert found.wrong_side == 1
  assert found.error[0] > 0.1


@pytest.mark.parametrize(
  ("sizes", "counts", "said"),
  [
    ((5, 1), [400], r"two clusters of two classes or more, got \(5, 1\)"),
    ((5, 5, 5), [400], "two clusters of two classes or more"),
    ((5, 5), [400, 100], "must exceed minority_count = 100, got 100"),
  ],
)
def test_phase_diagram_refuses(sizes, counts, said):
  with pytest.raises(ValueError, match=said):
    laboratory.phase_diagram([0.001, 0.01], counts, cluster_sizes=sizes)


def test_clusters_of_one_class_are_refused_everywhere():
  for function, first in (
    (laboratory.large_sample, [10, 20, 30]),
    (laboratory.classifier_cosines, [1, 2]),
  ):
    with pytest.raises(ValueError, match="two classes or more"):
      function(first, cluster_sizes=(1, 9))


def test_classifier_cosines_at_known_ratios():
  found = laboratory.classifier_cosines(
    [1, 10, 50, 100, 200, 500], others=[(7, 3)]
  )
  # The critical ratios in the range are added.
  np.testing.assert_allclose(
    found.ratios, [1, 4.00, 10, 50, 100, 200, 245.50, 500], atol=0.005
  )
  learned = found.pairs[0][[0, 2, 3, 4, 5, 7]].round(4)
  assert learned.tolist() == [-0.1111, -0.0202, 0.1422, 0.3107, 0.7272, 1]
  # With a budget for each vector, as Yang et al., equation 4, is printed.
  per_vector = found.per_vector[[0, 2, 3, 4]]
  np.testing.assert_allclose(
    per_vector, [-1 / 9, 0.385, 0.866, 0.958], atol=5e-4
  )
  # At R = 1 all pairs are those of a simplex.
  np.testing.assert_allclose(found.pairs[:, 0], -1 / 9, atol=1e-6)
  assert found.critical == pytest.approx(245.50, abs=0.005)
  assert found.critical_error < 1e-6
  assert found.fixed == pytest.approx(-1 / 9, abs=1e-12)
  assert found.error < 1e-8
  np.testing.assert_allclose(found.alignment, 1, atol=1e-9)
  # Few minority classes end as zero vectors, whose cosine is undefined.
  minority, critical = found.splits[7, 3]
  assert critical == pytest.approx(4.00, abs=0.005)
  np.testing.assert_array_equal(np.isnan(minority), found.ratios > 4.5)


def softmax(logits):
  odds = np.exp(logits)
  return odds / odds.sum(-1, keepdims=True)


def test_pull_and_push_add_up_to_minus_the_gradients():
  found = laboratory.pull_push_fields(side=5)
  w, label, length = found.prototypes, found.label, found.feature_energy**0.5
  np.testing.assert_allclose(w.T @ w, 1.5 * np.eye(3) - 0.5, atol=1e-15)

  def minus_gradient(positions):
    p = softmax(length * positions @ w)
    return (np.eye(3)[label] - p) @ w.T

  cross_entropy, regression = found.fields
  np.testing.assert_allclose(
    cross_entropy, minus_gradient(found.positions), atol=1e-14
  )
  np.testing.assert_allclose(
    found.terms.sum(0), minus_gradient(found.feature), atol=1e-14
  )
  # Every term lies on the line of its own vector, the own class's along it.
  along = np.einsum("kd,dk->k", found.terms, w)
  np.testing.assert_allclose(found.terms, along[:, None] * w.T, atol=1e-14)
  assert (np.sign(along) == [-1, -1, 1]).all()
  # l = (w.h - s)^2 / (2 s) with s = |h| of the disc's edge.
  expected = (1 - found.positions @ w[:, label])[:, None] * w[:, label]
  np.testing.assert_allclose(regression, expected, atol=1e-14)
  np.testing.assert_allclose(
    found.dot_regression, (1 - found.feature @ w[:, label]) * w[:, label]
  )
  assert found.error < 1e-14


@pytest.mark.slow
def test_regularity_numbers():
  angles = [0.1, 0.5, 1.0, 1.5]
  found = laboratory.regularity_numbers(angles)
  expected = [0.997502, 0.938791, 0.770151, 0.535369]
  for numbers in (found.dot_regression, found.cross_entropy, found.theory):
    assert numbers.round(6).tolist() == expected
  assert found.error < 1e-12
  np.testing.assert_allclose(found.dot_regression_steps, 1, atol=1e-10)
  # (1 - cos) (K - 1) / (K (1 - p)) with the others equally probable.
  cosine = np.cos(angles)
  p = 1 / (1 + 9 * np.exp(-cosine * 10 / 9))
  np.testing.assert_allclose(found.best_steps, (1 - cosine) * 0.9 / (1 - p))
  # The fixed steps are the best ones at .5, 1 and 1.5, and worse elsewhere.
  np.testing.assert_allclose(found.fixed_steps, found.best_steps[1:])
  # With definition 2's projection the order near the optimum is the opposite.
  np.testing.assert_allclose(found.projected[:, 0], [0.990, 0.298], atol=5e-4)
  dot, cross = found.walk[:, -1]
  assert found.walk.shape == (2, 1001)
  assert found.walk_step == 0.1
  np.testing.assert_allclose(found.walk[:, 0], 1)
  assert dot == pytest.approx(0.10, abs=5e-4)
  assert cross == pytest.approx(2.2e-35, rel=0.02)
  excess = found.fixed - found.theory
  best = np.eye(3, 4, 1, dtype=bool)
  np.testing.assert_allclose(excess[best], 0, atol=1e-12)
  assert excess[~best].min() > 1e-3


def test_large_samples_bring_the_logits_to_a_simplex_by_the_logarithm():
  found = laboratory.large_sample(
    [1e1, 1e4, 1e8, 1e16, 1e32, 1e64], solved_up_to=1e8
  )
  assert found.solved_samples.tolist() == [1e1, 1e4, 1e8]
  assert found.error < 1e-9
  np.testing.assert_allclose(
    found.solved_classifier, found.classifier[:, :3], atol=1e-9
  )
  distance = found.logits[0] + 1 / 9
  assert (np.diff(distance) < 0).all()
  # Twice the logarithm, half the distance.
  ratios = distance[3:] / distance[2:-1]
  assert (np.diff(np.abs(ratios - 0.5)) < 0).all()
  assert ratios[-1] == pytest.approx(0.5, abs=0.05)
  assert found.rate_limit == pytest.approx(3.442047, abs=1e-6)
  assert found.rate == pytest.approx(found.rate_limit, rel=0.01)
  assert found.distances[0] == pytest.approx(
    np.abs(found.logits[:, -1] + 1 / 9).max()
  )
  # K = (5, 5), R = 10: sigma = sqrt(5.5).
  pull = 5.5**0.5 / 10
  limit = (pull - 0.2) / (0.8 + pull)
  assert found.minority_limit == pytest.approx(limit)
  assert found.distances[1] == pytest.approx(
    abs(found.classifier[0, -1] - limit)
  )
  assert found.distances[1] < 0.003


@pytest.mark.parametrize("samples", [[10, 20], [1e9, 1e10, 1e11]])
def test_large_sample_needs_three_samples_and_one_to_solve(samples):
  with pytest.raises(ValueError, match=r"three or more, the first at most"):
    laboratory.large_sample(samples)


def test_features_walk_to_the_tetrahedron():
  found = laboratory.tetrahedron((1000, 3, 3, 3), per_class=1, steps=200)
  w = found.prototypes
  np.testing.assert_allclose(w.T @ w, (4 * np.eye(4) - 1) / 3, atol=1e-12)
  assert found.paths.shape == (4, 201, 3)
  np.testing.assert_allclose(np.linalg.norm(found.paths, axis=-1), 1)
  start, end = (
    np.linalg.norm(found.paths[:, k] - w.T[found.labels], axis=-1)
    for k in (0, -1)
  )
  assert start.min() > 0.05
  assert found.left == end.max() < 1e-5
  np.testing.assert_allclose(found.solved, w.T, atol=1e-7)
  assert found.error < 1e-7


def test_cones_hold_features_that_cross_entropy_merges():
  found = laboratory.cones(per_class=15)
  own = found.prototypes.T[found.labels]
  distance = np.linalg.norm(found.collapsed - own, axis=1)
  assert found.collapsed_distance == distance.max() < 1e-9
  lengths = np.linalg.norm(found.separated, axis=1)
  angle = np.arccos((found.separated * own).sum(1) / lengths)
  assert found.inside == 1
  assert (angle <= np.pi / 6 + 1e-12).all()
  assert found.gradient == 0
  assert angle.std() > 0.1
  assert lengths.max() <= 1 + 1e-12


def test_fewer_steps_leave_features_outside_their_cones():
  found = laboratory.cones(per_class=15, steps=1)
  assert 0.1 < found.inside < 0.9
  assert found.gradient > 0.01
  assert found.collapsed_distance > 0.5


# K = (3, 3), n = 400 and 100: sqrt(n) / N.
COUNTS = np.repeat([100, 400], 3)
MINORITY, MAJORITY = 10 / 1500, 20 / 1500


@pytest.mark.parametrize("lambda_b", [None, 0.02])
def test_my_counts_of_two_clusters_collapse_at_the_closed_forms(lambda_b):
  grid = np.outer([MAJORITY, MINORITY], [1.001, 0.9]).ravel()
  solved = []
  found = laboratory.sweep_counts(
    COUNTS, grid, lambda_b, progress=lambda: solved.append(1)
  )
  assert len(solved) == 4
  np.testing.assert_array_equal(found.lambda_z, np.sort(grid))
  np.testing.assert_allclose(
    found.thresholds, np.repeat([MINORITY, MAJORITY], 3)
  )
  # The first point after each threshold.
  np.testing.assert_allclose(found.starts, 1.001 * found.thresholds)
  assert found.reference == 1
  np.testing.assert_allclose(found.largest_cosine[:3, 1], 1)
  assert (found.largest_cosine[:3, 0] < 0.99).all()
  # All vectors are zero at the end, and nothing is defined.
  assert np.isnan(found.largest_cosine[:, -1]).all()
  assert np.isnan(found.relative_norm[:, -1]).all()
  assert found.gap < 1e-10
  assert not found.merged


def test_my_counts_that_all_differ_have_no_closed_form():
  counts, at = [700, 40], 0.02
  found = laboratory.sweep_counts(counts, [at, 0.2])
  assert np.isnan(found.thresholds).all()
  solution = solve_unconstrained_features(counts, at)
  np.testing.assert_allclose(
    found.largest_cosine[:, 0], solution.classifier_cosines[0, 1]
  )
  norms = solution.classifier_norms
  np.testing.assert_allclose(found.relative_norm[:, 0], norms / norms.max())
  assert found.collapsed[:, 1].all()
  # Two vectors that sum to zero are opposite: neither collapses before both.
  assert not found.collapsed[:, 0].any()
  np.testing.assert_array_equal(found.starts, [0.2, 0.2])


def test_a_class_that_never_collapses_has_no_start():
  found = laboratory.sweep_counts(COUNTS, [MINORITY / 2])
  assert np.isnan(found.starts).all()
  assert found.reference == 0


def test_default_grid_surrounds_the_thresholds():
  grid = laboratory.default_grid(COUNTS)
  assert grid.size == 24
  np.testing.assert_allclose(grid[[0, -1]], [0.3 * MINORITY, 1.2 * MAJORITY])
  np.testing.assert_allclose(np.diff(np.log(grid), n=2), 0, atol=1e-12)


def test_many_different_counts_are_merged(monkeypatch):
  monkeypatch.setattr(laboratory_counts, "EXACT", 3)
  monkeypatch.setattr(laboratory_counts, "LEVELS", 2)
  counts = [90, 110, 100, 390, 400, 410]
  found = laboratory.sweep_counts(counts, [1.001 * MINORITY])
  assert found.merged
  assert found.levels == 2
  np.testing.assert_array_equal(found.class_counts, counts)
  # As for three classes of 100 and three of 400.
  assert found.collapsed[:, 0].tolist() == [True] * 3 + [False] * 3
  assert np.isnan(found.thresholds).all()
  assert not laboratory.sweep_counts(COUNTS, [0.1], exact=True).merged


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=40), st.integers(1, 10))
def test_merging_keeps_sum_and_order(counts, levels):
  counts = np.array(counts)
  merged = laboratory_counts.merge_counts(counts, levels)
  assert merged.sum() == pytest.approx(counts.sum())
  assert np.unique(merged).size <= levels
  order = np.argsort(counts)
  assert (np.diff(merged[order]) >= 0).all()
  # Nothing moves by more than a level's width.
  width = (counts.max() / counts.min()) ** (1 / levels)
  assert (np.abs(np.log(merged / counts)) <= np.log(width) + 1e-9).all()


@pytest.mark.parametrize(
  "text", ["[400, 100.5, 7]", "400 100.5\n7\n", "400,100.5,7"]
)
def test_counts_files(tmp_path, text):
  path = tmp_path / "class_counts.json"
  path.write_text(text)
  for place in (path, tmp_path):
    counts = laboratory.read_counts(None, str(place))
    np.testing.assert_array_equal(counts, [400, 100.5, 7])
  assert laboratory.read_counts(None, None) is None


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (None, "class_counts.json: cannot be read, No such file.*; give"),
    (b"\xff\xfe\x00\x81", "cannot be read, it is not text; give"),
    (b"[1, 2", "is not JSON, .*; mend"),
    (b'{"a": 1}', "needs a list of two counts or more; add"),
    (b"", "needs a list of two counts or more"),
    (b"[1, [2]]", r"class 1=\[2\]: is no positive number"),
    (b"[true, 1]", "class 0=True: is no positive number"),
  ],
)
def test_counts_files_are_refused(tmp_path, content, message):
  if content is not None:
    (tmp_path / "class_counts.json").write_bytes(content)
  with pytest.raises(InputError, match=f"^--counts_file=.*{message}"):
    laboratory.read_counts(None, str(tmp_path))


def test_examples():
  results = doctest.testmod(laboratory_counts)
  assert results.attempted >= 4
  assert results.failed == 0
