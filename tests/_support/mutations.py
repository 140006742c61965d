# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile versions of files: JSON, and anything as bytes."""

from collections.abc import Iterator
import copy
import json
import random
from typing import Any

# Values that take the place of any other.
VALUES: tuple[Any, ...] = (
  *(
    None,
    True,
    -1,
    0,
    7,
    10**6,
    2**40,
    1e300,
    -0.5,
    float("nan"),
    float("inf"),
    10**30,
  ),
  *("", "x", "../../etc/passwd", "\ud800", "<b>|`\n", "x" * 100_000),
  *([], {}, [[]], [None] * 3, {"a": {"b": 1}}, ["x", 1, {}]),
)
_DEEP = 200_000
# Contents that take the place of a whole file.
RAW: dict[str, bytes] = {
  "empty": b"",
  "zeros": bytes(1000),
  "binary": random.Random(0).randbytes(1000),
  "deep lists": b"[" * _DEEP + b"]" * _DEEP,
  "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
  "rather deep": b"[" * 900 + b"]" * 900,
  "many digits": b"9" * 100_000,
  "NaN": b"NaN",
  "null": b"null",
  "list": b"[]",
  "object": b"{}",
  "text": b'"text"',
  "UTF-16": '{"a": 1}'.encode("utf-16"),
  "no UTF-8": b'{"a": "\xff\xfe"}',
}


def of_json(content: bytes, number: int, seed: int) -> Iterator[bytes]:
  """Yield versions of a JSON text: raw ones, cut ones, and with other values.

  Args:
    content: JSON, or one of its lines.
    number: of the versions with other values, drawn at random.
    seed: of the draws.
  """
  draw = random.Random(seed)
  yield from RAW.values()
  for _ in range(3):
    yield content[: draw.randrange(len(content))]
  value = json.loads(content)
  paths = list(_paths(value))
  for place in range(number):
    changed = copy.deepcopy(value)
    *above, last = draw.choice(paths)
    node = changed
    for key in above:
      node = node[key]
    if place % 4 == 0:
      del node[last]
    else:
      node[last] = draw.choice(VALUES)
    yield json.dumps(changed).encode()


def of_bytes(content: bytes, number: int, seed: int) -> Iterator[bytes]:
  """Yield versions of a file: bits flipped, parts cut, put twice, or zero."""
  draw = random.Random(seed)
  for _ in range(number):
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8, 32))):
      place = draw.randrange(max(len(changed), 1))
      # Headers hold what steers a decoder.
      if draw.random() < 0.5:
        place = draw.randrange(min(place, 127) + 1)
      size = draw.choice((1, 2, 4, 64))
      change = draw.randrange(6)
      if change == 0 and changed:
        changed[place] ^= 1 << draw.randrange(8)
      elif change == 1:
        changed[place : place + size] = draw.randbytes(size)
      elif change == 2:
        changed[place : place + size] = b"\xff" * size
      elif change == 3:
        del changed[place : place + size]
      elif change == 4:
        changed[place:place] = changed[place : place + size]
      else:
        changed = changed[: max(place, 1)]
    yield bytes(changed)


def _paths(value: Any, above: tuple = ()) -> Iterator[tuple]:
  items: Any = ()
  if isinstance(value, dict):
    items = value.items()
  elif isinstance(value, list):
    items = enumerate(value[:3])
  for key, below in items:
    yield (*above, key)
    yield from _paths(below, (*above, key))
