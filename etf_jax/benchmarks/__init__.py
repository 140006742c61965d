# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What `python -m etf_jax.benchmark` measures.

A module a command: `train`, `collapse`, `compiled`, `feed`, `losses`, `peer`.
Of the others `report` and `turns` time arms and write tables, `steps` and `run`
go through steps and whole runs, `limits` has what a device can do, `chips` and
`program` what a program compiled for TPUs needs, and `processes` and `pytorch`
the arms that live in processes of their own.
"""
