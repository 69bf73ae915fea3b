// The biases of a text with penalties and a constraint, as they are brought up to date with each token.
import { describe, expect, it } from "vitest";
import type { Generation } from "../../../src/runtime/program/generation.js";
import type { Sequence } from "../../../src/generation/engine/sequence.js";
import { biasWrite } from "../../../src/generation/engine/sampling-states.js";
import { sequenceOf } from "./sequences.js";
import { processorTime } from "../../processor-time.js";

/** Of a model's parts, those that biases need. */
const paged = (vocabulary: number): Pick<Generation, "vocabulary" | "sampling"> => ({
  vocabulary,
  sampling: { settings: "settings", seeds: "seeds", bias: "bias" },
});

/** A text in a slot that generated these tokens. */
function generated(vocabulary: number, tokens: readonly number[]): Sequence {
  const constraint = {
    next: () => ({ tokens: new Uint32Array(vocabulary / 32).fill(-1), end: true }),
    add: () => false,
  };
  const sampling = { presencePenalty: 1, frequencyPenalty: 0.5, logitBias: { 3: 4, 6: 2 } };
  const sequence = sequenceOf({
    prompt: [3],
    most: tokens.length + 1,
    request: { sampling, constraint },
    vocabulary,
  });
  sequence.slot = 0;
  for (const token of tokens) sequence.add(token, { score: null, depth: null, routes: null }, Infinity);
  return sequence;
}

describe("biases of a text with penalties and a constraint", () => {
  it("count each generated token, and none of the prompt", () => {
    const { data } = biasWrite(paged(64), generated(64, [5, 6, 5, 5]))!;
    expect(Array.from(data.subarray(0, 8))).toEqual([0, 0, 0, 4, 0, -2.5, 0.5, 0]);
  });

  it("take time by the number of distinct tokens, not by its square", () => {
    const sequence = generated(
      32_000,
      Array.from({ length: 20_000 }, (_, i) => i),
    );
    const used = processorTime();
    for (let n = 0; n < 5; n++) biasWrite(paged(32_000), sequence);
    expect(used()).toBeLessThan(1);
  });
});
