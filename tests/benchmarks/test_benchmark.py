# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The benchmark command."""

import json
import re

import jax
import numpy as np
import pytest

from etf_jax import benchmark
from etf_jax.benchmarks import timing

BATCH, DIM = 64, 256


@pytest.fixture(scope="module")
def report(tmp_path_factory):
  """Results and output of a small run."""
  file = tmp_path_factory.mktemp("benchmark") / "losses.json"
  with pytest.MonkeyPatch.context() as patch:
    lines = []
    patch.setattr("builtins.print", lambda *words: lines.extend(words))
    code = benchmark.main(
      [
        "losses",
        f"--feature_dim={DIM}",
        f"--batch_size={BATCH}",
        "--num_classes=100,2000",
        "--blocks=3",
        "--seconds=0.01",
        f"--json={file}",
      ]
    )
  assert code == 0
  return json.loads(file.read_text()), "\n".join(lines)


def test_report_names_versions_and_device(report):
  written, printed = report
  assert written["command"] == "losses"
  around = written["environment"]
  assert around["platform"] == "cpu"
  assert around["jax"] == jax.__version__
  for key in ("device", "jax", "optax", "numpy", "etf_jax", "python"):
    assert f"{key}={around[key]}" in printed


def test_rows_hold_medians_between_their_ranges(report):
  written, printed = report
  assert [row["num_classes"] for row in written["results"]] == [100, 2000]
  for row in written["results"]:
    assert (row["feature_dim"], row["batch_size"]) == (DIM, BATCH)
    heads = row["dot_regression"], row["cross_entropy"]
    for head in heads:
      assert 0 < head["ms_min"] <= head["ms"] <= head["ms_max"]
    assert row["time_ratio"] == pytest.approx(heads[0]["ms"] / heads[1]["ms"])
    assert re.search(
      rf"^\| {row['num_classes']} .* {row['time_ratio']:.3f} .*"
      rf" {row['memory_ratio']:.3f} \|$",
      printed,
      re.MULTILINE,
    )


def test_dot_regression_does_not_grow_with_the_classes(report):
  few, many = report[0]["results"]
  # The features' gradient and the loss; and one target for each example.
  assert many["dot_regression"]["output_bytes"] == pytest.approx(
    4 * BATCH * DIM, rel=0.01
  )
  assert many["dot_regression"]["temp_bytes"] < 2.2 * 4 * BATCH * DIM
  for key in ("temp_bytes", "output_bytes", "flops"):
    assert many["dot_regression"][key] <= 1.01 * few["dot_regression"][key]


def test_cross_entropy_does(report):
  few, many = report[0]["results"]
  # Three products of [batch, dim] and [dim, classes]; the weight's gradient.
  assert many["cross_entropy"]["flops"] > 6 * BATCH * DIM * 2000
  growth = (
    many["cross_entropy"]["output_bytes"] - few["cross_entropy"]["output_bytes"]
  )
  assert growth == pytest.approx(4 * (DIM + 1) * (2000 - 100))
  assert many["dot_regression"]["flops"] < 0.01 * many["cross_entropy"]["flops"]
  assert many["memory_ratio"] < 0.1


def test_arms_take_turns():
  order = []

  def arm(name):
    def call():
      order.append(name)
      return np.float32(0)

    return call

  arms = {name: timing.synchronized(arm(name)) for name in ("a", "b")}
  taken = timing.take_turns(arms, blocks=3, seconds=1e-9)
  # Two calls to warm up and to calibrate, then one call a block.
  assert "".join(order) == "aabb" + "ab" * 3
  assert [len(times) for times in taken.values()] == [3, 3]


def test_summary_by_hand():
  assert timing.summary([0.004, 0.001, 0.002]) == {
    "ms": 2.0,
    "ms_min": 1.0,
    "ms_max": 4.0,
  }


def test_ratio_by_hand():
  taken = {"a": [3.0, 2.0, 1.0], "b": [1.0, 2.0, 4.0]}
  # Of the same blocks; the ratio of the medians would be 1 as well, but not
  # its range.
  assert timing.ratio(taken, "a", "b") == {
    "ratio": 1.0,
    "ratio_min": 0.25,
    "ratio_max": 3.0,
  }


def test_calls_of_a_block_are_whole_multiples():
  asked = {"a": [], "b": []}

  def arm(name, seconds):
    def turn(number):
      asked[name].append(number)
      return seconds * number

    return turn

  taken = timing.take_turns(
    {"a": arm("a", 0.5), "b": arm("b", 1.0)},
    blocks=2,
    seconds=10.0,
    warmup=5,
    multiple={"a": 4},
  )
  # Warm-up, calibration until a quarter of a block is filled, and two blocks of
  # ten seconds.
  assert asked == {"a": [8, 4, 8, 20, 20], "b": [5, 1, 2, 4, 10, 10]}
  assert taken == {"a": [0.5, 0.5], "b": [1.0, 1.0]}


@pytest.mark.slow
def test_all_runs_what_can_be_run(monkeypatch, tmp_path, capsys):
  losses = benchmark.COMMANDS["losses"]._replace(
    quick=("--feature_dim=8", "--batch_size=4", "--num_classes=2")
  )
  feed = benchmark.COMMANDS["feed"]._replace(quick=("--dir=/absent",))
  monkeypatch.setattr(benchmark, "COMMANDS", {"feed": feed, "losses": losses})
  file = tmp_path / "all.json"
  assert benchmark.main(["all", f"--json={file}"]) == 0
  written, printed = json.loads(file.read_text()), capsys.readouterr().out
  line = "--dir=/absent: there is no such folder; name another"
  assert written["not_measured"] == {"feed": line}
  (one,) = written["reports"]
  assert (one["command"], one["results"][0]["feature_dim"]) == ("losses", 8)
  assert one["environment"]["load"] >= 0
  assert f"\n## feed --dir=/absent\n\nnot measured: {line}\n" in printed
  assert "\n## losses --feature_dim=8 --batch_size=4" in printed


@pytest.mark.parametrize("name", sorted(benchmark.COMMANDS))
def test_quick_options_are_known(name):
  command = benchmark.COMMANDS[name]
  config = ["--config=etf_jax:digits_lt"] if command.has_config else []
  options = benchmark._parser().parse_args([name, *command.quick, *config])
  assert options.blocks >= 5 or name == "compile"


def test_missing_folder_is_reported_before_any_work(capsys, tmp_path):
  file = tmp_path / "absent" / "losses.json"
  assert benchmark.main(["losses", f"--json={file}"]) == 2
  printed = capsys.readouterr()
  assert printed.out == ""
  assert printed.err == (
    f"error: --json={file}: no such folder; make it first\n"
  )


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["losses", "--num_classes=10,0"], "0 is not positive"),
    (["losses", "--feature_dim=-3"], "-3 is not positive"),
    ([], "required: command"),
    (["speed"], "invalid choice: 'speed'"),
  ],
)
def test_wrong_options(options, message, capsys):
  with pytest.raises(SystemExit) as error:
    benchmark.main(options)
  assert error.value.code == 2
  assert message in capsys.readouterr().err
