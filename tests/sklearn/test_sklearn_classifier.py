# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The estimator: scikit-learn's checks, methods, weights and bad input."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from etf_jax.errors import InputError
from etf_jax.sklearn import LongTailClassifier, programs

COUNTS = (120, 60, 30, 12, 6)
# scikit-learn leaves these out for its own estimators that are trained by
# steps of some examples each.
EXPECTED = {
  "check_sample_weight_equivalence_on_dense_data": "steps draw rows, so "
  "repeated rows are other batches than weighted ones"
}


def blobs(counts=COUNTS, width=16, seed=0, spread=1.0):
  """Draw Gaussian classes around centers of length 3."""
  random = np.random.default_rng(seed)
  centers = np.random.default_rng(9).normal(size=(len(counts), width))
  centers *= 3 / np.linalg.norm(centers, axis=1, keepdims=True)
  labels = np.repeat(np.arange(len(counts)), counts)
  noise = spread * random.normal(size=(len(labels), width))
  return (centers[labels] + noise).astype(np.float32), labels


@pytest.mark.slow
def test_scikit_learns_checks():
  with warnings.catch_warnings():
    warnings.simplefilter("ignore", SkipTestWarning)
    results = check_estimator(
      LongTailClassifier(), expected_failed_checks=EXPECTED
    )
  failed = {r["check_name"] for r in results if r["status"] == "xfail"}
  assert failed == set(EXPECTED)
  assert sum(r["status"] == "passed" for r in results) > 50


@pytest.mark.slow
@pytest.mark.parametrize(
  "method",
  [
    *("ce", "ce_weighted", "etf_ce", "etf_dr", "etf_hinge", "ldam_drw"),
    *("etf_logit_adjusted", "logit_adjusted", "balanced_softmax", "focal"),
    "class_balanced",
  ],
)
def test_every_method_separates_the_classes(method):
  features, labels = blobs(spread=0.3)
  found = LongTailClassifier(method, random_state=0)
  found.fit(features, labels)
  test, truth = blobs((20,) * 5, seed=1, spread=0.3)
  assert balanced_accuracy_score(truth, found.predict(test)) > 0.97
  np.testing.assert_array_equal(found.class_counts_, COUNTS)
  assert found.loss_curve_[-1] < found.loss_curve_[0]


@pytest.mark.slow
def test_logit_adjustment_finds_the_rare_classes():
  """Balanced accuracy rises over cross-entropy's, whose priors are skewed."""
  features, labels = blobs((300, 8, 8), spread=1.5)
  test, truth = blobs((200,) * 3, seed=1, spread=1.5)

  def accuracy(method):
    found = LongTailClassifier(method, epochs=60, random_state=0)
    predicted = found.fit(features, labels).predict(test)
    return balanced_accuracy_score(truth, predicted)

  assert accuracy("logit_adjusted") > accuracy("ce") + 0.05


@pytest.mark.slow
def test_cross_entropy_agrees_with_logistic_regression():
  features, labels = blobs((200, 100, 50), width=4, spread=2.0)
  ours = LongTailClassifier(
    "ce", epochs=500, learning_rate=0.05, weight_decay=0.0, random_state=0
  )
  theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1e4))
  np.testing.assert_allclose(
    ours.fit(features, labels).predict_proba(features),
    theirs.fit(features, labels).predict_proba(features),
    atol=0.02,
  )


def test_labels_of_any_type_pickle_and_clone():
  features, labels = blobs()
  names = np.array(["ant", "bee", "cat", "dog", "eel"], object)[labels]
  found = LongTailClassifier(epochs=5, random_state=3).fit(features, names)
  assert list(found.classes_) == ["ant", "bee", "cat", "dog", "eel"]
  assert set(found.predict(features)) <= set(names)
  again = clone(found).fit(features, names)
  kept = pickle.loads(pickle.dumps(found))
  expected = found.decision_function(features)
  assert expected.shape == (len(names), 5)
  for other in (again, kept):
    np.testing.assert_array_equal(other.decision_function(features), expected)
  np.testing.assert_allclose(
    found.predict_proba(features).sum(axis=1), 1, rtol=1e-5
  )


@pytest.mark.slow
def test_pipeline_grid_search_and_cross_validation():
  features, labels = blobs()
  pipeline = make_pipeline(StandardScaler(), LongTailClassifier(random_state=0))
  scores = cross_val_score(
    pipeline, features, labels, cv=3, scoring="balanced_accuracy"
  )
  assert scores.shape == (3,)
  assert scores.mean() > 0.6
  search = GridSearchCV(
    pipeline, {"longtailclassifier__method": ["ce", "logit_adjusted"]}, cv=3
  )
  assert search.fit(features, labels).best_score_ > 0.6


@pytest.mark.slow
def test_fits_of_one_shape_share_their_programs():
  features, labels = blobs((60, 40))
  programs.make_programs.cache_clear()
  for seed in range(3):
    LongTailClassifier("ce", epochs=4, random_state=seed).fit(features, labels)
  # The same steps of nearly as many rows, as folds have.
  LongTailClassifier("ce", epochs=4, batch_size=50).fit(features, labels)
  LongTailClassifier("ce", epochs=4, batch_size=50).fit(
    features[1:], labels[1:]
  )
  assert programs.make_programs.cache_info().misses == 2


@pytest.mark.slow
def test_weights_of_zero_leave_examples_out():
  features, labels = blobs()
  weights = (labels != 4).astype(float)
  kept = labels != 4
  all_rows = LongTailClassifier(epochs=4, random_state=0).fit(
    features, labels, weights
  )
  some = LongTailClassifier(epochs=4, random_state=0).fit(
    features[kept], labels[kept]
  )
  np.testing.assert_array_equal(all_rows.classes_, [0, 1, 2, 3])
  np.testing.assert_allclose(
    all_rows.decision_function(features),
    some.decision_function(features),
    atol=1e-4,
  )


def test_weights_count_as_examples_in_the_priors():
  features, labels = blobs((30, 30))
  weights = np.where(labels == 0, 3.0, 1.0)
  found = LongTailClassifier(epochs=2, random_state=0)
  found.fit(features, labels, weights)
  np.testing.assert_allclose(found.class_counts_, [45, 15])


@pytest.mark.slow
def test_validation_chooses_the_epoch_and_the_temperature():
  features, labels = blobs(spread=1.5)
  found = LongTailClassifier(
    "etf_dr", epochs=12, validation_fraction=0.2, random_state=0
  ).fit(features, labels)
  assert 1 <= found.best_epoch_ <= 12
  # Cosines say too little of their confidence.
  assert 0 < found.temperature_ < 1
  # A fifth of each class, rounded down: 24, 12, 6, 2 and 1.
  np.testing.assert_array_equal(found.class_counts_, [96, 48, 24, 10, 5])


def test_narrow_features_get_a_wider_map_for_their_frame():
  features, labels = blobs(width=2, spread=0.1)
  found = LongTailClassifier("etf_dr", epochs=2, random_state=0)
  found.fit(features, labels)
  assert found.variables_["etf"]["head"]["prototypes"].shape == (5, 5)


@pytest.mark.slow
def test_hidden_layers_and_dropout_learn_what_no_linear_map_can():
  random = np.random.default_rng(0)
  features = random.uniform(-1, 1, (400, 2)).astype(np.float32)
  labels = (features[:, 0] * features[:, 1] > 0).astype(int)
  found = LongTailClassifier(
    "ce", hidden=32, depth=2, dropout=0.1, epochs=150, random_state=0
  )
  assert found.fit(features, labels).score(features, labels) > 0.93


def test_logits_lie_within_the_length_of_the_prototypes():
  features, labels = blobs()
  found = LongTailClassifier("etf_ce", length=3.0, epochs=5, random_state=0)
  logits = np.abs(found.fit(features, labels).decision_function(features))
  assert 2 < logits.max() <= 3 + 1e-5


@pytest.mark.parametrize(
  ("parameters", "message"),
  [
    ({"method": "logit_ajusted"}, r"method='logit_ajusted'.*'logit_adjusted'"),
    ({"method": "crt"}, "method='crt'"),
    ({"hidden": -1}, "hidden=-1.*give a whole number"),
    ({"hidden": 1.5}, "hidden=1.5.*give a whole number"),
    ({"depth": 0}, "depth=0"),
    ({"dropout": 1.0}, "dropout=1"),
    ({"length": 0}, "length=0.*give a number > 0, or None"),
    ({"length": 5.0}, "length=5.0.*logit_adjusted.*give None.*etf_ce"),
    ({"epochs": 0}, "epochs=0"),
    ({"epochs": "3"}, "epochs='3'.*give a whole number"),
    ({"batch_size": None}, "batch_size=None"),
    ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ({"learning_rate": "fast"}, "learning_rate='fast'.*give a number"),
    ({"weight_decay": -1.0}, "weight_decay=-1"),
    ({"validation_fraction": 1.0}, r"validation_fraction=1.*\[0, 1\)"),
    ({"validation_fraction": 0.001}, "validation_fraction=0.001.*larger"),
  ],
)
def test_parameters_out_of_range_are_named(parameters, message):
  features, labels = blobs()
  with pytest.raises(InputError, match=message):
    LongTailClassifier(**parameters).fit(features, labels)


ROWS, LABELS = blobs()


def spoiled(value, dtype=np.float64):
  rows = ROWS.astype(dtype)
  rows[3, 2] = value
  return rows


@pytest.mark.parametrize(
  ("rows", "labels", "message"),
  [
    (spoiled(np.nan), LABELS, "NaN"),
    (spoiled(np.inf), LABELS, "infinity"),
    (spoiled(1e200), LABELS, "X: numbers beyond float32's range; scale them"),
    ([*ROWS[:-1].tolist(), [1.0]], LABELS, "different lengths; give one width"),
    (spoiled("red", object), LABELS, "could not convert .*'red'"),
    (ROWS + 1j, LABELS, "Complex data not supported"),
    (ROWS[:, 0], LABELS, "Reshape your data"),
    (ROWS[:, :0], LABELS, r"0 feature\(s\)"),
    (ROWS[:0], LABELS[:0], r"0 sample\(s\)"),
    (ROWS, LABELS[:-1], "inconsistent numbers of samples"),
    (ROWS, [*LABELS, 0], "inconsistent numbers of samples"),
    (ROWS, 0 * LABELS, "y: all labels are of one class, 0; give two or more"),
    (ROWS, np.where(LABELS == 1, np.nan, LABELS), "y contains NaN"),
    (ROWS, LABELS + 0.5, "Unknown label type: continuous"),
    (ROWS, np.eye(5)[LABELS], "y should be a 1d array"),
  ],
)
def test_bad_data_are_one_line(rows, labels, message):
  with pytest.raises(ValueError, match=message) as caught:
    LongTailClassifier(epochs=1).fit(rows, labels)
  assert "\n" not in str(caught.value)


def test_rows_to_classify_and_weights_that_cannot_be():
  found = LongTailClassifier(epochs=1).fit(ROWS, LABELS)
  for rows, message in (
    (ROWS[:, :15], "15 features"),
    (spoiled(np.nan), "NaN"),
    (spoiled(1e200), "scale them down"),
    (ROWS[0], "Reshape"),
  ):
    with pytest.raises(ValueError, match=message) as caught:
      found.predict(rows)
    assert "\n" not in str(caught.value)
  with pytest.raises(ValueError, match="Negative"):
    found.fit(ROWS, LABELS, -np.ones(len(LABELS)))


@pytest.mark.parametrize(
  "rows",
  [
    ROWS.astype(np.float16),
    (100 * ROWS).astype(int),
    ROWS.astype(float) * 1e30,
    np.c_[ROWS, ROWS[:, :1]],
    np.c_[ROWS, np.ones(len(ROWS))],
  ],
  ids=["float16", "integers", "huge", "duplicated column", "constant column"],
)
def test_odd_features_are_learned(rows):
  found = LongTailClassifier(random_state=0).fit(rows, LABELS - 2)
  np.testing.assert_array_equal(found.classes_, [-2, -1, 0, 1, 2])
  assert balanced_accuracy_score(LABELS - 2, found.predict(rows)) > 0.8


def test_beside_imbalanced_learn():
  over_sampling = pytest.importorskip("imblearn.over_sampling")
  pipeline = pytest.importorskip("imblearn.pipeline")
  found = pipeline.make_pipeline(
    StandardScaler(),
    over_sampling.RandomOverSampler(random_state=0),
    LongTailClassifier("ce", epochs=5, random_state=0),
  ).fit(ROWS, LABELS)
  np.testing.assert_array_equal(found[-1].class_counts_, [120] * 5)
