# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Gives damaged and hostile files to everything that reads files.

  python tests/_support/attacks.py --number=1000 --kinds=images,runs

Each case runs in a process of its own, within limits of time and memory, and
has to end in an answer or in one line with exit code 2. Prints a table; exit
code 1: a case did not. What it said is in --folder then.
"""

import argparse
from collections.abc import Callable, Iterator
import io
import os
from pathlib import Path
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

# Everything is imported before the first fork, and no backend is started.
from jax import export as jax_export
import numpy as np
from PIL import Image
import safetensors.numpy

from etf_jax import evaluate, export, main, predict, probe
from etf_jax.data.decode import decode, decoders
from etf_jax.data.sources import features, lists, unsplit
from etf_jax.errors import InputError
from etf_jax.models import pretrained
from etf_jax.reporting import __main__ as reporting
from etf_jax.runs import commands, data_record, reader
from etf_jax.serving import run_directory
import mutations
import strikes

Case = tuple[str, Callable[[], int | None]]
