// The biases of a text with penalties and a constraint, as they change with each token.
import { describe, expect, it } from "vitest";
import { type ChangingBias, constrained } from "../../../src/generation/sampling/constrained.js";
import { samplingTables } from "../../../src/generation/sampling/options.js";
import { penalised } from "../../../src/generation/sampling/penalties.js";
import { processorTime } from "../../processor-time.js";

/** The biases of a text that has generated these tokens. */
function generated(vocabulary: number, tokens: readonly number[], constrains = true): ChangingBias {
  const constraint = {
    next: () => ({ tokens: new Uint32Array(vocabulary / 32).fill(-1), end: true }),
    add: () => false,
  };
  const { bias } = samplingTables({ logitBias: { 3: 4, 6: 2 } }, vocabulary);
  const penalties = penalised(1, 0.5, bias, vocabulary)!;
  const all = constrains ? constrained(constraint, [], penalties, vocabulary) : penalties;
  for (const token of tokens) expect(all.add(token)).toBe(false);
  return all;
}

describe("biases of a text with penalties and a constraint", () => {
  it.each([true, false])("count each generated token, and none of the prompt", (constrains) => {
    const data = generated(64, [5, 6, 5, 5], constrains).all()!;
    expect(Array.from(data.subarray(0, 8))).toEqual([0, 0, 0, 4, 0, -2.5, 0.5, 0]);
  });

  it("change for the last token alone without a constraint, for all with one", () => {
    expect(generated(64, [5, 6], false).changed()).toEqual({ from: 6, data: Float32Array.of(0.5) });
    const { from, data } = generated(64, [5, 6]).changed();
    expect([from, data.length, data[5], data[6]]).toEqual([0, 64, -1.5, 0.5]);
  });

  it("are none without penalties", () => expect(penalised(0, 0, null, 64)).toBeNull());

  it("take time by the number of distinct tokens, not by its square", () => {
    const biases = generated(
      32_000,
      Array.from({ length: 20_000 }, (_, i) => i),
    );
    const used = processorTime();
    for (let n = 0; n < 5; n++) biases.changed();
    expect(used()).toBeLessThan(1);
  });
});
