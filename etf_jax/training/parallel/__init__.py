# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Devices and processes: meshes, packed seeds, the other processes of a run."""
