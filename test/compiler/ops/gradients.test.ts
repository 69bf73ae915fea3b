// The gradient of every operator against finite differences of its meaning, on all its samples.
import { describe, expect, it } from "vitest";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { byTurns } from "../../soak.js";
import { agreedDerivatives } from "./finite-differences.js";
import { allSamples, caseOf, named, samples } from "./samples.js";

/**
 * Through these nothing flows: what has no inputs, whole numbers and truths, choices and places, and what stops
 * gradients.
 */
const FLAT: readonly OpName[] = [
  ...([
    "input",
    "weight",
    "state",
    "live",
    "seed",
    "constant",
    "literal",
    "floor",
    "size",
    "starts",
    "rope_table",
    "random_uniform",
    "random_normal",
  ] as const),
  ...(["eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "argmax"] as const),
  ...([
    "positions",
    "segments",
    "shifted_rows",
    "counts",
    "top",
    "above",
    "span",
    "join",
    "route_mask",
    "top_entries",
    "top_rows",
    "those_entries",
  ] as const),
  "sort_entries",
  ...(["paged_append", "paged_keys", "paged_attention"] as const),
  ...(["append", "last", "sample", "mark", "received"] as const),
  "stop_gradient",
  // Rounds operands of products that are differentiated already.
  "reduce_precision",
  // Made by the scheduler of what is differentiated already, and the gradient of a gradient: nothing asks for one.
  ...(["class_sums", "class_grad", "cross_entropy_grad", "attention_grad", "pair_attention_grad"] as const),
  ...(["linear_attention_from", "linear_attention_grad", "adamw", "sgd"] as const),
];

/** Operators whose samples take long: the short run has a third of them. */
const LARGE: ReadonlySet<string> = new Set<OpName>([
  "attention",
  "attention_kept",
  "pair_attention",
  "grouped_matmul",
  "grouped_contract",
  "contract",
]);

describe("gradients", () => {
  const isFlat = (op: OpName): boolean => ops[op].grad === null;

  it("are null where nothing flows, and only there", () => {
    expect(
      Object.keys(samples)
        .filter((op) => isFlat(op as OpName))
        .sort(),
    ).toEqual([...FLAT].sort()); // keys of a total table
  });

  // Choices yield whole numbers, which have no gradient; samples of attention with kept statistics cover picks of
  // numbers. By definition, the gradient of `straight` differs from its value's gradient.
  it.each(Object.keys(samples).filter((op) => !isFlat(op as OpName) && !["pick", "straight"].includes(op)))(
    "of %s agree with finite differences",
    (op) => {
      const own = byTurns(
        allSamples.filter((s) => s.op === op),
        LARGE.has(op) ? 3 : 1,
      );
      // A key of the table.
      const agreed = own.map(({ sample }, i) =>
        named(sample.name, () => agreedDerivatives(caseOf(op as OpName, sample), i)),
      );
      expect(agreed.reduce((a, b) => a + b, 0)).toBeGreaterThan(0);
    },
  );
});
