# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The command that draws the theory, from its arguments to its files."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from etf_jax import theory_lab
from etf_jax.theory import laboratory

# K = (3, 3), n = 400 and 100: the closed forms are 10 / 1500 and 20 / 1500.
COUNTS = "100,400,100,400,100,400"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """All figures, on small grids: folder, what was printed, the page."""
  out = tmp_path_factory.mktemp("lab") / "made" / "here"
  small = {
    "phase_diagram": lambda: laboratory.phase_diagram(
      np.geomspace(1e-3, 1e-2, 4), [1000], points=2
    ),
    "cosines": lambda: laboratory.classifier_cosines([1, 10, 100], others=[]),
    "large_sample": lambda: laboratory.large_sample([10, 1e4, 1e8, 1e12]),
  }
  with pytest.MonkeyPatch.context() as patch:
    for name, compute in small.items():
      patch.setitem(theory_lab.FIGURES, name, compute)
    code, said, progress = run([f"--output={out}", f"--counts={COUNTS}"])
  assert code == 0, progress
  return out, said, progress, (out / "index.html").read_text()


def run(arguments):
  """Exit code, standard output and standard error."""
  import contextlib
  import io

  out, error = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
    code = theory_lab.main(arguments)
  return code, out.getvalue(), error.getvalue()


@pytest.mark.slow
def test_every_figure_is_written_and_stands_on_the_page(whole):
  out, said, progress, page = whole
  names = [*theory_lab.FIGURES, "my_counts", "my_counts_profile"]
  for name in names:
    assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
  assert page.count("<figcaption>") == page.count("<svg") == len(names)
  assert "<dd>9</dd>" in page
  assert not re.search(r"(src|href)=['\"]https?:", page)
  assert said.splitlines()[-1].startswith(f"wrote {out / 'index.html'}")
  assert progress.splitlines()[0] == "1 of 8: phase_diagram"
  assert progress.splitlines()[7] == "8 of 8: my_counts"


@pytest.mark.slow
@pytest.mark.parametrize(
  ("parameter", "error"),
  [
    ("n_B = 100 samples", "0 of 4 solved points lie on the wrong side"),
    ("E_W = 1, E_H = 5", "differ from theorem 1 by at most"),
    ("E_W = 1, E_H = 4", "differ from automatic differentiation by at most"),
    ("K = 10, E_W = E_H = 1", r"differ from (1 + cos) / 2 by at most"),
    ("N λ_Z = 2 held fixed", "Solved cosines differ from theory by at most"),
    ("a budget for each vector", "merges within a relative"),
    ("definition 2", "differ from (1 + cos) / 2 by at most"),
    ("d = 3, K = 4", "has its optimal features within"),
    ("τ+ = 30° and τ- = 90°", "100 % end inside their cone"),
    ("no bias", "The objective of every solution is within"),
  ],
)
def test_captions_state_parameters_and_errors(whole, parameter, error):
  _, said, _, page = whole
  captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
  assert [c for c in captions if parameter in c and error in c], error
  assert error in said
  assert "nan" not in " ".join(captions)


@pytest.mark.slow
def test_the_largest_errors_are_small(whole):
  (said,) = [s for s in whole[1].splitlines() if s.startswith("large_sample")]
  assert float(re.search(r"theory by at most ([\de.+-]+\d)", said)[1]) < 1e-9
  (said,) = [s for s in whole[1].splitlines() if s.startswith("phase")]
  errors = re.search(r"at most (\S+), (\S+) and (\S+)\.$", said).groups()
  assert max(map(float, errors)) < 2e-5


@pytest.mark.slow
def test_my_counts_agree_with_the_closed_forms(whole):
  with (whole[0] / "my_counts.csv").open() as file:
    rows = list(csv.DictReader(file))
  assert len(rows) == 6 * 24
  step = (1.2 * 20 / (0.3 * 10)) ** (1 / 23)
  for k, count in enumerate([100, 400] * 3):
    chosen = [row for row in rows if row["class"] == str(k)]
    threshold = count**0.5 / 1500
    assert float(chosen[0]["closed_form_lambda_z"]) == pytest.approx(threshold)
    start = float(chosen[0]["collapses_from_lambda_z"])
    # The cosine exceeds .99 a little before it is 1.
    assert 0.99 * threshold < start < step * threshold
    for row in chosen:
      collapsed = row["collapsed"] == "1"
      assert collapsed == (float(row["lambda_z"]) > start * (1 - 1e-6))
      zero = float(row["lambda_z"]) > 20 / 1500
      assert np.isnan(float(row["largest_cosine"])) >= zero


@pytest.mark.slow
def test_the_regularity_table_is_on_the_page(whole):
  for value in ("0.997502", "0.938791", "0.770151", "0.535369"):
    assert f"<td>{value}</td>" in whole[3]


@pytest.mark.slow
def test_one_lambda_of_a_run_directory(tmp_path):
  (tmp_path / "class_counts.json").write_text(json.dumps([400, 400, 100, 100]))
  code, said, _ = run(
    [
      "my_counts",
      f"--counts_file={tmp_path}",
      "--lambda_z=0.015",
      "--lambda_b=0.1",
      f"--output={tmp_path / 'out'}",
    ]
  )
  assert code == 0
  # sqrt(400) / 1000 = .02 and sqrt(100) / 1000 = .01.
  table = [re.split(r"\s{2,}", line.strip()) for line in said.splitlines()[2:7]]
  assert [row[2:4] for row in table] == [
    ["collapsed", "closed form"],
    *[["no", "0.02"]] * 2,
    *[["yes", "0.01"]] * 2,
  ]
  assert "lambda_b = 0.1" in said
  assert {path.name for path in (tmp_path / "out").iterdir()} == {
    "index.html",
    "my_counts.csv",
    "my_counts_profile.png",
  }
  page = (tmp_path / "out" / "index.html").read_text()
  assert "At λ_Z = 0.015: 2 of 4 collapsed." in page


def test_undefined_is_written_out(tmp_path):
  code, said, _ = run(
    [
      "my_counts",
      "--counts=7,5",
      "--lambda_z=1",
      f"--output={tmp_path}",
    ]
  )
  assert code == 0
  assert said.splitlines()[3].split() == [
    *("0", "7", "yes", "none", "undefined", "undefined"),
  ]
  assert "<td>undefined</td>" in (tmp_path / "index.html").read_text()


FEW = "--counts=5,6"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (["phasediagram"], "FIGURE='phasediagram': unknown; did you mean 'phase_d"),
    (["my_counts"], "my_counts: has no class counts; add --counts=5000,500,50"),
    (["cosines", FEW], "--counts: is for my_counts; add"),
    (["--lambda_z=1"], "--lambda_z: is for my_counts; add --counts"),
    (["--exact"], "--exact: is for my_counts"),
    (["--counts=5"], "--counts=5: needs a list of two counts or more; add"),
    (["--counts="], "--counts=: needs a list of two counts or more"),
    (["--counts=5,x"], "class 1=x: is no positive number up to 1e+15; give"),
    (["--counts=5,-6"], "class 1=-6: is no positive number"),
    (["--counts=nan,6"], "class 0=nan: is no positive number"),
    (["--counts=1e16,6"], "class 0=1e16: is no positive number up to 1e+15"),
    ([FEW, "--counts_file=a"], "both given; give one"),
    (["--counts_file=TMP"], "TMP/class_counts.json: cannot be read, No such"),
    ([FEW, "--lambda_z=0"], "--lambda_z=0: is no positive number"),
    ([FEW, "--lambda_b=a"], "--lambda_b=a: is no positive number"),
    ([FEW, "--output=TMP/empty"], "TMP/empty: "),
    (
      ["--counts=7,7,5,5", "--lambda_z=1e-9", "my_counts"],
      "--lambda_z=1e-09: the unconstrained-feature model did not converge",
    ),
  ],
)
def test_errors_are_one_line(tmp_path, arguments, message):
  (tmp_path / "empty").write_text("")
  if "--output=TMP/empty" not in arguments:
    arguments = [*arguments, "--output=TMP/out"]
  code, out, error = run(
    [argument.replace("TMP", str(tmp_path)) for argument in arguments]
  )
  assert code == 2
  assert out == ""
  (line,) = [x for x in error.splitlines() if not re.match(r"\d+ of ", x)]
  assert line.startswith("error: ")
  assert message.replace("TMP", str(tmp_path)) in line


def test_a_csv_that_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / "my_counts.csv").mkdir()
  code, _, error = run(
    ["my_counts", FEW, "--lambda_z=1", f"--output={tmp_path}"]
  )
  assert code == 2
  line = error.splitlines()[-1]
  assert line.startswith("error: ")
  assert f"{tmp_path / 'my_counts.csv'}" in line


def test_help_names_the_figures_and_does_not_load_matplotlib():
  code = (
    "import sys; from etf_jax import theory_lab\n"
    "try: theory_lab.main(['--help'])\n"
    "except SystemExit: print('matplotlib' in sys.modules)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  )
  assert done.stdout.splitlines()[-1] == "False"
  for name in [*theory_lab.FIGURES, "my_counts"]:
    assert name in done.stdout
