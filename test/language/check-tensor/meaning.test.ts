// What the checker says of an expression holds when it runs: the reference gives the shape that the type says, and each
// sequence of a batch gets what it gets alone.
import { describe, expect, it } from "vitest";
import { isOp } from "../../../src/language/check/model/types.js";
import type { Model } from "../../../src/language/check/model/model.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { resolveSizes } from "../../../src/ground/size/axes.js";
import { printSize } from "../../../src/ground/size/size.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { acceptedBuiltins, acceptedIndices, acceptedOperators, acceptedRouting, type Accepted } from "./accepted.js";
import { reachable, rootsOf } from "../../../src/language/check/model/model-values.js";
import { EXTENTS, given, LENGTHS, type Given } from "./given.js";
import { INPUTS, tell } from "./harness.js";

/** Cuts out a sequence of a batch, up to its own length on T; other axes are whole. */
function alone(model: Model, inputs: ReadonlyMap<string, Given>, b: number): Map<string, Given> {
  return new Map(
    model.inputs.map(({ name, type }) => {
      const { shape, data } = inputs.get(name)!;
      const per = data.length / shape[0]!;
      const row = data.slice(b * per, (b + 1) * per);
      const second = type.shape[1];
      const onT = typeof second === "object" && second.key === "T";
      const kept = onT ? row.slice(0, (per / shape[1]!) * LENGTHS[b]!) : row;
      return [name, { shape: [1, ...(onT ? [LENGTHS[b]!] : shape.slice(1, 2)), ...shape.slice(2)], data: kept }];
    }),
  );
}

const observed = (outputs: ReadonlyMap<string, Tensor>): Tensor => outputs.get("y") ?? outputs.get("y.count")!;

/** Whether a value mixes sequences: means over the batch, sizes over it. */
const mixes = (model: Model): boolean =>
  reachable(rootsOf(model)).some((v) => {
    if (isOp(v, "reduce"))
      return v.inputs[0]!.type.shape.some((s, i) => typeof s === "object" && s.key === "B" && v.attrs.axes.includes(i));
    return v.op === "cross_entropy" || v.op === "bce" || (isOp(v, "length") && printSize(v.attrs.size) === "B");
  });

const runnable = (list: Accepted): Accepted => list.filter(([, type]) => /\[/.test(type));

describe("accepted expressions", () => {
  for (const [expr, , setting] of runnable([
    ...acceptedOperators,
    ...acceptedIndices,
    ...acceptedBuiltins,
    ...acceptedRouting,
  ])) {
    it(`${expr} has the shape of its type, and each sequence is by itself`, () => {
      // Lengths apply to one axis: `other`, along S, is an input only if the expression reads it.
      const alike = /\bother\b/.test(expr) || setting?.inputs !== undefined;
      const inputsOf = alike ? {} : { inputs: INPUTS.replace("other: f32[B, S <= 32, 8], ", "") };
      const { model } = tell(expr, { ...setting, ...inputsOf });
      if (!model) throw new Error("refused");
      const graph = lower(model);
      const { inputs, weights } = given(model);
      const used = new Set(graph.inputs.map((i) => i.name));
      const pick = (all: ReadonlyMap<string, Given>): Map<string, Given> =>
        new Map([...all].filter(([name]) => used.has(name)));
      const onT =
        model.axes.filter((a) => a.role === "sequence" && a.count.kind === "input").length === 1 &&
        model.inputs.some((i) => used.has(i.name) && i.type.shape.some((s) => typeof s === "object" && s.key === "T"));
      const whole = evaluate(graph, { inputs: pick(inputs), weights, ...(onT ? { lengths: LENGTHS } : {}) });
      const y = observed(whole.outputs);
      const { type } = model.observes[0]!.value;
      if (whole.outputs.has("y")) {
        const routed = type.shape.some((s) => typeof s === "object" && !EXTENTS.has(s.key));
        const run = {
          extents: EXTENTS,
          lengths: new Map(onT ? [["T", Uint32Array.from(LENGTHS)]] : []),
          live: new Map(model.live.map((l) => [l.name, l.default])),
        };
        if (!routed) expect(y.shape).toEqual(type.shape.map((s) => resolveSizes(model.axes, run).number(s)));
        expect(y.dtype).toBe(type.dtype);
      }
      const [first] = type.shape;
      if (!(typeof first === "object" && first.key === "B") || mixes(model) || !onT) return;
      for (const b of [0, 1, 2]) {
        const one = observed(evaluate(graph, { inputs: pick(alone(model, inputs, b)), weights }).outputs);
        expectSame(y, one, b, type.shape.length);
      }
    });
  }
});

/** Row b of a batch holds what the sequence gives alone, and zeros beyond. */
function expectSame(batch: Tensor, single: Tensor, b: number, rank: number): void {
  const at = (t: Tensor, index: readonly number[]): number =>
    t.data[index.reduce((flat, i, d) => flat * t.shape[d]! + i, 0)]!;
  const visit = (index: number[]): void => {
    if (index.length === rank) {
      const found = at(batch, index);
      const inside = index.every((i, d) => d === 0 || i < single.shape[d]!);
      const wanted = inside ? at(single, [0, ...index.slice(1)]) : 0;
      if (!(Number.isNaN(found) && Number.isNaN(wanted))) expect(found).toBeCloseTo(wanted, 10);
      return;
    }
    for (let i = index.length === 0 ? b : 0; i < (index.length === 0 ? b + 1 : batch.shape[index.length]!); i++)
      visit([...index, i]);
  };
  visit([]);
}
