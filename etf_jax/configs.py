# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The experiment files, importable wherever the package is.

A checkout has them in `configs/`, beside the package; a wheel carries them
inside it (setup.cfg). Either way an experiment begins with::

  from etf_jax.configs import base

and `--config=etf_jax:NAME` finds `NAME.py` here.
"""

import pathlib

_HERE = pathlib.Path(__file__).parent
_PLACES = (_HERE / "_configs", _HERE.parent / "configs")

FOLDER = next((place for place in _PLACES if place.is_dir()), _PLACES[0])
__path__ = [str(FOLDER)]
