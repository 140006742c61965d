# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Compiled programs are kept, and found again."""

import jax
from jax.experimental.compilation_cache import compilation_cache
import jax.numpy as jnp
import numpy as np
import pytest

from etf_jax.runs import files
from etf_jax.training.parallel import compilation_cache as compilation

FIELDS = (
  "jax_compilation_cache_dir",
  "jax_enable_compilation_cache",
  "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
  """A process that has compiled nothing yet; the user's cache folder."""
  before = {name: getattr(jax.config, name) for name in FIELDS}
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  jax.config.update("jax_compilation_cache_dir", None)
  compilation_cache.reset_cache()
  yield tmp_path / "cache"
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


def compile_one():
  """Compile a program, or finds it: the events of the cache."""
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
  events = []

  def listen(event, **_):
    if event.startswith("/jax/compilation_cache/cache_"):
      events.append(event.rpartition("_")[2])

  jax.monitoring.register_event_listener(listen)
  try:
    found = jax.jit(lambda x: jnp.sin(x) * 3)(jnp.arange(4.0))
  finally:
    jax.monitoring.unregister_event_listener(listen)
  np.testing.assert_allclose(found, 3 * np.sin(np.arange(4)), rtol=1e-6)
  return events


def test_programs_are_kept_below_the_users_cache(fresh):
  compilation.use_cache(True)
  assert files.cache_folder("xla") == fresh / "etf_jax" / "xla"
  assert "hits" not in compile_one()
  programs = list(files.cache_folder("xla").glob("jit__lambda*-cache"))
  assert len(programs) == 1
  assert "hits" in compile_one()
  # What a killed process has cut short is compiled anew.
  programs[0].write_bytes(programs[0].read_bytes()[:50])
  with pytest.warns(UserWarning, match="Error reading persistent compilation"):
    compile_one()


def test_the_environment_decides(fresh, tmp_path):
  jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
  compilation.use_cache(True)
  compile_one()
  assert list((tmp_path / "mine").glob("*-cache"))
  assert not fresh.exists()


def test_it_can_be_off(fresh):
  compilation.use_cache(False)
  assert compile_one() == []
  assert not fresh.exists()


def test_a_folder_that_cannot_be_made_is_one_line(fresh, capsys):
  fresh.touch()
  compilation.use_cache(True)
  line = capsys.readouterr().err
  assert line == (
    "warning: programs are compiled anew by each run, as"
    f" {fresh / 'etf_jax' / 'xla'} cannot be written: set"
    " JAX_COMPILATION_CACHE_DIR to a folder that can\n"
  )
  assert jax.config.jax_compilation_cache_dir is None
