# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Make the official Fashion-MNIST archives from Debian's package.

Debian and Ubuntu ship the real data (`apt install dataset-fashion-mnist`), but
recompress nothing and only strip the time and the name from the gzip headers,
so that the files differ from the published ones in their first bytes. With the
header put back they match the published sha256, and TFDS accepts them:

    python launch/fashion_mnist_from_debian.py /data/manual
    python -m etf_jax.prepare fashion_mnist --manual_dir=/data/manual
"""

import argparse
import hashlib
import pathlib
import sys

_PACKAGE_DIR = pathlib.Path("/usr/share/datasets/fashion-mnist")

# File name without .gz: (modification time in the published header, sha256 of
# the published file).
_PUBLISHED = {
  "train-images-idx3-ubyte": (
    1504176606,
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
  ),
  "train-labels-idx1-ubyte": (
    1504176606,
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
  ),
  "t10k-images-idx3-ubyte": (
    1504176627,
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
  ),
  "t10k-labels-idx1-ubyte": (
    1504176627,
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
  ),
}
_STRIPPED_HEADER_BYTES = 10


def published_bytes(stripped: bytes, name: str, mtime: int) -> bytes:
  """Return the gzip file with the header that its publisher gave it."""
  # RFC 1952: magic, deflate, flag FNAME, mtime, no extra flags, Unix, name.
  header = b"\x1f\x8b\x08\x08" + mtime.to_bytes(4, "little") + b"\x00\x03"
  body = stripped[_STRIPPED_HEADER_BYTES:]
  return header + name.encode("ascii") + b"\x00" + body


def main() -> None:
  """Restore and checks the four files."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("out_dir", type=pathlib.Path, metavar="OUT_DIR")
  out_dir = parser.parse_args().out_dir
  if not _PACKAGE_DIR.is_dir():
    sys.exit(
      f"no {_PACKAGE_DIR}; install it: apt install dataset-fashion-mnist"
    )
  out_dir.mkdir(parents=True, exist_ok=True)
  for name, (mtime, sha256) in _PUBLISHED.items():
    stripped = (_PACKAGE_DIR / f"{name}.gz").read_bytes()
    restored = published_bytes(stripped, name, mtime)
    found = hashlib.sha256(restored).hexdigest()
    if found != sha256:
      sys.exit(f"{name}.gz: sha256 {found} is not the published {sha256}")
    (out_dir / f"{name}.gz").write_bytes(restored)
    print(f"{out_dir / name}.gz")


if __name__ == "__main__":
  main()
