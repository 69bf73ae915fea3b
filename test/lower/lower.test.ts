// Every logical operation, lowered, means what plain loops over one sequence compute.
import { describe, expect, it } from "vitest";
import type { LogicalOp } from "../../src/check/model.js";
import { verify } from "../../src/ir/verify.js";
import { lower } from "../../src/lower/lower.js";
import { ops } from "../../src/ops/index.js";
import { cases, type Case } from "./cases.js";
import { ModelBuilder } from "./model-builder.js";
import { largestDifference } from "./run-case.js";

const modelOf = (c: Case): ReturnType<ModelBuilder["model"]> => {
  const m = new ModelBuilder();
  c.build(m);
  return m.model();
};

/** A reduction over the batch has no meaning for one sequence: there the batch must be one. */
const crossesBatch = (c: Case): boolean => c.op === "reduce" && / 0/.test(c.name);

/** Both sides compute in 64 bits, in different orders: a dozen additions and a few functions apart. */
const TOLERANCE = 1e-9;

describe("lowering", () => {
  for (const c of cases) {
    it(`${c.op}: ${c.name}: is sound and means what its operation means, sequence by sequence`, () => {
      const model = modelOf(c);
      expect(verify(lower(model), ops)).toEqual([]);
      const runs = crossesBatch(c)
        ? [
            { B: 1, T: 5, lengths: [3] },
            { B: 1, T: 4, lengths: null },
            { B: 1, T: 3, lengths: [0] },
          ]
        : [
            { B: 1, T: 1, lengths: null },
            { B: 3, T: 7, lengths: null },
            { B: 5, T: 6, lengths: [6, 0, 3, 1, 2] },
            { B: 2, T: 3, lengths: [0, 0] },
          ];
      for (const [seed, { B, T, lengths }] of runs.entries())
        expect(
          largestDifference(
            model,
            new Map([
              ["B", B],
              ["T", T],
            ]),
            lengths,
            seed + 1,
          ),
          `B=${B} T=${T} lengths=${String(lengths)}`,
        ).toBeLessThan(TOLERANCE);
    });
  }

  it("has a case for every operation that one sequence defines", () => {
    const elsewhere: readonly LogicalOp[] = [
      "live",
      "cross_entropy",
      "bce",
      "dropout",
      "random_normal",
      "random_uniform",
    ];
    const operations = new Set<LogicalOp>([...cases.map((c) => c.op), ...elsewhere]);
    expect([...operations].sort()).toEqual([...everyOperation].sort());
  });
});

/** Total by type. */
const everyOperation = Object.keys({
  input: 0,
  weight: 0,
  live: 0,
  number: 0,
  length: 0,
  pointwise: 0,
  powi: 0,
  cast: 0,
  reduce: 0,
  softmax: 0,
  matmul: 0,
  reshape: 0,
  permute: 0,
  slice: 0,
  span: 0,
  token: 0,
  concat: 0,
  join: 0,
  gather: 0,
  rope: 0,
  attention: 0,
  position: 0,
  top: 0,
  above: 0,
  take: 0,
  put: 0,
  mask: 0,
  index: 0,
  count: 0,
  cross_entropy: 0,
  bce: 0,
  stop_gradient: 0,
  dropout: 0,
  random_normal: 0,
  random_uniform: 0,
} satisfies Record<LogicalOp, 0>);
