// The log of other runtimes on a null device, and the loop of machine code that does the arithmetic.
// @module-tag long
import { describe, expect, it } from "vitest";
import { mainPass } from "../../bench/hardware/peers/loop.js";
import { runsIn } from "../../bench/hardware/peers/peers.js";
import { CARDS } from "../../src/tools/hardware/isa/cards.js";
import { countsIn } from "../../src/tools/hardware/counts.js";

describe("the log of a runtime", () => {
  it("gives each operator the dispatches between its mark and the next", () => {
    const log = [
      '{"pipeline":1,"compileMs":2,"subgroup":64,"threads":128,"statistics":{"VGPRs":24}}',
      '{"command":"dispatch","pipeline":1,"groups":[9,9,1]}',
      '{"mark":"product"}',
      '{"command":"submit"}',
      '{"command":"dispatch","pipeline":1,"groups":[4,2,1]}',
      "a driver's own line",
      '{"mark":"end"}',
      '{"command":"dispatch","pipeline":1,"groups":[1,1,1]}',
    ].join("\n");
    const [run, ...more] = runsIn("tfjs", log, (n) => `code ${n}`);
    expect(more).toEqual([]);
    expect(run).toMatchObject({
      mark: "product",
      dispatches: [{ groups: 8, pipeline: { threads: 128, code: "code 1" } }],
    });
  });
});

describe("an operator that did not end in time", () => {
  it("is marked, alone", () => {
    const log = ["product", "late product", "attention", "end"].map((mark) => JSON.stringify({ mark })).join("\n");
    const runs = runsIn("jax", log, () => "");
    expect(runs.map(({ mark, late }) => [mark, late])).toEqual([
      ["product", true],
      ["attention", false],
    ]);
  });
});

describe("Intel's counts", () => {
  it("are all there, or a fault names what the driver does not report", () => {
    const pipeline = { number: 1, subgroup: 16, threads: 64, compileMs: 1, statistics: { "SEND Count": 3 }, code: "" };
    expect(() => countsIn(pipeline)).toThrow("the driver reports no Instruction Count");
  });
});

describe("the main loop", () => {
  const code = [
    "BB0:",
    "\tv_mov_b32_e32 v0, 0",
    "BB1:",
    "\tv_fma_f32 v3, v1, v1, v3",
    "\ts_cbranch_scc0 BB1",
    "BB2:",
    "\tbuffer_load_b128 v[4:7], v0, s[4:7], 0 offen",
    "\ts_waitcnt vmcnt(0)",
    "\tv_fma_f32 v8, v4, v5, v8",
    "\tv_fma_f32 v8, v6, v7, v8",
    "\ts_cbranch_scc0 BB2",
    "\ts_endpgm",
  ].join("\n");

  it("is the one that multiplies most, with its loads waited for", () => {
    const pass = mainPass(code, 32, CARDS[0]!)!;
    expect(pass).toMatchObject({ slots: 5, works: 2, matrix: 0, flops: 128, exponential: false });
    expect([...pass.widths]).toEqual([[128, 1]]);
    expect(pass.alone).toBeGreaterThan(500);
    expect(pass.alone).toBeLessThan(550);
  });

  it("is none where nothing multiplies", () => {
    expect(mainPass("BB0:\n\tv_mov_b32_e32 v0, 0\n\ts_endpgm", 32, CARDS[0]!)).toBeNull();
  });
});
