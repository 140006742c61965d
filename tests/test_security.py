# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Nothing that is read can run code, or reach out of its folder.

Config files can: they are Python, and the guides say so. Lists that name files
outside of their folder: tests/data/sources/test_splits.py.
"""

import ast
import inspect
import io
import pathlib
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import extractor, resource

from etf_jax.data import catalog
from etf_jax.data.decode import cache_file
from etf_jax.data.sources import prepared

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = [
  path
  for folder in ("etf_jax", "configs", "launch")
  for path in sorted((ROOT / folder).rglob("*.py"))
]

# Modules that run what they load, or through which that happens.
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill"}
MODULES |= {"cloudpickle", "joblib", "jsonpickle", "hickle", "code"}
# PyTorch's, of which `torch.load` itself is seen where it is called.
MODULES |= {"torch.load", "torch.hub", "torch.jit", "torch.package"}
MODULES |= {"torch.serialization"}
# Calls by the last words of their name.
CALLS = {
  *("eval", "exec", "compile", "__import__", "execfile"),
  *("os.system", "os.popen", "subprocess.getoutput"),
  *("subprocess.getstatusoutput", "asyncio.create_subprocess_shell"),
  *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"),
  # What unpacks by names that stand in the archive.
  *("shutil.unpack_archive", "extractall"),
}


def dotted(node):
  """`a.b.c` of an expression; the last word alone of anything else."""
  if isinstance(node, ast.Name):
    return node.id
  if isinstance(node, ast.Attribute):
    return f"{dotted(node.value)}.{node.attr}"
  return ""


def faults(text):
  """List what a source must not do, with the line."""
  for node in ast.walk(ast.parse(text)):
    names = []
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [f"{node.module}.{alias.name}" for alias in node.names]
    for name in names:
      first, second, *_ = f"{name}.".split(".")
      if first in MODULES or f"{first}.{second}" in MODULES:
        yield f"{node.lineno}: imports {name}"
    if isinstance(node, ast.Call):
      yield from (f"{node.lineno}: {fault}" for fault in _call_faults(node))


def _call_faults(call):
  name = dotted(call.func)
  given = {k.arg: k.value for k in call.keywords}
  words = name.split(".")
  # Methods of that name (jax's compile) are others'.
  if name in CALLS or words[-1] in CALLS - {"compile", "eval", "exec"}:
    yield f"calls {name}"
  tensors_only = getattr(given.get("weights_only"), "value", None)
  if name == "torch.load" and tensors_only is not True:
    yield "weights_only is not True"
  allowed = given.get("allow_pickle")
  if allowed is not None and getattr(allowed, "value", True) is not False:
    yield "allow_pickle is not False"
  shell = given.get("shell")
  if shell is not None and getattr(shell, "value", True) is not False:
    yield "shell is not False"
  if words[0] == "subprocess" and any(map(_is_text, call.args[:1])):
    yield "the command is not a list"


def _is_text(node):
  """Return True if an expression is visibly a string."""
  if isinstance(node, ast.BinOp):
    return _is_text(node.left) or _is_text(node.right)
  return isinstance(getattr(node, "value", None), str) or isinstance(
    node, ast.JoinedStr
  )


@pytest.mark.parametrize(
  "path", SOURCES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_source_loads_code(path):
  assert list(faults(path.read_text())) == []


@pytest.mark.parametrize(
  "text",
  [
    "import pickle",
    "from torch import load",
    "import torch.hub",
    "from torch.jit import load as read",
    "torch.load(p)",
    "torch.load(p, weights_only=flag)",
    "import numpy as np\nnp.load(p, allow_pickle=True)",
    "np.load(p, allow_pickle=flag)",
    "eval(text)",
    "exec(text)",
    "yaml.load(file)",
    "subprocess.run(command, shell=True)",
    "subprocess.run('ls ' + path)",
    "subprocess.run(f'ls {path}')",
    "os.system('ls')",
    "tar.extractall(folder)",
    "tarfile.open(p).extractall(folder)",
  ],
)
def test_what_the_sources_are_searched_for(text):
  assert len(list(faults(text))) == 1


def test_what_is_allowed():
  text = "subprocess.run(['ls', path] + more)\nstep.lower(x).compile()\n"
  assert not list(faults(text + "np.load(p, allow_pickle=False)"))
  text = "import torch\nfrom torch.nn import functional\n"
  assert not list(faults(text + "torch.load(p, weights_only=True)"))


# TFDS's own code prepares the data sets.


def builders():
  """The files that the builders of the catalog come from."""
  names = {info.tfds_name for info in catalog.DATASETS.values()} - {None}
  classes = [
    tfds.builder_cls(name) for name in names - set(prepared._OWN_BUILDERS)
  ]
  return sorted({inspect.getsourcefile(builder) for builder in classes})


def test_no_builder_loads_code():
  files = builders()
  assert len(files) >= 10
  for file in files:
    assert list(faults(pathlib.Path(file).read_text())) == [], file


MEMBERS = {
  "good/a.jpg": True,
  "../out.jpg": False,
  "good/../../out.jpg": False,
  "/tmp/out.jpg": False,
  "./good/b.jpg": True,
}


def tar():
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w") as archive:
    for name in MEMBERS:
      member = tarfile.TarInfo(name)
      member.size = 1
      archive.addfile(member, io.BytesIO(b"x"))
    # A link out of the archive, and a file that would be written through it.
    link = tarfile.TarInfo("good/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
    archive.addfile(link)
  return file.getvalue()


def zipped():
  file = io.BytesIO()
  with zipfile.ZipFile(file, "w") as archive:
    for name in MEMBERS:
      archive.writestr(name, "x")
  return file.getvalue()


@pytest.mark.parametrize(
  ("content", "method"),
  [
    (tar(), resource.ExtractMethod.TAR),
    (tar(), resource.ExtractMethod.TAR_STREAM),
    (zipped(), resource.ExtractMethod.ZIP),
  ],
  ids=["tar", "tar stream", "zip"],
)
def test_archives_cannot_write_outside_of_their_folder(content, method):
  # TFDS writes these names below the folder it unpacks to, as plain files.
  found = extractor.iter_archive(io.BytesIO(content), method)
  names = [name for name, _ in found]
  assert names == ["good/a.jpg", "good/b.jpg"]


class Payload:
  """Leave a trace when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return pathlib.Path.touch, (self.path,)


def test_arrays_of_objects_are_not_loaded(tmp_path):
  ran = tmp_path / "ran"
  array = np.empty(1, object)
  array[0] = Payload(ran)
  # That it would run.
  pickle.loads(pickle.dumps(array))
  assert ran.exists()
  ran.unlink()

  np.savez(
    tmp_path / "index.npz", done=array, sizes=array, bad=array, why=array
  )
  with pytest.raises(ValueError, match="allow_pickle=False"):
    cache_file._read(tmp_path)
  np.savez(tmp_path / "labels.npz", labels=array, file_names=array)
  info = catalog.lookup("cifar10")
  assert prepared._read_index(tmp_path / "labels.npz", 1, info) is None
  assert not ran.exists()


def test_the_guides_say_that_config_files_are_programs():
  for page in ("README.md", "configs/README.md"):
    text = " ".join((ROOT / page).read_text().split())
    assert "config file is a Python program" in text, page
