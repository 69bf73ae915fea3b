// How far quantized weights deviate: the divergence by its definition, and each choice that changed counted.
import { describe, expect, it } from "vitest";
import { compareRows, deviationOf, type Runs } from "../../../src/tools/train/deviation.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { random } from "../../random.js";

const softmax = (logits: Float32Array): number[] => {
  const exps = Array.from(logits, Math.exp);
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / sum);
};

describe("the divergence of two rows of logits", () => {
  it("is the sum of p · ln(p / q)", () => {
    const rng = random(4);
    for (let n = 0; n < 50; n++) {
      const [a, b] = [0, 1].map(() => Float32Array.from({ length: 1 + rng.below(40) || 1 }, () => 3 * rng.normal()));
      const other = Float32Array.from(a!, (x, i) => (b![i % b!.length] ?? 0) + x / 2);
      const [p, q] = [softmax(a!), softmax(other)];
      const wanted = p.reduce((sum, x, i) => sum + x * Math.log(x / q[i]!), 0);
      expect(compareRows(a!, other).divergence).toBeCloseTo(wanted, 10);
    }
  });

  it("is zero for equal ones, whatever is added to all, and finite for large ones", () => {
    const row = Float32Array.of(1, -2, 3);
    expect(
      compareRows(
        row,
        row.map((x) => x + 8),
      ).divergence,
    ).toBeCloseTo(0, 12);
    expect(compareRows(Float32Array.of(900, 0), Float32Array.of(0, 900)).divergence).toBeCloseTo(900, 6);
  });

  it("tells whether the likeliest token is the same, the first of equals", () => {
    expect(compareRows(Float32Array.of(1, 2, 2), Float32Array.of(0, 5, 1)).sameToken).toBe(true);
    expect(compareRows(Float32Array.of(1, 2, 2), Float32Array.of(0, 1, 5)).sameToken).toBe(false);
  });
});

it("counts each token of which a route or the experts changed", async () => {
  const result = (data: readonly number[], shape: readonly number[]) => ({ data: Uint32Array.from(data), shape });
  const logits = { data: new Float32Array(8), shape: [1, 4, 2] };
  /** A session that returns these choices for all inputs. */
  const giving = (chosen: readonly number[], experts: readonly number[]): Runs => ({
    run: async (inputs) => {
      expect(Object.keys(inputs)).toEqual(["tokens"]);
      return {
        logits,
        "route.index": result(chosen, [1, 2]),
        "route.count": result([chosen.length], [1]),
        "moe.index": result(experts, [1, 4, 2]),
      };
    },
  });
  const batch: Batch = {
    inputs: { tokens: Uint32Array.of(1, 2, 3, 4), targets: Uint32Array.of(2, 3, 4, 5) },
    rows: 1,
    length: 4,
  };
  const batches = async function* (): AsyncIterable<Batch> {
    yield batch;
  };
  const found = await deviationOf(
    // Token 1 left and token 2 came: two of four changed. The experts of token 3 changed.
    { whole: giving([0, 1], [0, 1, 0, 2, 1, 2, 1, 3]), own: giving([0, 2], [0, 1, 0, 2, 1, 2, 2, 3]) },
    { logits: "logits", routes: ["route"], entries: ["moe"] },
    batches(),
    { inputs: new Set(["tokens"]) },
  );
  expect(found).toEqual({ tokens: 4, divergence: 0, sameToken: 1, sameChoice: { route: 0.5, moe: 0.75 } });
});
