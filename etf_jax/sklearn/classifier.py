# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The estimator; see `LongTailClassifier`."""

import math
from numbers import Integral, Real
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from etf_jax.errors import InputError, unknown_name
from etf_jax.evaluation import calibration
from etf_jax.sklearn import programs
from etf_jax.training import state
from etf_jax.training.methods import METHODS

_METHODS = tuple(n for n, method in METHODS.items() if method.trains == "all")
_LENGTHS = tuple(
  n for n in _METHODS if METHODS[n].head == "etf" and n != "etf_dr"
)
# Type, test and remedy of each.
_PARAMETERS = {
  "hidden": (Integral, lambda n: n >= 0, "a whole number >= 0"),
  "depth": (Integral, lambda n: n >= 1, "a whole number >= 1"),
  "dropout": (Real, lambda x: 0 <= x < 1, "a share in [0, 1)"),
  "length": (Real, lambda x: 0 < x < math.inf, "a number > 0, or None"),
  "epochs": (Integral, lambda n: n >= 1, "a whole number >= 1, or None"),
  "batch_size": (Integral, lambda n: n >= 1, "a whole number >= 1"),
  "learning_rate": (Real, lambda x: 0 < x < math.inf, "a number > 0, or None"),
  "weight_decay": (Real, lambda x: 0 <= x < math.inf, "a number >= 0"),
  "validation_fraction": (Real, lambda x: 0 <= x < 1, "a share in [0, 1)"),
}
# A fit has at least so many steps and passes over the examples.
_STEPS, _EPOCHS = 1000, 10
_MAX_WIDTH = 512


class LongTailClassifier(ClassifierMixin, BaseEstimator):
  """Classifies feature vectors whose classes differ much in their sizes.

  The methods, losses, heads and the train step are those of the trainer. A
  method with a fixed frame learns a linear map to it, or the hidden layers; a
  map to K features or more where the frame would not fit.

  Args:
    method: one of `config.method` but for crt and tau_norm.
    hidden: units of a hidden layer, >= 0; 0: no hidden layer.
    depth: hidden layers, >= 1.
    dropout: share of the hidden units that a step drops, in [0, 1).
    length: of the prototypes of etf_ce, etf_hinge and etf_logit_adjusted, > 0;
      None: 10 for etf_logit_adjusted, 1 for the others.
    epochs: passes over the examples, >= 1; None: 1,000 steps, and at least 10
      passes.
    batch_size: most examples of a step, >= 1.
    learning_rate: of AdamW, highest of a cosine schedule, > 0; None: 0.001 for
      methods with a frame, 0.01 for the others.
    weight_decay: of AdamW, on kernels, >= 0.
    standardize: True: features are normalized by the training features.
    validation_fraction: share of each class, rounded down, that chooses the
      epoch by balanced accuracy and the temperature of the probabilities, in
      [0, 1); 0: the last epoch, and no temperature.
    random_state: seed of weights, frame, order and validation examples.

  Attributes:
    classes_: `[K]` labels, sorted.
    class_counts_: floats `[K]`, training examples of each class; with sample
      weights their sums, scaled to the number of examples.
    n_features_in_: d.
    n_iter_: passes over the examples.
    best_epoch_: passes after which the model was taken.
    loss_curve_: mean loss of each pass.
    temperature_: what `predict_proba` divides the logits by.
    variables_: of the linen module, as NumPy arrays.

  Examples:
    >>> import numpy as np
    >>> from etf_jax.sklearn import LongTailClassifier
    >>> features = np.random.default_rng(0).normal(size=(110, 8))
    >>> labels = np.array(["often"] * 100 + ["rare"] * 10)
    >>> features[100:, 0] += 9
    >>> classifier = LongTailClassifier(random_state=0).fit(features, labels)
    >>> print(classifier.predict(features[-2:]))
    ['rare' 'rare']
  """

  def __init__(
    self,
    method: str = "logit_adjusted",
    *,
    hidden: int = 0,
    depth: int = 1,
    dropout: float = 0.0,
    length: float | None = None,
    epochs: int | None = None,
    batch_size: int = 128,
    learning_rate: float | None = None,
    weight_decay: float = 1e-3,
    standardize: bool = True,
    validation_fraction: float = 0.0,
    random_state: Any = None,
  ):
    self.method = method
    self.hidden = hidden
    self.depth = depth
    self.dropout = dropout
    self.length = length
    self.epochs = epochs
    self.batch_size = batch_size
    self.learning_rate = learning_rate
    self.weight_decay = weight_decay
    self.standardize = standardize
    self.validation_fraction = validation_fraction
    self.random_state = random_state

  def fit(
    self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
  ) -> Self:
    """Train on features and labels.

    Args:
      X: floats `[N, d]`.
      y: `[N]` labels of two or more classes, of any type.
      sample_weight: `[N]` >= 0, multiplies the examples' losses and counts;
        examples of weight 0 are left out. None: all 1.

    Raises:
      ValueError: data or parameters that cannot be used.
    """
    self._check_parameters()
    features, targets = self._validated(X, y)
    if np.abs(features).max() > np.finfo(np.float32).max:
      raise ValueError("X: numbers beyond float32's range; scale them down")
    check_classification_targets(targets)
    features, targets, weights = _weighted(features, targets, sample_weight)
    self.classes_, labels = np.unique(targets, return_inverse=True)
    if len(self.classes_) < 2:
      raise ValueError(
        f"y: all labels are of one class, {self.classes_[0]}; give two or"
        " more classes"
      )
    seed = int(check_random_state(self.random_state).randint(2**31 - 1))
    training, held_out = self._hold_out(labels, seed)
    if weights is not None:
      weights = weights / np.mean(weights[training])
    counts = np.bincount(
      labels[training], None if weights is None else weights[training]
    )
    self.class_counts_ = counts.astype(float)
    self._scaler = None
    if self.standardize:
      self._scaler = StandardScaler(copy=True).fit(
        features[training], None, None if weights is None else weights[training]
      )
    features = self._scaled(features)
    self._recipe = self._make_recipe(len(training), features.shape[1])
    self._train(features, labels, weights, training, held_out, seed)
    return self

  def decision_function(self, X: ArrayLike) -> np.ndarray:
    """Return the logits, `[N, K]`; of two classes their difference, `[N]`."""
    logits = self._logits(X)
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

  def predict_proba(self, X: ArrayLike) -> np.ndarray:
    """Return the probabilities of the classes, `[N, K]`.

    Without a validation fraction they are as the method leaves them: a frame's
    logits lie in [-1, 1], so its probabilities are near 1 / K.
    """
    logits = self._logits(X)
    return special.softmax(logits / np.float32(self.temperature_), axis=1)

  def predict(self, X: ArrayLike) -> np.ndarray:
    """Return the most probable label of each row."""
    predicted = np.argmax(self._logits(X), axis=1)
    return self.classes_[predicted]

  def _logits(self, X):
    check_is_fitted(self)
    X = self._validated(X, reset=False)
    compiled = programs.make_programs(self._recipe)
    return compiled.logits(self.variables_, self._scaled(X))

  def _scaled(self, X):
    scaler = self._scaler
    with np.errstate(over="ignore"):
      X = (X if scaler is None else scaler.transform(X)).astype(np.float32)
    if not np.isfinite(X).all():
      raise ValueError("X: numbers beyond float32's range; scale them down")
    return X

  def _check_parameters(self):
    if self.method not in _METHODS:
      raise unknown_name("method", self.method, _METHODS)
    for name, (kind, fits, wanted) in _PARAMETERS.items():
      value = getattr(self, name)
      if value is None and wanted.endswith("None"):
        continue
      if not (isinstance(value, kind) and fits(value)):
        raise InputError(f"{name}={value!r}: out of range; give {wanted}")
    if self.length is not None and self.method not in _LENGTHS:
      raise InputError(
        f"length={self.length!r}: does nothing with method={self.method!r};"
        f" give None, or a method of {', '.join(_LENGTHS)}"
      )

  def _validated(self, X, *y, **options):
    """Return what scikit-learn's `validate_data` does, or raise one line."""
    try:
      return validate_data(
        self, X, *y, dtype=[np.float32, np.float64], **options
      )
    except ValueError as error:
      first, *others = str(error).splitlines()
      if "inhomogeneous" in first:
        first = "X: rows of different lengths; give one width"
      # The others are the array, or advice on other estimators.
      remedy = [line for line in others if line.startswith("Reshape")]
      raise ValueError(" ".join([first, *remedy])) from None

  def _hold_out(self, labels, seed):
    """Return the indices of the training and of the validation examples."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    place = np.arange(len(labels)) - np.repeat(
      np.cumsum(counts) - counts, counts
    )
    share = np.floor(counts * self.validation_fraction)
    chosen = place < share[labels[order]]
    if self.validation_fraction and not chosen.any():
      raise InputError(
        f"validation_fraction={self.validation_fraction}: no class has an"
        " example to spare; give a larger share, or 0"
      )
    return np.sort(order[~chosen]), np.sort(order[chosen])

  def _make_recipe(self, examples, width):
    method, classes = METHODS[self.method], len(self.classes_)
    steps = -(-examples // self.batch_size)
    epochs = self.epochs or max(_EPOCHS, -(-_STEPS // steps))
    inner = self.hidden or width
    projector = method.projector
    framed = method.head == "etf"
    if framed and (not self.hidden or inner < classes - 1):
      projector = max(min(inner, _MAX_WIDTH), classes)
    return programs.Recipe(
      self.method,
      classes,
      width,
      hidden=self.hidden,
      depth=self.depth,
      dropout=self.dropout,
      projector=projector,
      length=self.length,
      learning_rate=self.learning_rate or (1e-3 if framed else 1e-2),
      weight_decay=self.weight_decay,
      epochs=epochs,
      steps=steps,
      # Batches of nearly equal sizes, so that few rows are padding.
      batch_size=-(-examples // steps),
    )

  def _train(self, features, labels, weights, training, held_out, seed):
    recipe = self._recipe
    compiled = programs.make_programs(recipe)
    # Padded, so that folds of nearly equal sizes share their programs.
    rows = recipe.steps * recipe.batch_size
    take = np.resize(training, rows)
    examples = programs.Examples(
      jnp.asarray(features[take]),
      jnp.asarray(labels[take], jnp.int32),
      None if weights is None else jnp.asarray(weights[take], jnp.float32),
    )
    counts = jnp.asarray(self.class_counts_, jnp.float32)
    current = compiled.init(seed)
    key = state.keys(seed)["augment"]
    # Without validation all passes are one call.
    passes = 1 if len(held_out) else recipe.epochs
    losses, best = [], (-1.0, 0, current.variables)
    for epoch in range(0, recipe.epochs, passes):
      order = self._order(len(training), range(epoch, epoch + passes), seed)
      current, values = compiled.steps(current, examples, counts, order, key)
      losses.append(values)
      if len(held_out):
        logits = compiled.logits(current.variables, features[held_out])
        accuracy = balanced_accuracy_score(
          labels[held_out], np.argmax(logits, axis=1)
        )
        if accuracy > best[0]:
          best = accuracy, epoch + 1, jax.device_get(current.variables)
    losses = np.concatenate(jax.device_get(losses)).reshape(-1, recipe.steps)
    self.loss_curve_ = losses.mean(axis=1).tolist()
    if not np.isfinite(self.loss_curve_[-1]):
      raise ValueError(
        f"learning_rate={recipe.learning_rate}: the loss is not finite; lower"
        " it, or scale X down"
      )
    self.n_iter_ = recipe.epochs
    self.best_epoch_, self.temperature_ = recipe.epochs, 1.0
    self.variables_ = jax.device_get(current.variables)
    if len(held_out):
      _, self.best_epoch_, self.variables_ = best
      logits = compiled.logits(self.variables_, features[held_out])
      try:
        self.temperature_ = calibration.fit_temperature(
          logits, labels[held_out]
        )
      except ValueError:  # All are right, or none better than chance.
        self.temperature_ = 1.0

  def _order(self, examples, epochs, seed):
    """Return the rows of each step of some epochs, `[n, B]`; -1: padding."""
    steps, size = self._recipe.steps, self._recipe.batch_size
    orders = np.full((len(epochs), steps * size), -1, np.int32)
    for order, epoch in zip(orders, epochs, strict=True):
      random = np.random.default_rng([seed, epoch])
      order[:examples] = random.permutation(examples)
    # Each batch has its share of the padding.
    return orders.reshape(-1, size, steps).swapaxes(1, 2).reshape(-1, size)


def _weighted(X, y, sample_weight):
  """Return the examples that have weight, and their weights or None."""
  if sample_weight is None:
    return X, y, None
  weights = check_array(
    sample_weight, ensure_2d=False, dtype=float, input_name="sample_weight"
  )
  if weights.shape != (len(X),):
    raise ValueError(
      f"sample_weight.shape={weights.shape}: expected ({len(X)},), one weight"
      " for each row of X"
    )
  if np.any(weights < 0):
    raise ValueError("sample_weight: Negative values; give numbers >= 0")
  kept = weights > 0
  if not kept.any():
    raise ValueError(
      "sample_weight: every weight is zero; give some that are not"
    )
  return X[kept], y[kept], weights[kept]
