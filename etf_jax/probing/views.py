# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Features in two dimensions: a plane through three classes, t-SNE, UMAP.

points = views.project(features, templates)      # [N, 2]
points = views.EMBEDDINGS["tsne"](features)
"""

from collections.abc import Callable
import importlib.util

import numpy as np
from sklearn import manifold
import threadpoolctl

from etf_jax.errors import InputError

# t-SNE's default perplexity needs more points than this.
_NEIGHBOURS = 30


def project(features: np.ndarray, templates: np.ndarray) -> np.ndarray:
  """Project onto the plane through the templates of three classes.

  Args:
    features: floats `[N, d]`.
    templates: floats `[d, 3]`: the classifier vectors of the classes.

  Returns:
    Float64 `[N, 2]`: coordinates around the middle of the three templates, in
    an orthonormal basis whose first axis points from the first to the second.

  Raises:
    ValueError: the templates lie on one line, or are not three.

  References:
    Müller et al., `When Does Label Smoothing Help?
    <https://arxiv.org/abs/1906.02629>`_, 2019, section 2
  """
  features, corners = np.float64(features), np.float64(templates).T
  if len(corners) != 3:
    raise ValueError(f"a plane goes through 3 templates, got {len(corners)}")
  sides = corners[1:] - corners[0]
  first = np.linalg.norm(sides[0])
  axis = sides[0] / (first or 1)
  rest = sides[1] - axis * (axis @ sides[1])
  second = np.linalg.norm(rest)
  if not min(first, second) > 1e-6 * np.abs(sides).max():
    raise ValueError("the three templates lie on one line: there is no plane")
  basis = np.stack([axis, rest / second], axis=1)
  return (features - corners.mean(axis=0)) @ basis


def _tsne(features: np.ndarray) -> np.ndarray:
  near = min(_NEIGHBOURS, max(1, (len(features) - 1) // 3))
  embed = manifold.TSNE(perplexity=near, init="pca", random_state=0)
  # Threads spend several times the work of one on waiting for each other.
  with threadpoolctl.threadpool_limits(1, "openmp"):
    return embed.fit_transform(np.float32(features))


def _umap(features: np.ndarray) -> np.ndarray:
  import umap

  near = min(15, len(features) - 1)
  return umap.UMAP(n_neighbors=near, random_state=0).fit_transform(features)


# Floats [N, d] to [N, 2], the same each time.
EMBEDDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  "tsne": _tsne,
  "umap": _umap,
}


def check_embeddings(names: list[str]) -> None:
  """Refuse an embedding that is unknown or that cannot be made here.

  Raises:
    InputError: see there.
  """
  for name in names:
    if name not in EMBEDDINGS:
      raise InputError(
        f"--embed={name} is unknown (known: {', '.join(EMBEDDINGS)})"
      )
  if "umap" in names and importlib.util.find_spec("umap") is None:
    raise InputError(
      "--embed=umap needs umap-learn: pip install umap-learn, or --embed=tsne"
    )
