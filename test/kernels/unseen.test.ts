// What a query does not see never reaches it: a value that is infinite or NaN spoils the rows that see it, and no
// others.
import { describe, expect, it } from "vitest";
import { load } from "../../src/runtime/index.js";
import { testDevice } from "../device.js";
import { compiled, onDevice, randomInput, reference } from "../end-to-end/model.js";
import { soaking, thinned } from "../soak.js";

const source = (options: string): string => `
model Seen(d: int = 4) {
  forward(x: f32[B, T <= 96, d], v: f32[B, T, d]) -> f32[B, T, d] { attention(x, x, v, ${options}) }
}`;

describe.each(["default", "swiftshader"] as const)("attention on the %s device", (which) => {
  it.each(
    thinned(which, ["causal: true", "causal: true, window: 3", "causal: false, window: 5", "causal: false"], 4, 1),
  )("with %s", { tags: "long" }, async (options) => {
    const { program, graph } = compiled(source(options));
    const session = await load(program, await testDevice(which));
    for (const [tokens, spoiled] of [
      [37, 20],
      [64, 63],
      [21, 0],
    ] as const)
      for (const value of [NaN, Infinity, -Infinity])
        for (const lengths of [undefined, Uint32Array.of(tokens, spoiled + 1)]) {
          const x = randomInput([2, tokens, 4], tokens);
          const v = randomInput([2, tokens, 4], tokens + 1);
          for (const b of [0, 1]) v.data[(b * tokens + spoiled) * 4 + 1] = value;
          const given = { inputs: { x, v }, ...(lengths ? { lengths } : {}) };
          const wanted = reference(graph, new Map(), given).outputs.get("output")!.data;
          const { data } = (await onDevice(session, given))["output"]!;
          wanted.forEach((w, i) => {
            const close = Object.is(data[i], w) || data[i] === w || Math.abs(data[i]! - w) < 1e-5;
            if (!close) expect(data[i], `${value} at ${spoiled} of ${tokens}: element ${i}`).toBe(w);
          });
        }
    session.dispose();
  });

  // SwiftShader compiles the two of them for a second.
  it.skipIf(which === "swiftshader" && !soaking)("tells scores that are all −∞ from no key", async () => {
    const { program, graph } = compiled(`
model Lowest(d: int = 2) {
  forward(q: f32[B, T <= 64, d], k: f32[B, T, d]) -> (a: f32[B, T, 1], b: f32[B, T, 1]) {
    r = above(k[..., 1], 0.0)
    some = take(k, r)
    (attention(q, k, k[..., 1:2], causal: true), attention(q, some, some[..., 1:2], causal: true))
  }
}`);
    const session = await load(program, await testDevice(which));
    const T = 19;
    const q = { shape: [1, T, 2], data: Float32Array.from({ length: 2 * T }, (_, i) => (i % 2 === 0 ? 1 : 0)) };
    // Scores are −∞ up to token 11; tokens 0 to 4 are not chosen.
    const k = {
      shape: [1, T, 2],
      data: Float32Array.from({ length: 2 * T }, (_, i) =>
        i % 2 === 1 ? (i < 10 ? -1 : 1) : i < 24 ? -Infinity : i / 9,
      ),
    };
    const given = { inputs: { q, k } };
    const wanted = reference(graph, new Map(), given).outputs;
    const found = await onDevice(session, given);
    for (const name of ["a", "b"])
      wanted.get(name)!.data.forEach((w, i) => {
        const value = found[name]!.data[i]!;
        if (!(Math.abs(value - w) < 1e-5)) expect(value, `${name} at ${i}`).toBe(w);
      });
    const chosen = wanted.get("b")!.data;
    expect([chosen[4], chosen[5]]).toEqual([0, NaN]);
    session.dispose();
  });
});
