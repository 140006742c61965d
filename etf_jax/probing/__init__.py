# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""What the features of a trained model are good for elsewhere.

``frozen`` takes them from a run's model, ``linear`` and ``regression`` learn
classifiers on them, ``downstream`` opens the data sets, ``summary`` makes
tables over seeds, ``views``, ``figures`` and ``pictures`` show them.
``etf_jax.probe`` is the command.
"""
