// Machine code is followed by its branches: how often loops run, what a wait costs, which lanes share a line. Code is
// written here as RADV prints it, so that no driver is needed.
import { describe, expect, it } from "vitest";
import { CARDS } from "../../../src/tools/hardware/isa/cards.js";
import { readCode, blocksOf, loopsOf } from "../../../src/tools/hardware/isa/instruction.js";
import { asksGroups, bindingsOf, numberedBy, threadsOf } from "../../../src/tools/hardware/contents.js";
import { follow, type Followed, type Launch } from "../../../src/tools/hardware/run/follow.js";
import type { Contents } from "../../../src/tools/hardware/run/memory.js";
import { Prepared } from "../../../src/tools/hardware/run/prepared.js";
import { DRAWN, SURE, UNKNOWN } from "../../../src/tools/hardware/run/wave.js";

const card = CARDS.find((c) => c.id === "navi31")!;
const words = (list: readonly number[], ground = SURE): Contents => ({
  bytes: 4 * list.length,
  ground,
  word: (i) => list[i] ?? 0,
});

const START = "BB0:\n s_movk_i32 s3, 0x8000\n s_load_b128 s[8:11], s[2:3], null\n s_waitcnt lgkmcnt(0)\n";
const END = " s_endpgm\n";

function followed(text: string, buffers: readonly Contents[], launch: Partial<Launch> = {}): Followed {
  const given: Launch = {
    wave: 64,
    threads: [64, 1, 1],
    groups: [4, 1, 1],
    group: [0, 0, 0],
    buffers,
    asksGroups: false,
    numbered: [],
    ...launch,
  };
  return follow(new Prepared(readCode(text), given.wave, card), given, card);
}

/** A loop that counts to the first uniform, with a product and a sum in each turn. */
const COUNTS = `${START} s_buffer_load_b32 s4, s[8:11], null
 s_mov_b32 s5, 0
 s_waitcnt lgkmcnt(0)
BB1:
 v_fmac_f32_e32 v1, v2, v3
 s_add_u32 s5, s5, 1
 s_cmp_lt_u32 s5, s4
 s_cbranch_scc1 BB1
BB2:
${END}`;

describe("following machine code", () => {
  it("runs a loop as often as the uniform says, and counts its arithmetic", () => {
    for (const n of [1, 7, 1000]) {
      const { mix, ground } = followed(COUNTS, [words([n])]);
      expect([mix.multiplyAdds, mix.flops, ground]).toEqual([n, n * 2 * 64, SURE]);
    }
  });

  it("says so where a loop's length hangs on drawn values, and where it is not known", () => {
    expect(followed(COUNTS, [words([5], DRAWN)])).toMatchObject({ ground: DRAWN, mix: { multiplyAdds: 5 } });
    const unknown = COUNTS.replace("s_mov_b32 s5, 0", "s_getreg_b32 s5, hwreg(HW_REG_HW_ID1)");
    const least = followed(unknown, [words([1000])]);
    expect(least.ground).toBe(UNKNOWN);
    expect(least.mix.multiplyAdds).toBeLessThan(3);
    expect(least.unknown.join()).toContain("s_getreg_b32");
  });

  it("masks lanes by what each has: a loop ends with its last lane", () => {
    const text = `${START} v_mov_b32_e32 v1, 0
 s_mov_b64 s[6:7], exec
BB1:
 v_add_nc_u32_e32 v1, 1, v1
 v_cmpx_lt_u32_e32 v1, v0
 s_cbranch_execz BB2
 v_fma_f32 v2, v2, v2, v2
 s_branch BB1
BB2:
 s_mov_b64 exec, s[6:7]
${END}`;
    // Lane i has i − 1 turns: the last of 64 lanes 62, in which fewer and fewer lanes take part.
    const { mix } = followed(text, [words([0])]);
    expect(mix.multiplyAdds).toBe(62);
    expect(mix.flops).toBe(2 * Array.from({ length: 62 }, (_, turn) => 62 - turn).reduce((a, b) => a + b, 0));
  });

  it("swaps two registers of the lanes that take part", () => {
    const text = COUNTS.replace(
      " s_buffer_load_b32 s4, s[8:11], null",
      ` v_mov_b32_e32 v4, 3
 v_mov_b32_e32 v5, 10
 s_mov_b32 exec_hi, 0
 v_swap_b32 v4, v5
 s_mov_b64 exec, -1
 v_readlane_b32 s4, v4, 31
 v_readlane_b32 s6, v4, 32
 s_mul_i32 s4, s4, s6
 v_readlane_b32 s6, v5, 31
 s_add_u32 s4, s4, s6`,
    );
    const { mix, ground } = followed(text, [words([0])]);
    expect([mix.multiplyAdds, ground]).toEqual([33, SURE]);
  });

  it("counts lines that lanes share, and banks that they do not", () => {
    const access = (address: string, load: string): string =>
      `${START} s_load_b128 s[12:15], s[2:3], 0x10\n ${address}\n s_waitcnt lgkmcnt(0)\n ${load}\n s_waitcnt vmcnt(0)\n${END}`;
    const buffers = [words([0]), { bytes: 1 << 20, ground: SURE, word: () => 0 }];
    const load = "buffer_load_b32 v2, v1, s[12:15], 0 offen";
    const beside = followed(access("v_lshlrev_b32_e32 v1, 2, v0", load), buffers);
    expect([beside.mix.lines, beside.mix.leastLines]).toEqual([2, 2]);
    const apart = followed(access("v_lshlrev_b32_e32 v1, 9, v0", load), buffers);
    expect([apart.mix.lines, apart.mix.leastLines]).toEqual([64, 2]);
    const local = (shift: number): Followed =>
      followed(access(`v_lshlrev_b32_e32 v1, ${shift}, v0`, "ds_load_b32 v2, v1"), buffers);
    expect([local(2).mix.localPasses, local(7).mix.localPasses]).toEqual([2, 64]);
  });

  it("waits for what was loaded, not for what may still be on its way", () => {
    const two = (left: number): string => `${START} s_load_b128 s[12:15], s[2:3], 0x10
 v_lshlrev_b32_e32 v1, 2, v0
 s_waitcnt lgkmcnt(0)
 buffer_load_b32 v2, v1, s[12:15], 0 offen
 s_waitcnt vmcnt(${left})
 buffer_load_b32 v3, v1, s[12:15], 0 offen
 s_waitcnt vmcnt(0)
${END}`;
    const buffers = [words([0]), { bytes: 1024, ground: SURE, word: () => 0 }];
    const [together, apart] = [followed(two(1), buffers).alone, followed(two(0), buffers).alone];
    expect(apart - together).toBeGreaterThan(card.latency.memory - 20);
    expect(together).toBeLessThan(2 * card.latency.memory);
  });

  it("passes workgroup memory from one subgroup to another at a barrier", () => {
    const text = `${START} v_mov_b32_e32 v1, 0
 v_cmp_eq_u32_e32 vcc, 0, v0
 s_and_saveexec_b64 s[6:7], vcc
 v_mov_b32_e32 v2, 9
 ds_store_b32 v1, v2
 s_mov_b64 exec, s[6:7]
 s_waitcnt lgkmcnt(0)
 s_barrier
 ds_load_b32 v3, v1
 s_waitcnt lgkmcnt(0)
 v_readfirstlane_b32 s4, v3
 s_mov_b32 s5, 0
BB1:
 v_fmac_f32_e32 v5, v6, v7
 s_add_u32 s5, s5, 1
 s_cmp_lt_u32 s5, s4
 s_cbranch_scc1 BB1
BB2:
${END}`;
    const { mix, waves, ground } = followed(text, [words([0])], { threads: [128, 1, 1] });
    expect([waves, mix.multiplyAdds, mix.barriers, ground]).toEqual([2, 18, 2, SURE]);
  });

  it("finds blocks and loops, and names of RDNA 2 as those of RDNA 3", () => {
    const code = readCode(COUNTS);
    expect(loopsOf(code)).toEqual([{ first: 6, last: 9, depth: 0 }]);
    expect(blocksOf(code).map((b) => b.next)).toEqual([[1], [1, 2], []]);
    const ops = readCode(
      " s_load_dwordx4 s[0:3], s[2:3], null\n ds_read2_b32 v[0:1], v2 offset1:1\n v_mov_b32_e32 v0, 0",
    ).list;
    expect(ops.map((i) => i.op)).toEqual(["s_load_b128", "ds_load_2addr_b32", "v_mov_b32"]);
  });
});

describe("the text of a kernel", () => {
  const wgsl = `const LANES = 32u;
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<u32>>;
@compute @workgroup_size(2 * LANES, 2) fn main(@builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u) { let n = group.x + group.y * groups.x; }`;
  it("tells invocations, bindings and what it asks of its place", () => {
    expect(threadsOf(wgsl)).toEqual([64, 2, 1]);
    expect(bindingsOf(wgsl)).toMatchObject([
      { binding: 0, uniform: true, writes: false, type: "Sizes" },
      { binding: 3, uniform: false, writes: true, type: "vec4<u32>" },
    ]);
    expect([asksGroups(wgsl), numberedBy(wgsl)]).toEqual([true, [0, 1]]);
  });
});
