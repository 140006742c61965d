# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The numbers of the theory figures: solved models beside closed forms.

In use::

    diagram = laboratory.phase_diagram([0.001, 0.002], [500, 1000])
    print(diagram.wrong_side, diagram.error)

Each function returns plain arrays with all parameters, and the error of theory
against solution.
"""

from etf_jax.theory.laboratory.clusters import (
  ClassifierCosines as ClassifierCosines,
)
from etf_jax.theory.laboratory.clusters import LargeSample as LargeSample
from etf_jax.theory.laboratory.clusters import PhaseDiagram as PhaseDiagram
from etf_jax.theory.laboratory.clusters import (
  classifier_cosines as classifier_cosines,
)
from etf_jax.theory.laboratory.clusters import large_sample as large_sample
from etf_jax.theory.laboratory.clusters import phase_diagram as phase_diagram
from etf_jax.theory.laboratory.counts import CountsSweep as CountsSweep
from etf_jax.theory.laboratory.counts import default_grid as default_grid
from etf_jax.theory.laboratory.counts import read_counts as read_counts
from etf_jax.theory.laboratory.counts import read_positive as read_positive
from etf_jax.theory.laboratory.counts import sweep_counts as sweep_counts
from etf_jax.theory.laboratory.frame import Cones as Cones
from etf_jax.theory.laboratory.frame import PullPushFields as PullPushFields
from etf_jax.theory.laboratory.frame import (
  RegularityNumbers as RegularityNumbers,
)
from etf_jax.theory.laboratory.frame import Tetrahedron as Tetrahedron
from etf_jax.theory.laboratory.frame import cones as cones
from etf_jax.theory.laboratory.frame import pull_push_fields as pull_push_fields
from etf_jax.theory.laboratory.frame import (
  regularity_numbers as regularity_numbers,
)
from etf_jax.theory.laboratory.frame import tetrahedron as tetrahedron
