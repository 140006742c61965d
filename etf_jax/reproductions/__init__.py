# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The papers' tables and figures: what they say, and the runs behind them.

Facts are in `yang2022`, `hingece` and `literature`, in the shapes of `facts`;
`targets` holds them all. `planning` makes runs of them, `running` runs these,
`results` compares what came out, `pages` and `figures` write it down. The
command is `python -m etf_jax.reproduce`.
"""
