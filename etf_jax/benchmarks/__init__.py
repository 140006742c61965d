# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Benchmarks of `python -m etf_jax.benchmark`, a module a command.

`timing` times arms and writes tables, `steps` and `run` execute train steps and
whole runs, `chips` and `program` describe programs compiled for TPUs.
"""
