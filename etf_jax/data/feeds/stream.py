# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The stream feed: images are decoded while the devices train.

  plan = stream.Epochs(sampler, seed, batch_size, total_steps)
  batches = stream.Batches(dataset.train, plan)
  with stream.Stream(batches, start=step, workers=8) as local_batches:
    local = next(local_batches)

The batch of a step follows from (seed, step), whatever the number of hosts,
workers and restarts: each host decodes its rows of the very batch that the
resident feed would make.
"""

from collections.abc import Iterator
import concurrent.futures
import dataclasses
import logging
import time
from typing import NamedTuple, Protocol

from absl import flags
import numpy as np

from etf_jax.data import decode, sampling
from etf_jax.data.dataset import Encoded
from etf_jax.data.feeds import children

_log = logging.getLogger(__name__)

_NAMED_AT_MOST = 20
# Batches that wait for the device, in all and for each worker.
_AHEAD = 2
_AHEAD_PER_WORKER = 1


class BatchPlan(Protocol):
  """The images that the batch of a step holds; it can be pickled."""

  @property
  def steps(self) -> int:
    """Return the number of batches."""

  def indices(self, step: int) -> np.ndarray:
    """Return the indices of a step's images."""


class Epochs:
  """A training run: epochs of a sampler, the last batch of each is smaller."""

  def __init__(
    self, sampler: sampling.Sampler, seed: int, batch_size: int, steps: int
  ):
    self._sampler, self._seed, self._batch_size = sampler, seed, batch_size
    self._per_epoch = -(-sampler.size // batch_size)
    self._known: dict[int, np.ndarray] = {}
    self.steps = steps

  def indices(self, step: int) -> np.ndarray:
    """See `BatchPlan`."""
    epoch, position = divmod(step, self._per_epoch)
    order = self._known.get(epoch)
    if order is None:
      order = self._sampler.order(self._seed, epoch)
      # Threads may be in two epochs at once, and never in three.
      self._known = {epoch: order} | dict(list(self._known.items())[:1])
    start = position * self._batch_size
    return order[start : start + self._batch_size]

  def __getstate__(self):
    return self.__dict__ | {"_known": {}}


@dataclasses.dataclass(frozen=True)
class Once:
  """Every image once, in order, for evaluation."""

  size: int
  batch_size: int

  @property
  def steps(self) -> int:
    """Batches."""
    return -(-self.size // self.batch_size)

  def indices(self, step: int) -> np.ndarray:
    """See `BatchPlan`."""
    start = step * self.batch_size
    return np.arange(start, min(start + self.batch_size, self.size))


class LocalBatch(NamedTuple):
  """This host's rows of a batch, and what making them took.

  Attributes:
    images: uint8 `[L, H, W, C]`.
    labels: int32 `[L]`.
    where: booleans `[L]`, False for padding and for corrupt images.
    sizes: int32 `[L, 2]`, or None, see `resident.Batch`.
    size: rows of the whole batch, padding included.
    padded: whether any host's rows have padding.
    corrupt: indices of images that could not be decoded.
    messages: why, in words.
    seconds: spent in decoding, summed over threads.
  """

  images: np.ndarray
  labels: np.ndarray
  where: np.ndarray
  sizes: np.ndarray | None
  size: int
  padded: bool
  corrupt: list[int]
  messages: list[str]
  seconds: float


class Batches:
  """Random access to the batches of a plan: step -> `LocalBatch`.

  Attributes:
    split: Images.
    threads: Threads that decode a batch together.
  """

  def __init__(
    self,
    split: Encoded,
    plan: BatchPlan,
    *,
    multiple_of: int = 1,
    host: int = 0,
    hosts: int = 1,
    threads: int = 1,
  ):
    """Initialize the batches; nothing is read.

    Args:
      split: the images.
      plan: which of them are in a batch.
      multiple_of: batches are padded to a multiple of it, the number of
        devices; it is a multiple of `hosts`.
      host: this host's number: it makes the `host`-th of `hosts` equal parts.
      hosts: how many there are.
      threads: that decode a batch together.
    """
    self.split, self._plan, self.threads = split, plan, threads
    self._multiple_of, self._host, self._hosts = multiple_of, host, hosts
    self._pool: concurrent.futures.ThreadPoolExecutor | None = None

  def __len__(self) -> int:
    return self._plan.steps

  def __getitem__(self, step: int) -> LocalBatch:
    indices = self._plan.indices(int(step))
    size = -(-len(indices) // self._multiple_of) * self._multiple_of
    rows = size // self._hosts
    mine = indices[self._host * rows : (self._host + 1) * rows]
    pixels, source = self.split.pixels, self.split.source
    images: np.ndarray = np.zeros((rows, *pixels.shape), pixels.dtype)
    sizes = np.zeros((rows, 2), np.int32)
    labels = np.zeros(rows, np.int32)
    where = np.zeros(rows, bool)
    labels[: len(mine)] = self.split.labels[mine]
    where[: len(mine)] = True
    messages = {}

    def fill(places):
      started = time.perf_counter()
      for place in places:
        index = int(mine[place])
        try:
          images[place], sizes[place] = pixels.decode(source.read(index))
        except decode.CorruptImage as error:
          messages[index] = source.describe(index), str(error)
          where[place] = False
      return time.perf_counter() - started

    if self.threads == 1:
      seconds = fill(range(len(mine)))
    else:
      if self._pool is None:
        self._pool = concurrent.futures.ThreadPoolExecutor(self.threads)
      shares = np.array_split(np.arange(len(mine)), 4 * self.threads)
      seconds = sum(self._pool.map(fill, shares))
    if messages and pixels.corrupt == "error":
      raise decode.corrupt_images(
        [messages[index] for index in sorted(messages)]
      )
    return LocalBatch(
      images,
      labels,
      where,
      sizes if pixels.has_sizes else None,
      size,
      size > len(indices),
      list(messages),
      [f"{name}: {why}" for name, why in messages.values()],
      seconds,
    )

  def __getstate__(self):
    return self.__dict__ | {"_pool": None}

  def __setstate__(self, state):
    self.__dict__.update(state)
    children.end_with_parent()  # this is a worker, which was sent the batches


class Stream:
  """Iterates over batches from a step on, some of them ahead of time.

  Attributes:
    images: made so far.
  """

  def __init__(self, batches: Batches, start: int = 0, workers: int = 0):
    """Start reading ahead.

    Args:
      batches: what to iterate over.
      start: the first step.
      workers: processes that decode; 0: the threads of `batches`. Processes
        are started by importing the main module, which must be importable.
    """
    import grain  # here, for a fast start of runs whose images are resident

    self.images = 0
    self._corrupt = batches.split.corrupt
    self._parallel = workers or batches.threads
    self._seconds = 0.0
    dataset = grain.MapDataset.source(batches)[start:].to_iter_dataset(
      grain.ReadOptions(
        num_threads=1 if workers else _AHEAD,
        prefetch_buffer_size=1 if workers else _AHEAD,
      )
    )
    if workers:
      if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # grain asks it for options of its own
      dataset = dataset.mp_prefetch(
        grain.MultiprocessingOptions(
          num_workers=workers, per_worker_buffer_size=_AHEAD_PER_WORKER
        )
      )
    self._iterator = iter(dataset)
    # Workers may fall silent: a thread waits for them, not this one.
    self._waiter = children.Waiter(self._iterator) if workers else None

  def __iter__(self) -> Iterator[LocalBatch]:
    return self

  def __next__(self) -> LocalBatch:
    local = next(self._waiter or self._iterator)
    self._seconds += local.seconds
    self.images += len(local.labels)
    for index, message in zip(local.corrupt, local.messages, strict=True):
      if index not in self._corrupt:
        self._corrupt.add(index)
        if len(self._corrupt) <= _NAMED_AT_MOST:
          _log.warning(f"skipped {message}")
        if len(self._corrupt) == _NAMED_AT_MOST:
          _log.warning("further ones are only counted")
    return local

  @property
  def images_per_second(self) -> float:
    """Return the rate of decoding alone: images by busy time of a worker."""
    if not self._seconds:
      return float("nan")
    return self.images * self._parallel / self._seconds

  def close(self) -> None:
    """Stop reading ahead."""
    if self._waiter is not None:
      self._waiter.close()
      if self._waiter.silent:
        return  # They are dead, and to part from them in order would not end.
    close = getattr(self._iterator, "close", None)
    if close is not None:
      close()

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()
