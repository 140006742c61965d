# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What a run leaves behind, and what people look at afterwards.

``writers`` receives rows of metrics while a run trains; ``tables``, ``plots``
and ``report`` read finished (or unfinished) run directories. README.md in
this folder describes the files of a run directory.
"""
