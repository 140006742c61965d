# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The one exception that means "the user can mend this".

Every command catches it, prints its message as one line and exits with code
2; every other exception is a bug and keeps its traceback.
"""


class InputError(ValueError):
  """What is wrong, where, and what to do about it, in one line."""
