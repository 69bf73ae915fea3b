// Every logical operation, lowered, means what plain loops over one sequence compute.
import { describe, expect, it } from "vitest";
import type { LogicalOp } from "../../../src/language/check/model/model.js";
import { operations } from "../../../src/language/check/model/operations.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Case } from "./case-forms.js";
import { cases } from "./cases.js";
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
      "contrast",
      "bce",
      "dropout",
      "random_normal",
      "random_uniform",
    ];
    const tested = new Set<string>([...cases.map((c) => c.op), ...elsewhere]);
    expect([...tested].sort()).toEqual(Object.keys(operations).sort());
  });
});
