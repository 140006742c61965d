# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Classifiers for other data on the frozen features of a trained model.

`features` takes them from a run's model, `linear` and `regression` learn
classifiers, `downstream` opens the data sets, `results` makes tables over
seeds, `figures` draws. `python -m etf_jax.probe` is the command.
"""
