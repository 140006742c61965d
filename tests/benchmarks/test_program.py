# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Collectives, bytes, launches, waits and limits of programs by hand."""

import pytest

from etf_jax.benchmarks import chips, launches, program

HLO = """\
HloModule jit_step, is_scheduled=true

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %add = f32[] add(%a, %b)
}

%again (p: (s32[], f32[8])) -> pred[] {
  %last = s32[]{:T(128)} constant(3)
  ROOT %less = pred[] compare(%i, %last), direction=LT
}

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %r = (f32[16]{0}, bf16[4,2]{1,0}) all-reduce(%x, %y), channel_id=1, \
replica_groups={{0,1,2,3}}, to_apply=%sum
}

%yes (p: f32[8]) -> f32[8] {
  ROOT %s = f32[2]{0} reduce-scatter(%p), replica_groups=[2,4]<=[8], \
dimensions={0}, to_apply=%sum
}

%no (p: f32[8]) -> f32[8] {
  ROOT %p = f32[8]{0} parameter(0)
}

%never (p: f32[8]) -> f32[8] {
  ROOT %r = f32[8]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%sum
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %w = (s32[], f32[8]{0}) while(%t), condition=%again, body=%body
  %c = f32[8]{0} conditional(%b, %x, %x), branch_computations={%yes, %no}
  %g = ((f32[8]{0}), (f32[16]{0})) all-gather-start(%x), \
replica_groups=mesh['a'=2,'b'=4] {'a'}, dimensions={0}
  %h = f32[16]{0} all-gather-done(%g)
  %q = (u8[6]{0}, u8[6]{0}, u32[], u32[]) collective-permute-start(%z), \
source_target_pairs={{0,1},{1,0}}
  %alone = f32[8]{0} all-reduce(%x), replica_groups={{0},{1}}, to_apply=%sum
  ROOT %all = f32[10]{0} all-reduce(%k), replica_groups={}, to_apply=%sum
}
"""


def test_collectives_of_a_program_by_hand():
  assert program.collectives(HLO, 8) == [
    program.Collective("all-reduce", 16 * 4 + 8 * 2, 4, 3),
    program.Collective("reduce-scatter", 2 * 4 * 4, 4, 1),
    program.Collective("all-gather", 16 * 4, 2, 1, waits=False),
    program.Collective("collective-permute", 6, 8, 1, waits=False),
    program.Collective("all-reduce", 10 * 4, 8, 1),
  ]


def test_their_sums_and_what_a_chip_sends_by_hand():
  sums = program.by_kind(program.collectives(HLO, 8))
  assert list(sums) == [
    "all-reduce",
    "reduce-scatter",
    "all-gather",
    "collective-permute",
  ]
  assert sums["all-reduce"] == {
    "count": 4,
    "bytes": 3 * 80 + 40,
    # Twice all but its own share: 3/4 of 80, three times, and 7/8 of 40.
    "sent_bytes": 3 * 2 * 60 + 2 * 35,
  }
  assert sums["reduce-scatter"]["sent_bytes"] == 24
  assert sums["all-gather"]["sent_bytes"] == 32
  assert sums["collective-permute"]["sent_bytes"] == 6


TRAFFIC = """\
%again (p: (s32[], f32[4])) -> pred[] {
  %last = s32[] constant(5)
  ROOT %less = pred[] compare(%i, %last), direction=LT
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %m = f32[4]{0} get-tuple-element(%p), index=1
  ROOT %n = f32[4]{0} negate(%m)
}

%rows (p0: u8[1000,8], p1: s32[2]) -> u8[2,8] {
  %p0 = u8[1000,8]{1,0} parameter(0)
  %p1 = s32[2]{0} parameter(1)
  ROOT %g = u8[2,8]{1,0:S(1)} gather(%p0, %p1), slice_sizes={1,8}
}

%update (p0: f32[100], p1: f32[3]) -> f32[100] {
  %p0 = f32[100]{0} parameter(0)
  %p1 = f32[3]{0} parameter(1)
  ROOT %u = f32[100]{0} dynamic-update-slice(%p0, %p1, %zero)
}

ENTRY %main (x: f32[10]) -> f32[10] {
  %x = f32[10]{0:T(128)} parameter(0)
  %images = u8[1000,8]{1,0} parameter(1)
  %at = s32[2]{0} parameter(2)
  %long = f32[100]{0} parameter(3)
  %early = (f32[10]{0:S(1)}, f32[10]{0}, u32[]{:S(2)}) copy-start(%x), \
cross_program_prefetch_index=0
  %c = (f32[10]{0:T(128)S(1)}, f32[10]{0:T(128)}, u32[]{:S(2)}) copy-start(%x)
  %d = f32[10]{0:T(128)S(1)} copy-done(%c)
  %e = f32[10]{0:T(128)S(1)} add(%d, %d)
  %f = f32[10]{0:T(128)} multiply(%e, %x)
  %r = u8[2,8]{1,0:S(1)} fusion(%images, %at), kind=kLoop, calls=%rows
  %s = f32[3]{0} slice(%x), slice={[0:3]}
  %t = f32[100]{0} fusion(%long, %s), kind=kLoop, calls=%update
  %w = (s32[], f32[4]{0}) while(%y), condition=%again, body=%body
  ROOT %z = f32[10]{0} copy(%f)
}
"""


def test_bytes_of_hbm_by_hand():
  by_instruction = {
    "copy-start": 40,  # read into the chip
    "add": 0,  # all on the chip
    "multiply": 80,
    "gather": 16 + 8,  # two rows of a thousand, and where they are
    "slice": 40 + 12,
    "update": 12 + 12,  # what is new, read and written
    "negate": 5 * 2 * 16,
    "copy": 80,
  }
  # The comparison of the loop reads and writes a few bytes each time.
  compared = 5 * (4 + 1)
  assert program.hbm_bytes(TRAFFIC) == sum(by_instruction.values()) + compared


def test_limits_by_hand():
  slice_ = chips.topology("v5e:2x4")
  found = [program.Collective("all-reduce", 800, 8, 2)]
  limits = program.limits(197e12, 819e9 / 2, found, slice_)
  # A corner of 2x4 has two links of 50 GB/s.
  expected = {"compute": 1.0, "hbm": 0.5, "links": 2 * 1400 / 100e9}
  assert limits == pytest.approx(expected)
  # Half of a second in HBM is hidden behind the arithmetic.
  waited = 2 * 1400 / 100e9
  assert program.efficiency(limits, found, slice_) == 1 / (1 + waited)
  free = [one._replace(waits=False) for one in found]
  assert program.efficiency(limits, free, slice_) == 1
  late = limits | {"compute": 0.0, "hbm": waited / 2}
  assert program.efficiency(late, free, slice_) == pytest.approx(0.5)
  alone = program.limits(1.0, 1.0, [], chips.topology("v6e:1x1"))
  assert alone["links"] == 0


KERNELS = """\
%again (p: (s32[], f32[4])) -> pred[] {
  ROOT %less = pred[] compare(%i, %number), direction=LT
}

%body (p: (s32[], f32[4])) -> (s32[], f32[4]) {
  %m = f32[4]{0} get-tuple-element(%p), index=1
  %n = f32[4]{0} fusion(%m), kind=kLoop, calls=%f
  %o = f32[4]{0} copy(%n)
}

%graph (p: f32[4]) -> f32[4] {
  %a = f32[4]{0} fusion(%p), kind=kLoop, calls=%f
  ROOT %b = f32[4]{0} fusion(%a), kind=kLoop, calls=%f
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %c = (f32[4]{0}, u8[0]{0}) custom-call(%x), \
custom_call_target="__cudnn$convForward"
  %d = f32[4]{0} custom-call(%x), custom_call_target="__cublas$gemm"
  %e = (f32[4]{0}, f32[4]{0}) sort(%x, %x), dimensions={0}
  %g = f32[4]{0} call(%x), to_apply=%graph
  %h = f32[4]{0} all-reduce-start(%g), replica_groups={{0,1}}, to_apply=%sum
  %i = f32[4]{0} all-reduce-done(%h)
  %w = (s32[], f32[4]{0}) while(%y), condition=%again, body=%body
  %v = (s32[], f32[4]{0}) while(%y), condition=%again, body=%body, \
backend_config={"known_trip_count":{"n":"10"}}
  ROOT %j = f32[4]{0} conditional(%b, %x, %x), branch_computations={%f, %f}
}
"""


def test_launches_and_waits_by_hand():
  assert launches.launches(KERNELS) == {
    "entry": {
      "convolution": 1,
      "library call": 1,
      "sort": 1,
      "fusion": 2,
      "collective": 1,
    },
    "loop": {"fusion": 1, "copy": 1},
  }
  # The conditional, and the first loop.
  assert launches.waits(KERNELS) == 2
  # A loop that compares with a constant has a known length.
  assert launches.waits(TRAFFIC) == 0


def test_limits_of_a_gpu_by_hand():
  host = chips.topology("h200:8")
  found = [program.Collective("all-reduce", 800, 8, 2)]
  limits = program.limits(989e12, 4800e9, found, host, launched=400)
  expected = {"compute": 1.0, "hbm": 1.0, "links": 2 * 1400 / 450e9}
  assert limits == pytest.approx(expected | {"launches": 8e-4})
  assert host.chips == 8
  assert host.description["topology"] == "1x1x8"
  assert (
    'device_description_str: "NVIDIA H200"'
    in (host.description["target_config"])
  )
