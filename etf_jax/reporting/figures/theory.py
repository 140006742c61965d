# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory's figures with the captions that state parameters and errors.

Each function takes the numbers that the function of the same purpose in
``theory.laboratory`` returns.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from matplotlib.figure import Figure
import numpy as np

from etf_jax.reporting import page
from etf_jax.reporting.figures import (
  theory_clusters,
  theory_counts,
  theory_frame,
)
from etf_jax.theory import laboratory


class TheoryFigure(NamedTuple):
  """One figure of the page."""

  name: str  # of the PNG file, without its ending
  finding: str  # the heading
  title: str  # what is drawn, a few words
  caption: str  # what is drawn, with all parameters
  error: str  # how far solutions are from theory, a sentence, or ""
  draw: Callable[[], Figure]
  # Summary, header and rows of a table under the figure.
  table: tuple[str, list[str], list[list[str]]] | None = None

  def blocks(self) -> list[page.Block]:
    """Return the heading, the figure and the table, for a page."""
    caption = f"{self.caption} {self.error}".rstrip()
    drawn = page.ReportFigure(self.name, self.title, caption, self.draw)
    blocks: list[page.Block] = [page.Heading(self.finding, 2)]
    blocks.append(page.Figures([drawn]))
    if self.table is not None:
      summary, header, rows = self.table
      rows_box = [page.table(header, rows, is_tall=True)]
      blocks.append(page.Details(summary, rows_box, is_open=len(rows) <= 12))
    return blocks


def phase_diagram(found: laboratory.PhaseDiagram) -> TheoryFigure:
  """Describe `laboratory.phase_diagram`."""
  majority, minority = found.cluster_sizes
  errors = "{:.1e}, {:.1e} and {:.1e}".format(*found.error)
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
    " between the two the minority's vectors vanish. Below: the parts of the"
    f" solution at n_A = {found.cut_count:g}: gaps between the logits of two"
    " minority classes, of the two clusters (for a minority sample) and of two"
    " majority classes.",
    f"{found.wrong_side} of {found.phases.size} solved points lie on the wrong"
    f" side of a border ({found.near} within 0.1 % of one are not counted)."
    " Bisection on the solutions finds the three borders where the theory puts"
    f" them, with relative errors of at most {errors}.",
    lambda: theory_clusters.phase_diagram(found),
  )


def cosines(found: laboratory.ClassifierCosines) -> TheoryFigure:
  """Describe `laboratory.classifier_cosines`."""
  majority, minority = found.cluster_sizes
  missing = 1 - found.alignment.min()
  least = "1" if missing < 1e-15 else f"1 - {missing:.1e}"
  return TheoryFigure(
    "cosines",
    "A learned classifier merges the minority, a fixed one cannot",
    "Classifier cosines over the imbalance ratio",
    "Layer-peeled model with cross entropy,"
    f" E_W = {found.classifier_energy:g}, E_H = {found.feature_energy:g}."
    " Solid lines: budgets for the average over classes (Fang et al., 2021)."
    " Dashed: a budget for each vector, as equation 4 of Yang et al., 2022, is"
    f" printed. Above: {majority} majority and {minority} minority classes;"
    " with averaged budgets the minority's vectors coincide from"
    f" R = {found.critical:.2f} on. The fixed ETF keeps every pair at"
    f" -1/(K-1) = {found.fixed:.4f}, and its solved features stay aligned with"
    " their own vector at every R (theorem 1). Below: the minority's cosine for"
    " three splits of the classes, K_A + K_B, with averaged budgets; a line"
    " ends at a cross where the vectors become zero, their cosine undefined.",
    "Inner products of solved features and fixed ETF differ from theorem 1 by"
    f" at most {found.error:.1e}; the least alignment is {least}. The solved"
    f" minority merges within a relative {found.critical_error:.1e} of the"
    " critical ratio.",
    lambda: theory_clusters.cosines(found),
  )


def pull_push(found: laboratory.PullPushFields) -> TheoryFigure:
  """Describe `laboratory.pull_push_fields`."""
  number = found.label + 1
  turn = np.degrees(np.arccos(found.feature @ found.prototypes[:, 0]))
  total = found.terms.sum(0)
  cosine = total @ found.prototypes[:, found.label] / np.linalg.norm(total)
  off = np.degrees(np.arccos(cosine))
  return TheoryFigure(
    "pull_push",
    "Cross entropy pushes off course, dot regression only pulls",
    "Negative gradients of one feature, and over the disc",
    f"K = 3, d = 2, E_W = 1, E_H = {found.feature_energy:g}; positions in"
    f" units of √E_H. Above: h, of class {number} and length √E_H, lies"
    f" {turn:.0f}° from w_1; arrows are drawn at half their length in these"
    f" units. Cross entropy's sum points {off:.1f}° away from w_{number}."
    f" Below: the directions for a feature of class {number} anywhere in the"
    " disc (Yang et al., 2022, figure 2 and equations 12 to 15).",
    "Equations 12, 13 and 15 differ from automatic differentiation by at most"
    f" {found.error:.1e}.",
    lambda: theory_frame.pull_push(found),
  )


def regularity(found: laboratory.RegularityNumbers) -> TheoryFigure:
  """Describe `laboratory.regularity_numbers`."""
  steps = np.abs(found.dot_regression_steps - 1).max()
  header = ["angle, radians", "(1 + cos) / 2", "dot regression"]
  header += ["cross entropy", "best step of cross entropy"]
  header += [f"cross entropy at step {step:.3f}" for step in found.fixed_steps]
  header += ["projected, step 1: dot regression", "cross entropy"]
  columns = [found.theory, found.dot_regression, found.cross_entropy]
  columns += [found.best_steps, *found.fixed, *found.projected]
  rows = [
    [f"{found.angles[k]:g}", *(f"{column[k]:.6f}" for column in columns)]
    for k in np.searchsorted(found.angles, found.marked)
  ]
  dot, cross = found.walk[:, -1]
  return TheoryFigure(
    "regularity",
    "Theorem 2 holds for steps that are not projected",
    "Regularity numbers over the angle to the prototype",
    f"K = {found.num_classes}, E_W = E_H = 1, the other classes equally"
    " probable. The number is the share of the squared distance to the optimum"
    " that one gradient step leaves; less is better. Above, not projected: dot"
    " regression has (1 + cos) / 2 with a step of 1 at every angle; cross"
    " entropy has the same with the best step of each angle, and with a fixed"
    " step only at one angle (Yang et al., 2022, theorem 2). Middle, with the"
    " projection to the ball of features that their definition 2 has, at step"
    " 1: near the optimum the order is the opposite. Below: dot regression's"
    " gradient vanishes at the optimum, so its projected steps converge"
    " sublinearly; cross entropy's converge linearly. After"
    f" {found.walk.shape[1] - 1:,} projected steps of {found.walk_step:g} from"
    f" 1 radian dot regression is {dot:.2f} radians away, cross entropy"
    f" {cross:.0e}.",
    "Both losses, differentiated automatically, differ from (1 + cos) / 2 by"
    f" at most {found.error:.1e} at their best steps without projection; dot"
    f" regression's best steps differ from 1 by at most {steps:.1e}.",
    lambda: theory_frame.regularity(found),
    ("Regularity numbers at four angles", header, rows),
  )


def large_sample(found: laboratory.LargeSample) -> TheoryFigure:
  """Describe `laboratory.large_sample`."""
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
    f" marks solved optima, up to n_B = {found.solved_samples[-1]:.0e}. Above:"
    " columns of mean logits tend to the simplex, all cosines to -1/(K-1) ="
    f" {found.logit_limit:.4f} ({angle:.1f}°), at a rate of 1 / log n (in"
    " theory the matrix of logits, scaled to norm 1, is at last"
    f" {found.rate_limit:.3f} / log n away). Below: the classifier"
    " vectors do not; two minority vectors tend to"
    f" {found.minority_limit:.4f} (dashed), the cosine of SELI (Thrampoulidis"
    " et al., 2022), a limit that grows to 1 with the imbalance (Hong and Ling,"
    " 2023).",
    f"Solved cosines differ from theory by at most {found.error:.1e}. The rate"
    f" over the last third is {found.rate:.3f}, {100 * off:.1f} % from its"
    " limit. At n_B ="
    f" {found.samples[-1]:.0e} the logits' cosines are within {far:.3f} of"
    f" their limit and the minority's classifier cosine within {near:.4f} of"
    " its own.",
    lambda: theory_clusters.large_sample(found),
  )


def simplex(found: laboratory.Tetrahedron) -> TheoryFigure:
  """Describe `laboratory.tetrahedron`."""
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
    lambda: theory_frame.simplex(found),
  )


def cones(found: laboratory.Cones) -> TheoryFigure:
  """Describe `laboratory.cones`."""
  tau = np.degrees(found.tau)
  return TheoryFigure(
    "cones",
    "Cones keep the variety inside a class",
    "Features after cross entropy and after HingeCE",
    "K = 3, d = 2, a fixed ETF with E_W = 1, features in the unit disc. The"
    f" same {len(found.labels)} random features after {found.steps} projected"
    f" gradient steps of {found.step:g}: under cross entropy each class"
    f" collapses to one point; under HingeCE with τ+ = {tau:.3g}° and τ- ="
    f" {120 - tau:.3g}° features stop as soon as they are inside the cone of"
    " their class.",
    "Under cross entropy the features end within"
    f" {found.collapsed_distance:.1e} of their vector; under HingeCE"
    f" {100 * found.inside:.4g} % end inside their cone, where the largest"
    f" entry of the gradient is {found.gradient:.2g}.",
    lambda: theory_frame.cones(found),
  )


def my_counts(sweep: laboratory.CountsSweep) -> Iterable[TheoryFigure]:
  """Describe a sweep over lambda_Z, where there is one, and one lambda_Z."""
  about = (
    f"{theory_counts.about(sweep)}. Collapsed is a class whose classifier"
    " vector is zero or has a cosine above 0.99 with another's."
  )
  error = theory_counts.error(sweep)
  if sweep.lambda_z.size > 1:
    yield TheoryFigure(
      "my_counts",
      "Which of your classes a learned classifier merges",
      "Largest cosines over the regularization",
      _greek(
        f"{about} Right of the line a class stays collapsed. Solved is the"
        " unconstrained-feature model with cross entropy (Hong and Ling, 2023)."
      ),
      _greek(error),
      lambda: theory_counts.class_map(sweep),
    )
    error = ""
  header, rows = theory_counts.table(sweep)
  by = "class" if header[0] == "class" else "groups of classes"
  yield TheoryFigure(
    "my_counts_profile",
    f"Your classes at λ_Z = {sweep.lambda_z[sweep.reference]:.3g}",
    "Cosines and lengths",
    _greek(f"{theory_counts.finding(sweep)} {about}"),
    _greek(error),
    lambda: theory_counts.class_profile(sweep),
    (f"Numbers by {by}", header, rows),
  )


def _greek(text: str) -> str:
  return text.replace("lambda_", "λ_")
