# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Gives damaged and hostile files to everything that reads files.

  python tests/_support/attacks.py --number=1000 --kinds=images,lists

Each case runs in a process of its own, within limits of time and memory, and
has to end in an answer or in one line with exit code 2. Prints a table; exit
code 1: a case did not, and what it said is in --folder.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
import io
import json
from pathlib import Path
import shutil
import sys
import tempfile

import attacks_outside
import jax
import jax.numpy as jnp
import mutations
import numpy as np
from PIL import Image
import safetensors.numpy
import strikes

# Everything is imported before the first fork, and no backend is started.
from etf_jax import evaluate, export, main, models, predict, probe
from etf_jax.data import decode
from etf_jax.data.sources import features, lists
from etf_jax.errors import InputError
from etf_jax.models import pretrained
from etf_jax.reporting import __main__ as reporting
from etf_jax.runs import commands, data_record, reader
from etf_jax.serving import run_directory

Case = tuple[str, Callable[[], int | None]]


def _command(work: Callable[[], object]) -> Callable[[], int]:
  """Make a command of a function, which shows errors in one line."""

  @commands.command
  def call(argv: object) -> None:
    del argv
    try:
      work()
    except decode.CorruptImage as error:
      raise InputError(str(error)) from error

  return lambda: call([])


def images(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate an image of each format."""
  del folder
  pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
  for place, (kind, options) in enumerate(
    {
      "jpeg": {},
      "JPEG progressive": {"progressive": True},
      "png": {},
      "ppm": {},
      "webp": {},
      "bmp": {},
      "gif": {},
      "tiff": {},
    }.items()
  ):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind.split()[0], **options)
    for content in mutations.of_bytes(file.getvalue(), number, seed + place):

      def work(content=content):
        decode.decode(
          content,
          channels=3,
          size=16,
          fit="shorter",
          decoder=decode.choose(None),
        )

      yield kind.lower(), _command(work)


def listings(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate lists of images and files of features."""
  rng = np.random.default_rng(0)
  rows = "".join(f"a/{k}.png,{k % 3}\n" for k in range(9))
  content = {
    "list.csv": b"path,label\n" + rows.encode(),
    "list.txt": rows.replace(",", " ").encode(),
    "list.json": json.dumps(
      {
        "images": [{"id": k, "file_name": f"a/{k}.png"} for k in range(9)],
        "annotations": [{"image_id": k, "category_id": 1} for k in range(9)],
        "categories": [{"id": 1, "name": "ant"}],
      }
    ).encode(),
  }
  arrays = {"x": rng.normal(size=(9, 4)), "y": np.arange(9) % 3}
  np.savez(folder / "arrays.npz", **arrays)
  np.save(folder / "array.npy", arrays["x"])
  for name in ("arrays.npz", "array.npy"):
    content[name] = (folder / name).read_bytes()
  for place, (name, text) in enumerate(content.items()):
    versions = list(mutations.of_bytes(text, number, seed + place))
    if name.startswith("list"):
      versions += mutations.RAW.values()
    if name == "list.json":
      versions += mutations.of_json(text, number, seed)
    for version in versions:

      def work(path=folder / name, version=version):
        path.write_bytes(version)
        if path.stem == "list":
          lists.read(str(path))
        else:
          features.read(path)

      yield name, _command(work)


def weights(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate the header and the numbers of safetensors."""
  model = models.ResNet(depth=18, width=1)
  like = jax.eval_shape(
    model.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))
  )
  good = jax.tree.map(lambda x: np.full(x.shape, 0.5, x.dtype), like)
  tensors = pretrained.to_state_dict(good, "resnet18")
  content = safetensors.numpy.save(tensors)
  size = int.from_bytes(content[:8], "little")
  header, data = content[8 : 8 + size], content[8 + size :]

  def versions() -> Iterator[bytes]:
    for text in mutations.of_bytes(content[:8], number // 4, seed):
      yield text[:8] + data
    for text in (
      *mutations.of_json(header, number, seed),
      *mutations.of_bytes(header, number, seed),
    ):
      yield len(text).to_bytes(8, "little") + text + data
    for name in ("conv1.weight", "bn1.running_var", "bn1.running_mean"):
      for value in (np.nan, np.inf, -np.inf, -1.0):
        changed = tensors | {name: tensors[name].copy()}
        changed[name].flat[0] = value
        yield safetensors.numpy.save(changed)

  for version in versions():

    def work(version=version):
      (folder / "model.safetensors").write_bytes(version)
      pretrained.load(folder / "model.safetensors", like)

    yield "safetensors", _command(work)


def loads(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate the JSON of a finished run, which is only loaded."""
  return runs(folder, number, seed, {"load": _load})


def runs(
  folder: Path,
  number: int,
  seed: int,
  called: Mapping[str, Callable[[Path], int]] | None = None,
) -> Iterator[Case]:
  """Mutate the JSON of a finished run, which commands read."""
  called = called or _COMMANDS
  run = _train(folder)
  content = {name: (run / name).read_bytes() for name in _FILES}
  lines = content["metrics.jsonl"].splitlines()
  for name in _FILES:
    if name != "metrics.jsonl":
      for version in mutations.of_json(content[name], number, seed):
        yield from _on_run(folder, name, content | {name: version}, called)
  last = {json.loads(line)["kind"]: place for place, line in enumerate(lines)}
  for kind, place in last.items():
    for line in mutations.of_json(lines[place], number, seed):
      changed = [*lines[:place], line.replace(b"\n", b" "), *lines[place + 1 :]]
      version = {"metrics.jsonl": b"\n".join(changed) + b"\n"}
      yield from _on_run(folder, f"{kind} row", content | version, called)


def checkpoints(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate the files of a checkpoint, half of them with digests that fit."""
  run, versions = _train(folder), number
  (step,) = (run / "checkpoints").iterdir()
  files = [path for path in sorted(step.rglob("*")) if path.is_file()]
  for path in files:
    for number, version in enumerate(
      mutations.of_bytes(path.read_bytes() or b"0", versions, seed)
    ):

      def call(path=path, number=number, version=version):
        shutil.rmtree(folder / "struck", ignore_errors=True)
        shutil.copytree(run, folder / "struck")
        changed = folder / "struck" / path.relative_to(run)
        changed.write_bytes(version)
        if number % 2:
          place = folder / "struck" / step.relative_to(run) / "default"
          (place / "SHA256SUMS").unlink(missing_ok=True)
        return _COMMANDS["predict"](folder)

      yield "checkpoint", call


def archives(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate archives of published files, which `prepare` looks into."""
  for kind, content in attacks_outside.archive_cases(number, seed):

    def work(kind=kind, content=content):
      attacks_outside.check_archive(folder / "archive", kind, content)

    yield f"{kind} archive", _command(work)


def pages(folder: Path, number: int, seed: int) -> Iterator[Case]:
  """Mutate requests to the served page, twenty a case."""
  run = _train(folder)
  sent = attacks_outside.requests(number, seed)
  for first in range(0, len(sent), 20):

    def work(some=sent[first : first + 20]):
      attacks_outside.ask(run, some)

    yield "requests", _command(work)


_FILES = (
  *("config.json", "class_counts.json", "class_names.json", "data.json"),
  *("calibration.json", "metrics.jsonl"),
)


def _load(folder: Path) -> int:
  def work():
    run = reader.load_run(folder / "struck")
    run_directory.config(run)
    reader.sections(reader.group([run]))
    data_record.read(folder / "struck")

  return _command(work)()


_COMMANDS: dict[str, Callable[[Path], int]] = {
  "load": _load,
  "predict": lambda folder: predict.main(
    [f"--workdir={folder}/struck", f"{folder}/data/test"]
  ),
  "report": lambda folder: reporting.main(
    [f"{folder}/struck", f"--output={folder}/out/report.html"]
  ),
  "export": lambda folder: export.main(
    [f"--workdir={folder}/struck", "--format=card", f"--output={folder}/out"]
  ),
  "evaluate": lambda folder: evaluate.main([f"--workdir={folder}/struck"]),
  "probe": lambda folder: probe.main(
    [
      *(f"--workdir={folder}/struck", f"--dir={folder}/data", "--epochs=1"),
      f"--output={folder}/out",
    ]
  ),
}


def _on_run(
  folder: Path, name: str, content: dict[str, bytes], called: Mapping
) -> Iterator[Case]:
  """Yield the commands on a run with other files; one that fails is enough."""

  def call() -> int:
    shutil.rmtree(folder / "struck", ignore_errors=True)
    (folder / "struck").mkdir()
    (folder / "struck" / "checkpoints").symlink_to(folder / "run/checkpoints")
    for file, version in content.items():
      (folder / "struck" / file).write_bytes(version)
    for command, work in called.items():
      print(command, file=sys.stderr)
      code = work(folder)
      if code:
        return code
    return 0

  yield name, call


def _train(folder: Path) -> Path:
  """Train a run of three classes for two steps, and fit a temperature."""
  rng = np.random.default_rng(0)
  for split, count in (("train", 12), ("test", 4)):
    for label, name in enumerate("abc"):
      place = folder / "data" / split / name
      place.mkdir(parents=True)
      for k in range(count):
        pixels = rng.integers(0, 80, (8, 8, 3), np.uint8) + 80 * label
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{k}.png")
  run = folder / "run"
  train = ["main", "--config=etf_jax:base", f"--workdir={run}"]
  fields = {
    "data.name": "folder",
    "data.dir": folder / "data",
    "data.profile": "none",
    "data.image_size": 8,
    "data.validation_fraction": 0.25,
    "model.name": "mlp",
    "batch_size": 9,
    "devices": 1,
    "total_steps": 6,
    "eval.every_steps": 3,
    "checkpoint.best": False,
    "checkpoint.keep": 1,
    "schedule.warmup_epochs": 0,
    "report.tensorboard": False,
    "report.html": False,
  }
  train += [f"--config.{field}={value}" for field, value in fields.items()]
  fit = [
    "--fit_temperature",
    f"--workdir={run}",
    f"--images={folder}/data/test",
  ]
  for call in (lambda: main.main(train), lambda: evaluate.main(fit)):
    found = strikes.strike(call, 300, 8000)
    if found.code:
      raise RuntimeError(found.text)
  if not (run / "calibration.json").exists():  # the fit did not help
    (step,) = (run / "checkpoints").iterdir()
    numbers = {"temperature": 1.5, "nll_before": 1.0, "nll_after": 0.9}
    more = {"fitted_on": "validation", "images": 9, "ece": {"test": [0.2, 0.1]}}
    record = {step.name: numbers | more}
    (run / "calibration.json").write_text(json.dumps(record))
  return run


_SHOWN = 9  # cases of a kind that ended wrong
KINDS = {
  "images": images,
  "lists": listings,
  "weights": weights,
  "loads": loads,
  "runs": runs,
  "checkpoints": checkpoints,
  "archives": archives,
  "pages": pages,
}


def _strike(kind: str, options: argparse.Namespace, folder: Path) -> list[str]:
  """Strike with all cases of a kind; returns the cells of a row."""
  found = []
  for name, call in KINDS[kind](folder, options.number, options.seed):
    outcome = strikes.strike(call, options.seconds, options.megabytes)
    found.append(outcome)
    if not outcome.well and sum(not other.well for other in found) <= _SHOWN:
      place = folder / f"wrong-{len(found)}.txt"
      place.write_text(outcome.text)
      last = " | ".join(outcome.text.split("\n")[-4:])
      print(f"{kind}, {name}: code {outcome.code}, {place}: {last}", flush=True)
  return [
    kind,
    f"{len(found):,}",
    f"{sum(outcome.well for outcome in found):,}",
    f"{max(outcome.seconds for outcome in found):.1f} s",
    f"{max(outcome.megabytes for outcome in found):,.0f} MB",
  ]


def run(argv: Sequence[str]) -> int:
  """Run the command; returns its exit code."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--kinds", default=",".join(KINDS))
  parser.add_argument("--number", type=int, default=100, help="of each file")
  parser.add_argument("--seed", type=int, default=0, help="of the mutations")
  parser.add_argument("--seconds", type=float, default=120, help="of a case")
  parser.add_argument("--megabytes", type=int, default=3000, help="of a case")
  parser.add_argument("--folder", type=Path, help="default: a temporary one")
  options = parser.parse_args(argv)
  jax.config.update("jax_platforms", "cpu")
  folder = options.folder or Path(tempfile.mkdtemp(prefix="attacks-"))
  rows = []
  for kind in options.kinds.split(","):
    (folder / kind).mkdir(parents=True)
    rows.append(_strike(kind, options, folder / kind))
    print("| kind | cases | ended well | longest | most memory |")
    print("|---|---|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows), flush=True)
  return int(any(row[1] != row[2] for row in rows))


if __name__ == "__main__":
  sys.exit(run(sys.argv[1:]))
