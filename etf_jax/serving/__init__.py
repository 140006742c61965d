# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Trained models: loaded, evaluated, called on photographs, and exported."""
