// Every tuning that a device may be given, of every family, against the reference, and all of a family's that promise
// it with the same bits.
import { beforeAll, describe, expect, it } from "vitest";
import type { OpName } from "../../src/compiler/ir/vocabulary.js";
import type { Device } from "../../src/runtime/index.js";
import {
  candidates,
  families,
  tuningsFor,
  type FamilyName,
  type Tunings,
} from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../compiler/ops/bench.js";
import { caseOf, samples } from "../compiler/ops/samples.js";
import { byTurns, thinned } from "../soak.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

/** Rows by a weight: no size is a multiple of any tile's. */
function product(rows: number, depth: number, columns: number): Case {
  const b = new Bench({ batch: 2, tokens: rows, lengths: [rows, Math.floor(rows / 3)] }, 11);
  return b.finish(
    b.node("matmul", [b.rows([], [depth]), b.weight("w", "f32", [columns, depth])], { transposed: true }),
    "product",
  );
}

/** The sum of squares of each row: what a norm needs. */
function squares(rows: number, columns: number): Case {
  const b = new Bench({ tokens: rows }, 12);
  const x = b.rows([], [columns]);
  return b.finish(b.node("sum", [b.node("mul", [x, x], {})], { axes: [1], keep: false }), "squares");
}

/** Scores of what a product makes, and the choice by them. */
function chosen(): Case {
  const b = new Bench({ batch: 2, tokens: 40, lengths: [40, 17], axes: { K: { kind: "top", parent: "T", k: 7 } } }, 13);
  const stream = b.node("matmul", [b.rows([], [33]), b.weight("w", "f32", [67, 33])], { transposed: true });
  const score = b.node("sum", [b.node("mul", [stream, b.weight("router", "f32", [67])], {})], {
    axes: [1],
    keep: false,
  });
  return b.finish(b.top("K", score), "a choice");
}

interface Tried {
  readonly op: OpName;
  readonly of: Case;
}

/** The last samples of an operator: the odd ones. */
const samplesOf = (op: OpName, most: number): readonly Tried[] =>
  samples[op].list.slice(-most).map((s) => ({ op, of: caseOf(op, s) }));

/** What each family computes, and whether all its tunings promise the same bits. */
const FAMILIES: { readonly [F in FamilyName]: { readonly tried: readonly Tried[]; readonly sameBits: boolean } } = {
  attention: { tried: samplesOf("attention", 1), sameBits: false },
  elements: { tried: [...samplesOf("adamw", 2), ...samplesOf("sgd", 1), ...samplesOf("gelu", 1)], sameBits: true },
  products: { tried: [{ op: "matmul", of: product(35, 67, 139) }], sameBits: true },
  reductions: {
    tried: [...samplesOf("softmax", 1), ...samplesOf("cross_entropy", 1), ...samplesOf("argmax", 1)],
    sameBits: false,
  },
  rowSums: { tried: [squares(1, 5), squares(33, 131)].map((of) => ({ op: "sum", of })), sameBits: false },
  scores: { tried: [{ op: "top", of: chosen() }], sameBits: false },
  top: { tried: samplesOf("top", 2), sameBits: true },
};

describe.each(["default", "swiftshader"] as const)("on the %s device", (which) => {
  let device: Device;
  let others: Device;
  beforeAll(async () => {
    device = await testDevice(which);
    others = await testDevice("default");
  });

  it.each(Object.keys(families) as FamilyName[])("all tunings of %s agree", { tags: "long" }, async (family) => {
    const { tried, sameBits } = FAMILIES[family];
    // Of the tunings that the default device has too, SwiftShader tries every sixth, and of its own every second. Mesa
    // takes up to 20 s for a kernel of attention, and there are 46 tunings of products: of both the default device
    // tries every third, which are of every kind.
    const shared = new Set(candidates(family, others.target).map((c) => c.name));
    const every = candidates(family, device.target);
    const common = every.filter(({ name }) => shared.has(name));
    const own = every.filter(({ name }) => !shared.has(name));
    const many = family === "attention" || family === "products";
    const all =
      which === "default" && many ? byTurns(every, 3) : [...thinned(which, common, 6), ...thinned(which, own, 2)];
    expect(all.length).toBeGreaterThan(0);
    for (const { op, of } of tried) {
      let expected: readonly (readonly number[])[] | null = null;
      for (const { name, tunings } of all) {
        const chosen: Tunings = { ...tuningsFor(device.target), [family]: tunings };
        // A candidate with the same bits as a correct candidate is correct.
        if (!sameBits || expected === null) await compareOnDevice(device, op, of, device.target, chosen);
        if (!sameBits) continue;
        const bits = Object.values(await runOnDevice(device, of, device.target, chosen)).map((r) => [...r.data]);
        expected ??= bits;
        expect(bits, `${family}: ${name}`).toEqual(expected);
      }
    }
  });
});
