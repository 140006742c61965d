# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The papers' tables and figures, and the runs behind them.

Published numbers are in `yang2022`, `hingece` and `leaderboard`, in the shapes
of `targets`. `planning` lists the runs, `running` trains them, `results`
compares, `comparison` and `figures` write. `python -m etf_jax.reproduce` is
the command.
"""
