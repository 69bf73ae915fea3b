// A program's metadata about its steps: operators, places, operations and bytes.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { emit } from "../../../src/compiler/codegen/emit.js";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import type { Program, ProgramWork } from "../../../src/runtime/program/program.js";
import { parseProgram, printProgram } from "../../../src/runtime/program/serialize.js";
import { PORTABLE, portable } from "../../../src/runtime/program/target.js";
import { WorkCosts } from "../../../src/runtime/profile/profile.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { resolveSizes } from "../../../src/ground/size/axes.js";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import { graphOf } from "../schedule/graphs.js";

const OUTPUT = "[B, T, 4] packed T 0 1";
const programOf = (body: string): Program => emit(schedule(graphOf(`${body}\nresult "y" = %y ${OUTPUT}`)));
const named = (work: ProgramWork): string => work.ops[work.main]!.op;

describe("places", () => {
  const text = "model M() {\n  forward(x) {\n    exp(x)\n  }\n}\n";
  const at = text.indexOf("exp(x)");
  const graph = graphOf(`%y = exp(%x)  // layers.1 m.mod@${at}-${at + 6}\nresult "y" = %y ${OUTPUT}`);
  it("are the call path and the line of the expression", () => {
    const { works, origins, steps } = emit(schedule(graph), { sources: [{ file: "m.mod", text }] });
    expect(origins).toEqual([{ path: "layers.1", file: "m.mod", line: 3 }]);
    expect(works).toEqual([{ ops: [{ op: "exp", origin: 0 }], main: 0, flops: "4*rows(T)", bytes: "32*rows(T)" }]);
    expect(steps.map((s) => s.work)).toEqual([0]);
  });
  it("have line 0 where the source is not at hand", () => {
    expect(emit(schedule(graph)).origins).toEqual([{ path: "layers.1", file: "m.mod", line: 0 }]);
  });
});

describe("works", () => {
  it("name all operators of a step in the order they are evaluated", () => {
    const [work] = programOf("%a = exp(%x)\n%b = neg(%a)\n%y = mul(%b, %x)").works;
    expect(work!.ops.map((o) => o.op)).toEqual(["exp", "neg", "mul"]);
    expect(named(work!)).toBe("mul");
  });
  it("count what is read and written once: x, although it is read twice, and y", () => {
    expect(programOf("%a = exp(%x)\n%y = mul(%a, %x)").works[0]).toMatchObject({
      flops: "8*rows(T)",
      bytes: "32*rows(T)",
    });
  });
  it("count 2·M·N·K operations of a product, and its weight once", () => {
    const { works } = programOf(
      `%w = weight {"path":"w","dtype":"f32","shape":[4,4]}()\n%y = matmul {"transposed":true}(%x, %w)`,
    );
    expect(works.map((w) => [named(w), w.flops, w.bytes])).toEqual([["matmul", "32*rows(T)", "32*rows(T) + 64"]]);
  });
  it("count what lies in memory as f16 at two bytes: weights and what is handed on, not what comes and goes", () => {
    const weight = (path: string): string => `weight {"path":"${path}","dtype":"f32","shape":[4,4]}()`;
    const body =
      `%v = ${weight("v")}\n%w = ${weight("w")}\n%h = matmul {"transposed":true}(%x, %v)\n%y = matmul ` +
      `{"transposed":true}(%h, %w)\nresult "y" = %y ${OUTPUT}`;
    const { works } = emit(
      schedule(graphOf(body), portable({ activations: "f16" }), undefined, { activations: "f16" }),
    );
    expect(works.map((w) => w.bytes)).toEqual(["24*rows(T) + 32", "24*rows(T) + 32"]);
  });
  it("are one for steps that are alternatives", () => {
    const graph = graphOf(
      `%w = weight {"path":"w","dtype":"f32","shape":[32,4]}()\n%y = matmul {"transposed":true}(%x, %w)\nresult ` +
        `"y" = %y [B, T, 32] packed T 0 1`,
    );
    const { steps, works } = emit(schedule(graph, { ...PORTABLE, device: "mesa-software", subgroups: [8, 8] }));
    expect(steps.length).toBeGreaterThan(1);
    expect(steps.map((s) => s.work)).toEqual(steps.map(() => 0));
    expect(works).toMatchObject([{ flops: "256*rows(T)", bytes: "144*rows(T) + 512" }]);
  });
});

describe("of experts", () => {
  const works = (experts: string, chosen: string) => {
    const source = `import { Linear, Nothing, SwiGLU } from "std"
model M() {
  router: Linear(16, 6)
  experts: ${experts}
  forward(x: f32[B, T <= 64, 16]) -> f32[B, T, 16] {
    s = router(x)
    c = ${chosen}
    sum(experts[c](x) * take(s, c)[..., None], axis: -2)
  }
}`;
    const { program, graph, model } = compile(source);
    expect(parseProgram(printProgram(program!)).works).toEqual(program!.works);
    const extents = new Map(Object.entries({ B: 2, T: 64 }));
    const costs = new WorkCosts(program!, graph!.axes, { extents, lengths: new Map(), live: new Map() });
    const sum = (of: "flops" | "denseFlops"): number => program!.works.reduce((n, _, i) => n + costs.of(i)[of], 0);
    const { total } = ledger(graph!, model!, { extents });
    return [sum("flops") / total.executed.flops, sum("denseFlops") / total.dense.flops, total] as const;
  };

  it.each([
    ["some of which do nothing", "[for e in 0..4: SwiGLU(16, 24)] + [Nothing(), Nothing()]", "top(s, 3, axis: -1)"],
    ["of which tokens have any number", "[for e in 0..6: SwiGLU(16, 24)]", "above(s, 0.0, expected: 25%)"],
  ])("%s: the operations are the ledger's, and its dense ones", (_, experts, chosen) => {
    const [executed, dense, total] = works(experts, chosen);
    expect(executed).toBeCloseTo(1, 1);
    expect(dense).toBeCloseTo(1, 1);
    if (experts.includes("Nothing")) expect(total.executed.flops / total.dense.flops).toBeLessThan(0.75);
  });
});

describe("of an example", () => {
  const file = "examples/moby.mod";
  const { program, graph, model } = compile(readFileSync(file, "utf8"), { file });
  const { works, steps, origins } = program!;
  const extents = new Map(Object.entries({ B: 2, T: 128 }));
  const sizes = resolveSizes(graph!.axes, {
    extents,
    lengths: new Map(),
    live: new Map(graph!.live.map((l) => [l.name, l.default])),
  });
  const sum = (of: (w: ProgramWork) => number | string): number =>
    works.reduce(
      (n, w) => n + sizes.number(typeof of(w) === "number" ? (of(w) as number) : parseSize(String(of(w)))),
      0,
    );

  it("every step has a work, in order, and every work a place in a file", () => {
    const ofSteps = steps.map((s) => s.work!);
    expect(ofSteps).toEqual(ofSteps.toSorted((a, b) => a - b));
    expect(new Set(ofSteps).size).toBe(works.length);
    expect(origins.every((o) => o.line > 0)).toBe(true);
    expect(works.every((w) => w.ops[w.main] !== undefined)).toBe(true);
  });
  it("the operations are at least the ledger's: nothing is left out, and what is computed twice counts twice", () => {
    const { total } = ledger(graph!, model!, { extents });
    expect(sum((w) => w.flops)).toBeGreaterThanOrEqual(total.executed.flops * 0.999);
    expect(sum((w) => w.flops)).toBeLessThan(total.executed.flops * 1.1);
  });
  it("moves no more bytes than its operators would one by one", () => {
    const { total } = ledger(graph!, model!, { extents });
    expect(sum((w) => w.bytes)).toBeLessThanOrEqual(total.executed.bytes);
  });
});
