# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Reports of runs: tables for a terminal, and pages with figures.

`results` and `report` read run directories, finished or not; `page` makes any
HTML page, `tables` any table for a terminal, and `figures` draws. README.md
describes the files of a run directory.
"""
