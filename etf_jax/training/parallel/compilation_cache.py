# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compiled programs are kept on disk, so that the next run finds them.

JAX's own cache: a program is found by what it computes, the versions, the flags
and the kind of device. Several processes may share a folder; of one run only
process 0 writes. A file that is cut short is compiled anew, with a warning.
"""

import logging
import os

import jax

from etf_jax.errors import InputError
from etf_jax.runs import files

_log = logging.getLogger(__name__)

# Programs that compile faster are not worth a file.
_SECONDS = 0.2


def use_cache(enabled: bool) -> None:
  """Turn the cache on, or off, before the first program is compiled.

  What the environment says of JAX's cache is left as it is.

  Args:
    enabled: `config.compilation_cache`.
  """
  if not enabled:
    jax.config.update("jax_enable_compilation_cache", False)
    return
  if jax.config.values["jax_compilation_cache_dir"] is not None:
    return
  place = None
  try:
    place = files.cache_folder("xla")
    place.mkdir(parents=True, exist_ok=True)
    writable = os.access(place, os.W_OK)
  except (OSError, InputError):
    writable = False
  if not writable:
    _log.warning(
      "warning: programs are compiled anew by each run, as"
      f" {place or 'a home directory'} cannot be written: set"
      " JAX_COMPILATION_CACHE_DIR to a folder that can"
    )
    return
  jax.config.update("jax_compilation_cache_dir", str(place))
  if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SECONDS)
