# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The report is one file, whole, safe to open, and has the right numbers."""

from html.parser import HTMLParser
import re
import runpy
import sys

import pytest
import synthetic_runs

from etf_jax.errors import InputError
from etf_jax.reporting import __main__ as command
from etf_jax.reporting import report
from etf_jax.runs import reader

VOID = {"meta", "wbr", "br"}


class Page(HTMLParser):
  """Checks nesting; collects references, ids and text."""

  def __init__(self, text):
    super().__init__()
    self.open, self.references, self.ids = [], [], []
    self.tags, self.words = [], []
    self.feed(text)
    self.close()
    assert self.open == []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    if tag not in VOID:
      self.open.append(tag)
    for key, value in attrs:
      if key in ("src", "href", "xlink:href", "data", "action", "srcset"):
        self.references.append(value)
      if key == "id":
        self.ids.append(value)

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    if tag not in VOID:
      self.open.pop()

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] != "style":
      self.words.append(data)

  @property
  def text(self):
    return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture(scope="module")
def written(runs_dir, tmp_path_factory):
  out = tmp_path_factory.mktemp("report") / "deep" / "report.html"
  assert report.write([runs_dir], out) == out
  return out


@pytest.fixture(scope="module")
def page(written):
  return Page(written.read_text())


@pytest.mark.slow
def test_it_refers_to_nothing_outside(written, page):
  text = written.read_text()
  assert "http" not in text
  assert "@import" not in text
  assert all(
    reference.startswith(("#", "data:image/png;base64,"))
    for reference in page.references
  )
  assert set(re.findall(r"url\((.)", text)) <= {"#"}
  assert "script" not in page.tags
  assert len(page.ids) == len(set(page.ids))


def test_headline_is_the_result(page):
  # Paired: 0.08, 0.08 and 0.05 have mean 7 and deviation sqrt(3).
  assert "ce and etf_dr on digits" in page.text
  assert (
    "etf_dr reaches 90.0 ± 2.0 % test accuracy at its last epoch (mean of 3"
    " seeds); ce follows with 83.0 ± 3.6 %. Seed by seed the difference is"
    " 7.0 ± 1.7 points (3 seeds)."
  ) in page.text


def test_numbers_versions_devices_and_seeds_are_there(page):
  for expected in (
    "83.4 ± 3.6",
    "best 9 (by accuracy on test)",
    "ddof 1",
    "training images512",
    "seeds0, 1, 2",
    "runs6",
    "training time6 min 9 s",  # six times 61.5 s
    "jax0.10.2",
    "2 x cpu",
    "0123456789",
    "methodceetf_dr",
    "configuration etf_dr-hash",
    '"alpha": 1.0',
    "digits_lt-ce/seed=2",
    "4,200",
  ):
    assert expected in page.text, expected


def test_every_class_is_listed_with_its_accuracies(page, runs_dir):
  (section,) = reader.sections(reader.group(reader.load_all([runs_dir])))
  seeds = [
    run.final["last"]["per_class_accuracy"][9] for run in section.groups[0].runs
  ]
  mean = 100 * sum(seeds) / 3
  assert f"98few{mean:.1f} ± " in page.text.replace(" few", "few")


def test_every_figure_is_there_and_as_png(written, page):
  assert page.tags.count("figure") == 4
  assert page.tags.count("svg") == 4
  for title in (
    "Accuracy by class",
    "Training",
    "Many, medium and few",
    "Confusion",
  ):
    assert f"{title}. " in page.text
  files = sorted((written.parent / "figures").iterdir())
  assert [path.name for path in files] == [
    "confusion.png",
    "curves.png",
    "per_class.png",
    "shots.png",
  ]
  assert all(path.read_bytes()[:4] == b"\x89PNG" for path in files)
  assert sorted(path.name for path in written.parent.iterdir()) == [
    "figures",
    "report.html",
  ]


def test_text_from_outside_is_escaped(tmp_path):
  evil = "<script>alert('x')</script>"
  synthetic_runs.write_run(
    tmp_path / "r",
    f"m{evil}",
    0,
    0.5,
    epochs=2,
    name=evil,
    names=[evil, "--><b>", '"&', *"abcdefg"],
    changes={"data": {"name": evil}, evil: evil},
  )
  out = report.write([tmp_path], tmp_path / "out.html")
  page = Page(out.read_text())
  assert "script" not in page.tags
  assert "alert(" not in re.sub("&lt;script&gt;alert", "", out.read_text())
  assert page.text.count(evil) >= 5


@pytest.mark.slow
def test_training_sets_are_separate_sections(tmp_path):
  for index, (method, imbalance) in enumerate(
    [("ce", 0.1), ("etf_dr", 0.1), ("ce", 0.01)]
  ):
    synthetic_runs.write_run(
      tmp_path / str(index),
      method,
      0,
      (0.5, 0.6, 0.4)[index],
      counts=synthetic_runs.exponential(10, 1000, imbalance),
      hash_=str(index),
      epochs=2,
    )
  out = report.write([tmp_path], tmp_path / "out" / "r.html")
  page = Page(out.read_text())
  assert page.tags.count("h2") == 2
  assert page.tags.count("figure") == 8
  assert len(page.ids) == len(set(page.ids))
  # The overview: a row a method, a column a training set.
  cells = re.sub(r"\s", "", page.text)
  assert (
    "last epoch,%digits,1,000to100digits,1,000to10ce50.0±-40.0±-".replace(
      " ", ""
    )
    in cells
  )
  assert "etf_dr60.0±--" in cells
  assert "etf_dr reaches 60.0 % test accuracy" in page.text
  assert "ce reaches 40.0 % test accuracy at its last epoch (one seed)." in (
    page.text
  )
  names = {path.name for path in (out.parent / "figures").iterdir()}
  assert {"1_digits_curves.png", "2_digits_confusion.png"} <= names


def test_unfinished_runs_are_shown_as_such(tmp_path):
  for seed, done in enumerate((True, False)):
    synthetic_runs.write_run(
      tmp_path / str(seed), "ce", seed, 0.5, epochs=4, finished=done
    )
  synthetic_runs.write_run(
    tmp_path / "dr", "etf_dr", 0, 0.5, epochs=4, finished=False, hash_="b"
  )
  page = Page(report.write([tmp_path], tmp_path / "r.html").read_text())
  assert "1 of 3 finished" in page.text
  assert "2 unfinished runs: shown as far as they came" in page.text
  assert "Dotted: runs that have not finished" in page.text
  assert "ce reaches 50.0 % test accuracy" in page.text


def test_runs_that_have_only_begun_have_a_report_without_figures(tmp_path):
  run = synthetic_runs.write_run(tmp_path / "r", "ce", 0, 0.5, epochs=2)
  (run / "metrics.jsonl").unlink()
  page = Page(report.write([run], tmp_path / "r.html").read_text())
  assert "No run has finished yet." in page.text
  assert page.tags.count("figure") == 0


@pytest.mark.parametrize(
  ("command", "shown"),
  [
    (
      ["python", "-m", "etf_jax.main", "--name=a b"],
      "etf_jax.main '--name=a b'",
    ),
    ("python -m etf_jax.main", "python -m etf_jax.main"),
  ],
)
def test_a_recorded_command_is_shown(tmp_path, command, shown):
  import json

  run = synthetic_runs.write_run(tmp_path / "r", "ce", 0, 0.5, epochs=2)
  meta = json.loads((run / "config.json").read_text()) | {"command": command}
  (run / "config.json").write_text(json.dumps(meta))
  (run / "metrics.jsonl").unlink()
  page = Page(report.write([run], tmp_path / "r.html").read_text())
  assert shown in page.text


def test_out_must_be_writable_html(runs_dir, tmp_path):
  with pytest.raises(InputError, match=r"name a \.html file"):
    report.write([runs_dir], tmp_path / "figures")
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="cannot write"):
    report.write([runs_dir / "digits_lt-ce"], tmp_path / "file" / "r.html")


def test_the_command_prints_the_table_and_writes_the_report(
  runs_dir, tmp_path, capsys, monkeypatch
):
  out = tmp_path / "r.html"
  arguments = [str(runs_dir / "digits_lt-etf_dr" / "seed=0"), f"--output={out}"]
  monkeypatch.setattr(sys, "argv", ["etf_jax.reporting", *arguments])
  monkeypatch.delitem(sys.modules, command.__name__)
  with pytest.raises(SystemExit) as ended:
    runpy.run_module("etf_jax.reporting", run_name="__main__")
  assert ended.value.code == 0
  shown = capsys.readouterr().out
  assert "88.0 ± -" in shown
  assert f"report: {out}" in shown
  assert out.exists()


def test_the_command_ends_with_one_line_on_bad_input(tmp_path, capsys):
  assert command.main([str(tmp_path / "none")]) == 2
  shown = capsys.readouterr()
  assert shown.err == f"error: no such directory: {tmp_path / 'none'}\n"
  assert shown.out == ""


def test_the_command_prints_markdown(tmp_path, capsys):
  run = synthetic_runs.write_run(tmp_path / "r", "ce", 0, 0.5, epochs=2)
  (run / "metrics.jsonl").unlink()
  arguments = [str(run), "--markdown", f"--output={tmp_path / 'r.html'}"]
  assert command.main(arguments) == 0
  assert "| ce | unfinished, at 0 | - |" in capsys.readouterr().out
