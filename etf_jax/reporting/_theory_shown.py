# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""From the numbers of the theory to figures and their captions.

Each function takes what the function of the same purpose in
``theory.laboratory`` returns.
"""

from typing import Any

import numpy as np

from etf_jax.reporting import theory_plots
from etf_jax.reporting.theory_page import Table, TheoryFigure

_PAIRS = (
  "minority with minority",
  "minority with majority",
  "majority with majority",
)


def phase_diagram(found: Any) -> TheoryFigure:
  """Of `laboratory.phase_diagram`."""
  majority, minority = found.cluster_sizes
  of_b, of_c, of_a = found.error
  return TheoryFigure(
    "phase_diagram",
    "Minority classes collapse at a sharp border",
    "Phase diagram of the unconstrained-feature model",
    f"Cross entropy with a learned classifier and no bias, K_A = {majority}"
    f" majority classes of n_A samples, K_B = {minority} minority classes of"
    f" n_B = {found.minority_count:g} samples; λ_Z is the root of λ_W λ_H."
    f" Each of the {found.phases.size} marks is a solved optimum. Lines are"
    " the theory: minority classes merge at λ_Z = √n_B / N, majority classes"
    " at √n_A / N, with N the number of all samples (Hong and Ling, 2023);"
    " between the two the minority's vectors vanish. Right: the parts of the"
    f" solution at n_A = {found.cut_count:g}: gaps between the logits of two"
    " minority classes, of the two clusters (for a minority sample) and of two"
    " majority classes.",
    f"{found.wrong_side} of {found.phases.size} solved points lie on the wrong"
    f" side of a border ({found.near} within 0.1 % of one are not counted)."
    " Bisection on the solutions finds the three borders where the theory puts"
    f" them, with relative errors of at most {of_b:.1e}, {of_c:.1e} and"
    f" {of_a:.1e}.",
    lambda narrow: theory_plots.phase_diagram(
      found.lambda_z,
      found.majority_counts,
      found.phases,
      found.line_counts,
      dict(
        zip(
          (
            "theory: minority merges",
            "theory: minority vanishes",
            "theory: everything vanishes",
          ),
          found.borders,
          strict=True,
        )
      ),
      dict(
        zip(
          ("minority apart", "clusters apart", "majority apart"),
          found.cut,
          strict=True,
        )
      ),
      found.cut_count,
      found.cut_lambda_z,
      narrow=narrow,
    ),
  )


def cosines(found: Any) -> TheoryFigure:
  """Of `laboratory.classifier_cosines`."""
  majority, minority = found.cluster_sizes
  splits = {
    f"{sizes[0]} + {sizes[1]}": (
      found.ratios,
      values,
      critical,
    )
    for sizes, (values, critical) in found.splits.items()
  }
  return TheoryFigure(
    "cosines",
    "A learned classifier merges the minority, a fixed one cannot",
    "Classifier cosines over the imbalance ratio",
    "Layer-peeled model with cross entropy,"
    f" E_W = {found.classifier_energy:g}, E_H = {found.feature_energy:g}"
    f" (averages where the classifier is learned). Left: {majority} majority"
    f" and {minority} minority classes; the minority's vectors coincide from"
    f" R = {found.critical:.2f} on. The fixed ETF keeps every pair at"
    f" -1/(K-1) = {found.fixed:.4f}, and its solved features stay aligned with"
    " their own vector at every R. Right: the minority's cosine for three"
    " splits of the classes, K_A + K_B; a line ends at a cross where the"
    " vectors become zero and their cosine undefined (Fang et al., 2021; Yang"
    " et al., 2022, theorem 1).",
    "Inner products of solved features and fixed ETF differ from theorem 1 by"
    f" at most {found.error:.1e}; the least alignment is"
    f" {_below_one(found.alignment.min())}. The solved minority merges within"
    f" a relative {found.critical_error:.1e} of the critical ratio.",
    lambda narrow: theory_plots.cosines(
      found.ratios,
      dict(zip(_PAIRS, found.pairs, strict=True)),
      found.fixed,
      found.alignment,
      found.critical,
      splits,
      narrow=narrow,
    ),
  )


def pull_push(found: Any) -> TheoryFigure:
  """Of `laboratory.pull_push_fields`."""
  own = found.label + 1
  turn = np.degrees(np.arccos(found.feature @ found.prototypes[:, 0]))
  total = found.terms.sum(0)
  off = np.degrees(
    np.arccos(total @ found.prototypes[:, found.label] / np.linalg.norm(total))
  )
  return TheoryFigure(
    "pull_push",
    "Cross entropy pushes off course, dot regression only pulls",
    "Negative gradients of one feature, and over the disc",
    f"K = 3, d = 2, E_W = 1, E_H = {found.feature_energy:g}; positions in"
    f" units of √E_H. Above: h, of class {own} and length √E_H, lies"
    f" {turn:.0f}° from w_1; arrows are drawn at half their length in these"
    f" units. Cross entropy's sum points {off:.1f}° away from w_{own}. Below:"
    f" the directions for a feature of class {own} anywhere in the disc (Yang"
    " et al., 2022, figure 2 and equations 12 to 15).",
    "Equations 12, 13 and 15 differ from automatic differentiation by at most"
    f" {found.error:.1e}.",
    lambda narrow: theory_plots.pull_push(
      found.prototypes,
      found.feature,
      found.label,
      found.terms,
      found.dot_regression,
      found.positions,
      found.fields,
      narrow=narrow,
    ),
  )


def regularity(found: Any) -> TheoryFigure:
  """Of `laboratory.regularity_numbers`."""
  at = np.searchsorted(found.angles, found.marked)
  steps = np.abs(found.dot_regression_steps - 1).max()
  header = ["angle, radians", "(1 + cos) / 2", "dot regression"]
  header += ["cross entropy", "its best step"]
  header += [f"at step {step:.3f}" for step in found.fixed_steps]
  columns = [
    found.theory,
    found.dot_regression,
    found.cross_entropy,
    found.best_steps,
    *found.fixed,
  ]
  rows = [
    [f"{found.angles[k]:g}", *(f"{column[k]:.6f}" for column in columns)]
    for k in at
  ]
  return TheoryFigure(
    "regularity",
    "One step size suits dot regression everywhere",
    "Regularity numbers over the angle to the prototype",
    f"K = {found.num_classes}, E_W = E_H = 1, the other classes equally"
    " probable. The number is the share of the squared distance to the optimum"
    " that one gradient step, not projected, leaves; less is better. Dot"
    " regression has (1 + cos) / 2 with a step of 1 at every angle. Cross"
    " entropy has the same with the best step of each angle, and with a fixed"
    " step only at one angle (Yang et al., 2022, theorem 2). All of this is"
    " about one step; how fast many projected steps converge is another"
    " question.",
    "Both losses, differentiated automatically, differ from (1 + cos) / 2 by"
    f" at most {found.error:.1e} at their best steps; dot regression's best"
    f" steps differ from 1 by at most {steps:.1e}.",
    lambda narrow: theory_plots.regularity(
      found.angles,
      found.dot_regression,
      found.cross_entropy,
      {
        f"cross entropy, fixed step {step:.2f}": values
        for step, values in zip(found.fixed_steps, found.fixed, strict=True)
      },
      found.marked,
      narrow=narrow,
    ),
    Table("Regularity numbers at four angles", header, rows),
  )


def large_sample(found: Any) -> TheoryFigure:
  """Of `laboratory.large_sample`."""
  majority, minority = found.cluster_sizes
  far, near = found.distances
  off = abs(found.rate / found.rate_limit - 1)
  angle = np.degrees(np.arccos(found.logit_limit))
  return TheoryFigure(
    "large_sample",
    "More samples bring the logits to the simplex, slowly",
    "Cosines as the samples grow",
    "Unconstrained-feature model with cross entropy and no bias, K_A ="
    f" {majority}, K_B = {minority}, n_A = {found.ratio:g} n_B, N λ_Z ="
    f" {found.strength:g} held fixed. Lines are the theory of two clusters,"
    f" marks solved optima, up to n_B = {found.solved_samples[-1]:.0e}. Left:"
    " columns of mean logits tend to the simplex, all cosines to -1/(K-1) ="
    f" {found.logit_limit:.4f} ({angle:.1f}°), at a rate of 1 / log n (in"
    " theory the matrix of logits, scaled to norm 1, is at last"
    f" {found.rate_limit:.3f} / log n away). Right: the classifier"
    " vectors do not; two minority vectors tend to"
    f" {found.minority_limit:.4f} (dashed), a limit that grows to 1 with the"
    " imbalance (Hong and Ling, 2023).",
    f"Solved cosines differ from theory by at most {found.error:.1e}. The rate"
    f" over the last third is {found.rate:.3f}, {100 * off:.1f} % from its"
    " limit. At n_B ="
    f" {found.samples[-1]:.0e} the logits' cosines are within {far:.3f} of"
    f" their limit and the minority's classifier cosine within {near:.4f} of"
    " its own.",
    lambda narrow: theory_plots.large_sample(
      found.samples,
      dict(zip(_PAIRS, found.logits, strict=True)),
      found.logit_limit,
      dict(zip(_PAIRS, found.classifier, strict=True)),
      {_PAIRS[0]: found.minority_limit},
      found.solved_samples,
      (found.solved_logits, found.solved_classifier),
      narrow=narrow,
    ),
  )


def simplex(found: Any) -> TheoryFigure:
  """Of `laboratory.tetrahedron`."""
  counts = ", ".join(f"{count:,g}" for count in found.class_counts)
  return TheoryFigure(
    "simplex",
    "Features end at the vertices, whatever the counts",
    "A simplex ETF and features on their way to it",
    "d = 3, K = 4, E_W = E_H = 1. From random starts (small plus signs)"
    f" features take {found.steps} projected gradient steps of {found.step:g}"
    " on cross entropy with the fixed ETF to their class's vector (Yang et"
    " al., 2022, figure 1).",
    f"The ends are within {found.left:.1e} of the vectors. The layer-peeled"
    f" model solved for {counts} samples has its optimal features within"
    f" {found.error:.1e} of them (theorem 1).",
    lambda narrow: theory_plots.simplex(
      found.prototypes, found.paths, found.labels, narrow=narrow
    ),
  )


def cones(found: Any) -> TheoryFigure:
  """Of `laboratory.cones`."""
  return TheoryFigure(
    "cones",
    "Cones keep the variety inside a class",
    "Features after cross entropy and after HingeCE",
    "K = 3, d = 2, a fixed ETF with E_W = 1, features in the unit disc. The"
    f" same {len(found.labels)} random features after {found.steps} projected"
    f" gradient steps of {found.step:g}: under cross entropy each class"
    " collapses to one point; under HingeCE with τ+ ="
    f" {np.degrees(found.tau):.3g}° and τ- = {120 - np.degrees(found.tau):.3g}°"
    " features stop as soon as they are inside the cone of their class.",
    "Under cross entropy the features end within"
    f" {found.collapsed_distance:.1e} of their vector; under HingeCE"
    f" {100 * found.inside:.4g} % end inside their cone, where the largest"
    f" entry of the gradient is {found.gradient:.2g}.",
    lambda narrow: theory_plots.cones(
      found.prototypes,
      found.collapsed,
      found.separated,
      found.labels,
      found.tau,
      narrow=narrow,
    ),
  )


def _below_one(value: float) -> str:
  """A cosine that is nearly 1, by what is missing."""
  missing = 1 - value
  return "1" if missing < 1e-15 else f"1 - {missing:.1e}"
