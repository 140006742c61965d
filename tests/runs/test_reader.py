# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Finding, reading, grouping and separating runs; what is wrong is named."""

import json

import pytest
import synthetic_runs

from etf_jax.errors import InputError
from etf_jax.evaluation import shots
from etf_jax.runs import metrics_rows, reader


@pytest.fixture
def run_dir(tmp_path):
  return synthetic_runs.write_run(tmp_path / "run", "ce", 4, 0.5, epochs=3)


def test_a_run_is_read_whole(run_dir):
  run = reader.load_run(run_dir)
  assert (run.name, run.method, run.seed) == ("digits_lt", "ce", 4)
  assert run.class_counts == synthetic_runs.COUNTS_10
  assert run.class_names[9] == "9"
  assert [row["epoch"] for row in run.tests] == [1, 2, 3]
  assert len(run.train) == 12
  assert run.final["last"]["accuracy"] == 0.5
  assert run.epoch == 3


def test_find_walks_and_gives_each_run_once(runs_dir):
  below = reader.find([runs_dir])
  assert [str(path.relative_to(runs_dir)) for path in below] == [
    f"digits_lt-{method}/seed={seed}"
    for method in ("ce", "etf_dr")
    for seed in range(3)
  ]
  second = runs_dir / "digits_lt-etf_dr"
  again = reader.find([second / "seed=2", runs_dir, second])
  assert again[0] == second / "seed=2"
  assert sorted(again) == below


def test_find_does_not_look_inside_a_run(run_dir):
  synthetic_runs.write_run(run_dir / "checkpoints" / "x", "ce", 0, 0.5)
  assert reader.find([run_dir.parent]) == [run_dir]


def test_find_says_what_is_not_there(tmp_path):
  with pytest.raises(InputError, match=r"no such directory: .*none"):
    reader.find([tmp_path / "none"])
  (tmp_path / "empty").mkdir()
  (tmp_path / "empty" / "config.json").write_text("{}")
  with pytest.raises(InputError, match=r"no run in .*empty"):
    reader.find([tmp_path / "empty"])
  with pytest.raises(InputError, match="give at least one"):
    reader.find([])


def test_a_run_in_progress_is_read_up_to_its_torn_line(run_dir):
  path = run_dir / "metrics.jsonl"
  lines = path.read_text().splitlines(keepends=True)
  path.write_text("".join(lines[:5]) + lines[5][:30])
  run = reader.load_run(run_dir)
  assert run.final is None
  assert (len(run.train), len(run.tests), run.epoch) == (4, 1, 1)
  path.unlink()
  assert reader.load_run(run_dir).epoch == 0


def rewrite(path, change):
  content = json.loads(path.read_text())
  path.write_text(json.dumps(change(content)))


@pytest.mark.parametrize(
  ("file", "change", "message"),
  [
    ("config.json", lambda c: [], "config.json: it does not hold a dict"),
    ("config.json", lambda c: {**c, "config": {}}, "has no 'config.method'"),
    (
      "config.json",
      lambda c: {k: v for k, v in c.items() if k != "hash"},
      "config.json has no 'hash'; it was not written by etf_jax.main",
    ),
    ("class_counts.json", lambda c: c[:9], "has 9 classes and .* 10; they"),
    ("class_names.json", lambda c: {}, "class_names.json: it does not hold"),
  ],
)
def test_wrong_files_are_named(run_dir, file, change, message):
  rewrite(run_dir / file, change)
  with pytest.raises(InputError, match=message):
    reader.load_run(run_dir)


def test_missing_and_broken_files_are_named(run_dir):
  (run_dir / "class_names.json").unlink()
  with pytest.raises(InputError, match=r"class_names\.json is missing"):
    reader.load_run(run_dir)
  (run_dir / "config.json").write_text("{,")
  with pytest.raises(InputError, match=r"cannot read .*config\.json"):
    reader.load_run(run_dir)


@pytest.mark.parametrize(
  ("line", "message"),
  [
    ({"kind": "eval", "step": 1}, "line 1: eval row without epoch, split, acc"),
    ({"kind": "train", "step": 1}, "line 1: train row without epoch"),
    (
      {
        "kind": "eval",
        "step": 1,
        "epoch": 1,
        "split": "test",
        "accuracy": 0.5,
        "per_class_accuracy": [0.5, 0.5],
      },
      "line 1: eval row with another per_class_accuracy than a run of 10",
    ),
    (
      {
        "kind": "final",
        "step": 1,
        "last": {"kind": "eval"},
        "best": {},
        "best_selected_on": "test",
      },
      "line 1, last: eval row without epoch",
    ),
  ],
)
def test_rows_that_cannot_be_shown_are_named(run_dir, line, message):
  path = run_dir / "metrics.jsonl"
  path.write_text(json.dumps(line) + "\n" + path.read_text())
  with pytest.raises(InputError, match=message):
    reader.load_run(run_dir)


def test_seeds_join_by_name_method_and_hash_in_order(tmp_path):
  for seed in (2, 10, 0):
    synthetic_runs.write_run(tmp_path / f"a{seed}", "ce", seed, 0.5, epochs=2)
  synthetic_runs.write_run(tmp_path / "b", "etf_dr", 0, 0.5, epochs=2)
  first, second = reader.group(reader.load_all([tmp_path]))
  assert (first.label, second.label) == ("ce", "etf_dr")
  assert [run.seed for run in first.runs] == [0, 2, 10]


def test_labels_name_what_differs(tmp_path):
  few = {"mixup": {"alpha": 0.0}}
  many = {"mixup": {"alpha": 0.5}, "model": {"depth": 32, "width": 2}}
  for index, changes in enumerate((None, few, many)):
    synthetic_runs.write_run(
      tmp_path / str(index),
      "ce",
      0,
      0.5,
      epochs=2,
      hash_=f"h{index}",
      changes=changes,
    )
  read = [reader.load_run(tmp_path / str(index)) for index in range(3)]
  assert [group.label for group in reader.group(read[:2])] == [
    "ce (mixup.alpha=1.0)",
    "ce (mixup.alpha=0.0)",
  ]
  # Three fields are too many for a label.
  assert [group.label for group in reader.group(read)][2] == "ce (digits_lt h2)"
  assert reader.differences(reader.group(read)) == {
    "model.depth": ["8", "8", "32"],
    "model.width": ["1", "1", "2"],
    "mixup.alpha": ["1.0", "0.0", "0.5"],
  }


def test_a_field_that_one_lacks_is_a_difference(tmp_path):
  for index, changes in enumerate((None, {"extra": True})):
    synthetic_runs.write_run(
      tmp_path / str(index),
      f"m{index}",
      0,
      0.5,
      epochs=2,
      changes=changes,
    )
  groups = reader.group(reader.load_all([tmp_path]))
  assert reader.differences(groups) == {
    "method": ["m0", "m1"],
    "extra": ["not set", "True"],
  }


def test_a_copied_run_is_refused(tmp_path):
  for folder in "ab":
    synthetic_runs.write_run(tmp_path / folder, "ce", 0, 0.5, epochs=2)
  with pytest.raises(
    InputError, match=r"the same run \(method ce, seed 0\) is in .*a and .*b;"
  ):
    reader.group(reader.load_all([tmp_path]))


def test_other_counts_are_another_section(tmp_path):
  for index, imbalance in enumerate((0.1, 0.1, 0.01)):
    counts = synthetic_runs.exponential(10, 1000, imbalance)
    synthetic_runs.write_run(
      tmp_path / str(index),
      ("ce", "etf_dr", "ce")[index],
      0,
      0.5,
      epochs=2,
      counts=counts,
      hash_=str(index),
    )
  first, second = reader.sections(reader.group(reader.load_all([tmp_path])))
  assert [group.label for group in first.groups] == ["ce", "etf_dr"]
  assert [group.label for group in second.groups] == ["ce"]
  assert second.title == "digits"
  total = sum(int(1000 * 0.01 ** (k / 9)) for k in range(10))
  assert second.facts == (
    f"10 classes, {total:,} training images, 1,000 to 10 a class"
  )


def test_shots_have_their_bounds():
  found = shots.of([5000, 101, 100, 50, 20, 19, 1])
  assert found.tolist() == [0, 0, 1, 1, 1, 2, 2]


def test_links_are_followed_to_runs_and_no_further(tmp_path, runs_dir):
  tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
  (tree / "a").mkdir(parents=True)
  (tree / "a" / "loop").symlink_to(tree)
  (tree / "a" / "itself").symlink_to("itself")
  run = runs_dir / "digits_lt-ce" / "seed=0"
  (tree / "run").symlink_to(run)
  elsewhere.mkdir()
  (elsewhere / "run").symlink_to(runs_dir / "digits_lt-ce" / "seed=1")
  (tree / "outside").symlink_to(elsewhere)
  assert reader.find([tree]) == [tree / "run"]
  with pytest.raises(InputError, match="no run in"):
    reader.find([tree / "a"])


@pytest.mark.parametrize(
  ("file", "content", "message"),
  [
    ("class_counts.json", [1.5] + [1] * 9, "counts; copy it again"),
    ("class_counts.json", [-1] + [1] * 9, "counts; copy it again"),
    ("class_names.json", [["a"]] + ["a"] * 9, "names; copy it again"),
    ("config.json", {"config": {"method": []}}, "has no 'name'"),
  ],
)
def test_wrong_types_are_named(run_dir, file, content, message):
  (run_dir / file).write_text(json.dumps(content))
  with pytest.raises(InputError, match=message):
    reader.load_run(run_dir)


@pytest.mark.parametrize(
  ("field", "value"),
  [
    ("loss", "low"),
    ("epoch", [1]),
    ("split", 1),
    ("per_class_accuracy", ["a"] * 10),
    ("confusion", [[0.5] * 10] * 10),
    ("last", []),
    ("sample_mean", {"nc1": []}),
  ],
)
def test_a_field_of_another_type_is_named(field, value):
  row = {"kind": "train", "step": 1, "epoch": 1.0, "loss": 0.5}
  metrics_rows.check(row, 10, "line 1")
  with pytest.raises(InputError, match=f"line 1: train row with .*{field}"):
    metrics_rows.check(row | {field: value}, 10, "line 1")
