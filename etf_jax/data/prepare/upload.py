# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Prepared data go into a bucket: from one machine, while the others wait.

    with signs("gs://bucket/tfds/cifar10/3.0.2"):
      ...  # prepare it in a folder, which may take hours
      upload("gs://bucket/tfds/cifar10/3.0.2", folder)

and on the other machines `wait_until_prepared`. A bucket has no locks, so the
one that prepares writes a small hidden file again and again, for the others to
see that it lives.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import os
import pathlib
import socket
import threading
import time

from etf_jax.data.prepare import bucket as _bucket
from etf_jax.data.prepare import remote
from etf_jax.errors import InputError

_SIGN = ".being_prepared"
_SIGN_SECONDS = 60.0
_POLL_SECONDS = 10.0
_LAST_BEAT_SECONDS = 30.0


@contextlib.contextmanager
def repeated(action: Callable[[], object], seconds: float) -> Iterator[None]:
  """Do something every few seconds, and lets it fail.

  Args:
    action: What is done, in a thread of its own.
    seconds: From one time to the next; the first is when they have passed.
  """
  done = threading.Event()

  def run() -> None:
    while not done.wait(seconds):
      # A full disk, say, is for the work itself to report.
      with contextlib.suppress(OSError, InputError):
        action()

  thread = threading.Thread(target=run, daemon=True)
  thread.start()
  try:
    yield
  finally:
    done.set()
    thread.join(_LAST_BEAT_SECONDS)


@contextlib.contextmanager
def signs(address: str) -> Iterator[None]:
  """Show other machines that a data set is being prepared.

  Args:
    address: Of the folder that it will be in.

  Raises:
    InputError: The bucket cannot be written to; better known now than when all
      is prepared.
  """
  bucket, _ = _bucket.files(address)
  sign, host = f"{address}/{_SIGN}", socket.gethostname().encode()
  _bucket.write(bucket, sign, host)
  try:
    with repeated(lambda: _bucket.write(bucket, sign, host), _SIGN_SECONDS):
      yield
  finally:
    with contextlib.suppress(InputError):  # Where another has removed it.
      _bucket.remove(bucket, sign)


def upload(address: str, folder: pathlib.Path) -> None:
  """Copy a prepared data set into a bucket, unless it is there.

  What an interrupted copy has left is kept where the sizes agree. The data look
  prepared when all of them are there. The files here get the times of those in
  the bucket, so that `remote.copy` takes them for their copies.

  Args:
    address: Of the data set in the bucket.
    folder: Of the data set on this machine, complete.

  Raises:
    InputError: The bucket cannot be written to, or holds files of other data.
  """
  try:
    with remote.only_process(folder):
      _upload(address, folder)
  except OSError as error:
    raise InputError(
      f"cannot copy {folder} to {address} ({error.strerror or error})"
    ) from error


def _upload(address: str, folder: pathlib.Path) -> None:
  """See `upload`."""
  bucket, there = _bucket.files(address)
  if remote.is_complete(address, there):
    return
  sizes = _sizes(folder)
  if strangers := sorted(set(there) - set(sizes)):
    raise InputError(
      f"{address} holds files that the data set has not, such as "
      f"{strangers[0]}; remove them (gcloud storage rm --recursive "
      f"{address}) and try again"
    )
  wanted = {
    name: size
    for name, size in sizes.items()
    if name not in there or there[name].size != size
  }
  _bucket.say(
    f"copying {folder} to {address}: {_bucket.size(sum(wanted.values()))}"
  )
  last = {remote.LAST: wanted.pop(remote.LAST)}
  _bucket.upload(bucket, address, wanted, folder)
  sizes.pop(remote.LAST)
  _compare(address, folder, sizes)
  _bucket.upload(bucket, address, last, folder)
  _compare(address, folder, last)


def _sizes(folder: pathlib.Path) -> dict[str, int]:
  """The files of a data set; those of a reader or of a copy are hidden."""
  sizes = {}
  for path in folder.rglob("*"):
    name = path.relative_to(folder)
    hidden = any(part.startswith(".") for part in name.parts)
    if path.is_file() and not hidden and path.suffix != ".partial":
      sizes[name.as_posix()] = path.stat().st_size
  return sizes


def _compare(
  address: str, folder: pathlib.Path, sizes: Mapping[str, int]
) -> None:
  """Check what has come into the bucket, and takes over its times."""
  _, there = _bucket.files(address)
  for name, size in sizes.items():
    if name not in there or there[name].size != size:
      raise InputError(
        f"{address}/{name} is not what was copied there; does another program "
        "write to it? Try again"
      )
    if there[name].time is not None:
      # Where the files are another user's, the data are copied once more.
      with contextlib.suppress(PermissionError):
        os.utime(folder / name, (there[name].time,) * 2)


def wait_until_prepared(
  name: str, address: str, command: str, *, patience: float = 300.0
) -> None:
  """Wait for another machine to prepare a data set in a bucket.

  Args:
    name: In the catalog, for messages.
    address: Of the data set in the bucket.
    command: That prepares it.
    patience: Seconds without a sign that another machine is at it: files that
      come, or the hidden one of `signs`.

  Raises:
    InputError: Nobody prepares it, or the bucket cannot be read for so long.
  """
  _bucket.say(f"waiting for another machine that prepares {name} in {address}")
  seen, since = None, time.monotonic()
  while True:
    failure = None
    try:
      _, there = _bucket.files(address, hidden=True)
    except InputError as error:
      # A network may fail for a while in the hours that this can take.
      failure, there = error, seen
    if there and remote.is_complete(address, there):
      return
    if there != seen:
      seen, since = there, time.monotonic()
    if time.monotonic() - since > patience:
      raise failure or InputError(
        f"waited {patience:g} s, and no other machine prepares {name} in "
        f"{address}; prepare it once, before the run: {command}"
      )
    time.sleep(min(_POLL_SECONDS, patience / 10))
