// What lies beyond the end of a sequence changes nothing, even where all that exists is −∞, ∞ or NaN.
import { describe, expect, it } from "vitest";
import { load } from "../../../src/runtime/index.js";
import { testDevice, type TestDevice } from "../../device.js";
import { compiled, type GivenInput, onDevice, reference } from "../../end-to-end/model.js";

const source = (dtype: "f32" | "f16"): string => `
model Padded() {
  forward(s: f32[B, T <= 8]) -> (soft: ${dtype}[B, T], pairs: ${dtype}[B, T, T], most: ${dtype}[B], least: ${dtype}[B], place: u32[B]) {
    x = ${dtype}(s)
    (softmax(x, axis: 1), softmax(x[..., None] + x[:, None, :], axis: 2), max(x, axis: 1), min(x, axis: 1), argmax(x, axis: 1))
  }
}`;

const ROWS: readonly (readonly number[])[] = [
  [-Infinity, -Infinity],
  [Infinity, Infinity, Infinity],
  [NaN, NaN],
  [-Infinity, 2, -Infinity],
  [-65504],
  [],
  [3, NaN, -1, 2],
];
const T = 5;

/** The rows side by side, with numbers where no token is. */
const batch: GivenInput = {
  shape: [ROWS.length, T],
  data: Float32Array.from(ROWS.flatMap((row) => Array.from({ length: T }, (_, i) => row[i] ?? 7 + i))),
};
const lengths = Uint32Array.from(ROWS, (row) => row.length);

describe.each(["f32", "f16"] as const)("padding in %s", (dtype) => {
  const { program, graph } = compiled(source(dtype));
  const alone = ROWS.map((row) =>
    row.length === 0
      ? null
      : reference(graph, new Map(), { inputs: { s: { shape: [1, row.length], data: Float32Array.from(row) } } })
          .outputs,
  );

  const expectAlike = (name: string, data: ArrayLike<number>): void => {
    alone.forEach((outputs, b) => {
      const n = ROWS[b]!.length;
      const at = (i: number, j: number): number =>
        name === "pairs" ? (b * T + i) * T + j : name === "soft" ? b * T + j : b;
      for (let i = 0; i < (name === "pairs" ? T : 1); i++)
        for (let j = 0; j < (name === "pairs" || name === "soft" ? T : 1); j++) {
          const exists = n > 0 && (name === "pairs" ? i < n && j < n : name !== "soft" || j < n);
          const wanted = exists ? outputs!.get(name)!.data[name === "pairs" ? i * n + j : j]! : 0;
          expect(Math.fround(data[at(i, j)]!), `${name} of sequence ${b} at ${i}, ${j}`).toBe(Math.fround(wanted));
        }
    });
  };

  it("gives each sequence what it gives alone, on the reference", () => {
    const { outputs } = reference(graph, new Map(), { inputs: { s: batch }, lengths });
    for (const [name, { data }] of outputs) expectAlike(name, data);
  });

  it.each(["default", "swiftshader"] as const satisfies readonly TestDevice[])(
    "gives each sequence what it gives alone, on the device (%s)",
    { tags: "long" },
    async (which) => {
      const session = await load(program, await testDevice(which));
      const results = await onDevice(session, { inputs: { s: batch }, lengths });
      // WGSL promises nothing of NaN in arithmetic: what only moves and compares must still keep it.
      for (const name of ["most", "least", "place"]) expectAlike(name, results[name]!.data);
      const finite = results["soft"]!.data.slice(3 * T, 6 * T);
      expect([...finite.subarray(0, 3)], "−∞ beside a number").toEqual([0, 1, 0]);
      expect([...finite.subarray(T)], "the least number alone, and nothing").toEqual([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
      expect([...results["soft"]!.data.subarray(0, 2)], "−∞ alone").toEqual([NaN, NaN]);
      session.dispose();
    },
  );
});
