# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The theory figures show the numbers that they are given."""

from drawn import lines
from matplotlib import quiver
from matplotlib.backends.backend_agg import FigureCanvasAgg
import numpy as np
import pytest

from etf_jax.reporting import page
from etf_jax.reporting.figures import theory, theory_clusters, theory_frame
from etf_jax.theory import laboratory

NAN = np.nan
TURN = np.radians([210, 330, 90])
PLANE = np.stack([np.cos(TURN), np.sin(TURN)])
CORNERS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5
RATIOS = np.array([1.0, 10, 100, 1000])
ANGLES = np.array([0.1, 0.5, 1.0, 1.5, 2.5])
SAMPLES = np.geomspace(10, 1e8, 8)
LOGITS = np.stack([np.linspace(top, -0.1, 8) for top in (0.3, 0, -0.3)])

DIAGRAM = laboratory.PhaseDiagram(
  cluster_sizes=(5, 5),
  minority_count=100.0,
  lambda_z=np.array([0.001, 0.002, 0.004, 0.008]),
  majority_counts=np.array([200.0, 2000.0]),
  phases=np.array([[0, 0, 1, 3], [0, 1, 2, 3]]),
  line_counts=np.array([200.0, 2000.0]),
  borders=np.array([[0.003, 0.0015], [0.005, 0.003], [0.007, 0.006]]),
  cut_count=1000.0,
  cut_lambda_z=np.geomspace(0.001, 0.008, 80),
  cut=np.stack([np.linspace(top, 0, 80) for top in (4, 3, 2)]),
  wrong_side=0,
  near=1,
  error=(1e-7, 2e-7, 3e-7),
)
COSINES = laboratory.ClassifierCosines(
  cluster_sizes=(3, 7),
  classifier_energy=1.0,
  feature_energy=5.0,
  ratios=RATIOS,
  pairs=np.array([[-0.1, 0.2, 1, NAN], [-0.1, -0.2, -0.3, -0.4], 4 * [-0.1]]),
  per_vector=np.array([-0.1, 0.4, 0.9, 1]),
  critical=60.0,
  fixed=-0.125,
  alignment=np.ones(4),
  splits={
    (3, 7): (np.array([-0.1, 0.2, 1, NAN]), 60.0),
    (7, 3): (np.array([-0.1, 1, NAN, NAN]), 8.0),
  },
  error=1e-9,
  critical_error=1e-8,
)
NUMBERS = laboratory.RegularityNumbers(
  num_classes=10,
  angles=ANGLES,
  marked=ANGLES[:4],
  theory=(1 + np.cos(ANGLES)) / 2,
  dot_regression=(1 + np.cos(ANGLES)) / 2,
  cross_entropy=(1 + np.cos(ANGLES)) / 2,
  best_steps=ANGLES,
  dot_regression_steps=np.ones(5),
  fixed_steps=(0.1,),
  fixed=(1 + np.cos(ANGLES))[None] / 2 + 0.1,
  error=1e-16,
  projected=np.stack([np.full(5, 0.9), np.full(5, 0.3)]),
  walk_step=0.1,
  walk=np.array([[1, 0.5, 0.2], [1, 1e-10, 1e-35]]),
)
LARGE = laboratory.LargeSample(
  cluster_sizes=(5, 5),
  ratio=10.0,
  strength=2.0,
  samples=SAMPLES,
  logits=LOGITS,
  classifier=LOGITS + 0.02,
  solved_samples=SAMPLES[:3],
  solved_logits=LOGITS[:, :3],
  solved_classifier=LOGITS[:, :3] + 0.02,
  logit_limit=-0.125,
  minority_limit=0.07,
  distances=(0.1, 0.01),
  rate=3.3,
  rate_limit=3.4,
  error=1e-11,
)
FIELDS = laboratory.PullPushFields(
  prototypes=PLANE,
  feature=np.array([-0.98, -0.17]),
  label=2,
  feature_energy=4.0,
  terms=np.array([[0.8, 0.4], [0.001, 0.002], [0.0, 0.9]]),
  dot_regression=np.array([0, 1.2]),
  positions=np.array([[0.0, 0.0], [0.5, 0.0]]),
  fields=(np.array([[1.0, 1], [0, 0]]), np.array([[0.0, 1], [0, 2]])),
  error=1e-16,
)
START = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, -1]])
TETRAHEDRON = laboratory.Tetrahedron(
  prototypes=CORNERS.T,
  paths=np.stack([START, CORNERS], axis=1),
  labels=np.arange(4),
  step=0.1,
  steps=1,
  class_counts=(1000, 300, 30, 3),
  solved=CORNERS,
  error=1e-9,
  left=1e-8,
)
LABELS = np.array([0, 1, 2, 2])
CONES = laboratory.Cones(
  prototypes=PLANE,
  tau=0.5,
  labels=LABELS,
  step=0.1,
  steps=10,
  collapsed=PLANE.T[LABELS],
  separated=0.5 * PLANE.T[LABELS],
  collapsed_distance=1e-10,
  inside=1.0,
  gradient=0.0,
)
SHOWN = [
  theory.phase_diagram(DIAGRAM),
  theory.cosines(COSINES),
  theory.regularity(NUMBERS),
  theory.large_sample(LARGE),
  theory.pull_push(FIELDS),
  theory.simplex(TETRAHEDRON),
  theory.cones(CONES),
]


@pytest.mark.slow
@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown.name)
def test_no_text_leaves_the_figure(shown):
  figure = shown.draw()
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  renderer = canvas.get_renderer()
  # In three dimensions a text does not say where it is drawn.
  texts = [t for a in figure.axes if a.name != "3d" for t in a.texts]
  for axes in figure.axes:
    texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
  texts += [text for legend in figure.legends for text in legend.get_texts()]
  visible = [text for text in texts if text.get_text()]
  assert visible
  for text in visible:
    box = text.get_window_extent(renderer)
    assert box.x0 >= -0.5, text
    assert box.y0 >= -0.5, text
    assert box.x1 <= figure.bbox.x1 + 0.5, text
    assert box.y1 <= figure.bbox.y1 + 0.5, text


def test_phase_diagram_marks_each_solution():
  upper, lower = theory_clusters.phase_diagram(DIAGRAM).axes
  shown = lines(upper)
  first, second, third, last = (shown[name] for name in theory_clusters.PHASES)
  assert first == [[0.001, 200], [0.002, 200], [0.001, 2000]]
  assert second == [[0.004, 200], [0.002, 2000]]
  assert third == [[0.004, 2000]]
  assert last == [[0.008, 200], [0.008, 2000]]
  assert shown["theory: minority merges"] == [[0.003, 200], [0.0015, 2000]]
  # Where the cut at 1000 crosses the lines: 4/9 of the way between their ends.
  border = [x.get_xdata()[0] for x in lower.lines if len(x.get_xdata()) == 2]
  expected = [0.003 - 0.0015 * 4 / 9, 0.005 - 0.002 * 4 / 9]
  np.testing.assert_allclose(border, [*expected, 0.007 - 0.001 * 4 / 9])


def test_cosines_end_at_a_cross_where_vectors_vanish():
  upper, lower = theory_clusters.cosines(COSINES).axes
  shown = lines(upper)
  assert shown["a budget each: minority with minority"][1] == [10, 0.4]
  assert shown["fixed ETF: every pair"][0] == [1, -0.125]
  crosses = [
    [
      line.get_xydata().tolist()
      for line in axes.lines
      if line.get_marker() == "x"
    ]
    for axes in (upper, lower)
  ]
  assert crosses == [[[[100, 1]]], [[[100, 1]], [[10, 1]]]]
  texts = [text.get_text() for text in lower.texts]
  assert texts == ["R = 60", "3 + 7", "R = 8", "7 + 3"]


def test_regularity_shows_both_cases_of_theorem_2():
  upper, middle, lower = theory_frame.regularity(NUMBERS).axes
  labels = [text.get_text() for text in upper.texts]
  assert labels == ["0.9975", "0.9388", "0.7702", "0.5354"]
  assert lines(middle)["cross entropy"][0] == [0.1, 0.3]
  assert lines(lower)["cross entropy"][-1] == [2, 1e-35]
  caption = SHOWN[2].caption
  assert "dot regression is 0.20 radians away, cross entropy 1e-35" in caption
  header, rows = SHOWN[2].table[1:]
  assert rows[0][-2:] == ["0.900000", "0.300000"]
  assert len(header) == len(rows[0]) == 8


def test_large_sample_draws_limits():
  upper, lower = theory_clusters.large_sample(LARGE).axes
  assert lines(upper)["limit"][0][1] == -0.125
  (limit,) = [line for line in lower.lines if len(line.get_xdata()) == 2]
  assert limit.get_ydata()[0] == 0.07
  assert limit.get_color() == lower.lines[0].get_color()


def test_arrows_are_half_as_long_as_the_gradients():
  first, second, ce_field, dr_field = theory_frame.pull_push(FIELDS).axes[:4]
  arrows = [
    (arrow.U[0], arrow.V[0])
    for arrow in first.collections
    if isinstance(arrow, quiver.Quiver) and len(arrow.U) == 1
  ]
  np.testing.assert_allclose(
    arrows, [(0, 0.45), (0.4, 0.2), (0.0005, 0.001), (0.4005, 0.651)]
  )
  texts = [text.get_text() for text in first.texts]
  assert "pull to $w_3$: 0.90" in texts
  assert "push from $w_1$: 0.89" in texts
  assert "push from $w_2$: 0.00" in texts
  assert "pull to $w_3$: 1.20" in [text.get_text() for text in second.texts]
  # Degrees away from w_3, 0 where there is no gradient.
  for axes, expected in ((ce_field, [45, 0]), (dr_field, [0, 0])):
    np.testing.assert_allclose(
      axes.collections[-1].get_array(), expected, atol=1e-6
    )


def test_cones_open_by_their_angle():
  upper, lower = theory_frame.cones(CONES).axes
  assert len(upper.patches) == 0
  for patch, turn in zip(lower.patches, TURN, strict=True):
    edge = patch.get_xy()[1:-1]
    off = np.angle(np.exp(1j * (np.arctan2(*edge.T[::-1]) - turn)))
    assert (off.min(), off.max()) == pytest.approx((-0.5, 0.5))
  points = [line.get_xydata() for line in lower.lines if line.get_ms() == 5]
  np.testing.assert_allclose(np.concatenate(points), 0.5 * PLANE.T[LABELS])


def test_simplex_paths_end_where_features_do():
  (axes,) = theory_frame.simplex(TETRAHEDRON).axes
  ends = [
    np.ravel(line.get_data_3d())
    for line in axes.lines
    if line.get_marker() == "+" and line.get_ms() > 10
  ]
  np.testing.assert_allclose(ends, CORNERS)


def test_blocks_hold_finding_caption_error_and_table():
  heading, figures, details = SHOWN[2].blocks()
  assert heading.text == SHOWN[2].finding
  (figure,) = figures.figures
  assert figure.caption == f"{SHOWN[2].caption} {SHOWN[2].error}"
  assert details.summary == "Regularity numbers at four angles"
  assert isinstance(details.blocks[0], page.Table)
  assert details.is_open
  assert len(SHOWN[0].blocks()) == 2
