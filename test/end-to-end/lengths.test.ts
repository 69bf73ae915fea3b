// Lengths by axis: each sequence of a batch has the results that it has alone, on a device and in the reference.
import { expect, it } from "vitest";
import { testDevice } from "../device.js";
import { compiled, furthest, onDevice, randomInput, randomWeights, reference, sessionOf } from "./model.js";

const SOURCE = `import { Linear } from "std"
model M() {
  q: Linear(8, 8)
  k: Linear(8, 8)
  forward(x: f32[B, T, 8], y: f32[B, S, 8]) -> f32[B, T, 8] {
    chosen = top(mean(y, axis: -1), ceil(S / 2))
    x + attention(q(x), k(take(y, chosen)), take(y, chosen)) + mean(y, axis: 1)[:, None] * mean(x, axis: 1)[:, None]
  }
}`;
const [T, S] = [6, 9];
const BY_AXIS = { T: [6, 1, 4], S: [3, 9, 5] };

it("cuts each axis by its own", async () => {
  const { graph, program } = compiled(SOURCE);
  const weights = randomWeights(program, 3);
  const [x, y] = [randomInput([3, T, 8], 1), randomInput([3, S, 8], 2)];
  const given = { inputs: { x, y }, byAxis: BY_AXIS };
  const wanted = reference(graph, weights, given).outputs.get("output")!;
  const session = await sessionOf(program, await testDevice(), weights, { B: 3, T, S });
  const found = (await onDevice(session, given))["output"]!;
  expect(furthest(found.data, wanted.data, 1e-4, 1e-4).ratio).toBeLessThan(1);
  for (const b of [0, 1, 2]) {
    const [t, s] = [BY_AXIS.T[b]!, BY_AXIS.S[b]!];
    const part = ({ data }: typeof x, all: number, own: number): typeof x => ({
      shape: [1, own, 8],
      data: (data as Float32Array).slice(b * all * 8, (b * all + own) * 8),
    });
    const alone = reference(graph, weights, { inputs: { x: part(x, T, t), y: part(y, S, s) } });
    const own = wanted.data.slice(b * T * 8, (b + 1) * T * 8);
    expect(own.slice(0, t * 8)).toEqual(alone.outputs.get("output")!.data);
    expect(own.slice(t * 8).every((value) => value === 0)).toBe(true);
  }
});
