// Small words of inputs on a device: fixed axes as sequences, rows by places, strides, angles, lists and floors.
// Results and gradients are the reference's, which test/compiler/lower holds against plain loops.
import { describe, expect, it } from "vitest";
import { testDevice } from "../device.js";
import { random } from "../random.js";
import { expectAgreement } from "./agree.js";
import { compiled, onDevice, randomInput, randomWeights, reference, sessionOf, type Case } from "./model.js";

const INPUTS = "x: f32[B, T <= 16, 8], image: f32[B, 6, 8], at: u32[B, T], pick: i32[B, 2]";

/** A model whose forward gives y, and whose objective is the mean of its cubes. */
const source = (body: string): string => `model Words() {
  weight w: f32[8, 8] = normal(0.5)
  forward(${INPUTS}) -> f32[B, T, 8] {
${body}
  }
  objective(${INPUTS}) {
    y = forward(x, image, at, pick)
    loss cubes = mean(y * y * y)
  }
}`;

const BODIES: Readonly<Record<string, string>> = {
  "attention to a fixed axis": `
    patches = sequence(image @ w)
    x + attention(x @ w, rope(patches, 100.0), patches)`,
  "rows of a fixed axis by places that are partly beyond its end": "    x @ w + rows(sequence(image @ w), at)",
  "rows from the end, one place each": `
    found = rows(x @ w, pick)
    x + (found[:, 0] * found[:, 1])[:, None]`,
  "every third token of a slice": `
    some = (x @ w)[:, 1::3]
    x + attention(x, some, some)`,
  "every second channel": "    concat([x[..., ::2], (x @ w)[..., 1::3], x[..., 0:1]], axis: -1)",
  "angles from values, and numbers from a list": `
    half = x @ w[:, 0:4] * tensor([1, 0.5, -2, 0.25])
    rope(x @ w, angles: half, scale: 1.5)`,
  "a floor, through which no gradient passes": "    x @ w * floor(x * 2)",
};

/** Sequences of several lengths: one is empty. */
function caseOf(seed: number): Case {
  const [batch, tokens] = [3, 11];
  const rng = random(seed);
  const whole = <A extends Uint32Array | Int32Array>(data: A, of: () => number): A => data.map(of) as A; // of one kind
  return {
    inputs: {
      x: randomInput([batch, tokens, 8], seed),
      image: randomInput([batch, 6, 8], seed + 1),
      at: { shape: [batch, tokens], data: whole(new Uint32Array(batch * tokens), () => rng.below(9)) },
      pick: { shape: [batch, 2], data: whole(new Int32Array(batch * 2), () => rng.below(16) - 8) },
    },
    lengths: Uint32Array.of(tokens, 0, 4),
  };
}

/** Products and attentions of a width of 8. */
const TOLERANCE = { atol: 2e-4, rtol: 2e-4 };

describe("words of inputs", () => {
  for (const [name, body] of Object.entries(BODIES))
    for (const program of ["infer", "gradients"] as const)
      it(`${name}, ${program}`, async () => {
        const { graph, program: made } = compiled(source(body), { program });
        const weights = randomWeights(made, 5);
        const session = await sessionOf(made, await testDevice(), weights, { B: 3, T: 16 });
        const read = new Set(graph.inputs.map((input) => input.name));
        const given = caseOf(3);
        const inputs = Object.fromEntries(Object.entries(given.inputs).filter(([input]) => read.has(input)));
        const own = reference(graph, weights, { ...given, inputs });
        const results = await onDevice(session, { ...given, inputs });
        const tally = { choices: 0, forced: 0 };
        expectAgreement(graph, weights, { ...given, inputs }, results, TOLERANCE, tally, own);
        const all = [...own.outputs.values()].flatMap(({ data }) => [...data]);
        expect(all.some((value) => Math.abs(value) > 0.01)).toBe(true);
      });

  it("turns by position times frequencies as `rope` does by theta", () => {
    const turned = (text: string): string => `model M() {
  forward(x: f32[B, T <= 64, 2, 8]) -> f32[B, T, 2, 8] { ${text} }
}`;
    const angles = "f32(position(x))[..., None] * tensor([for i in 0..4: 100 ^ (-i)])";
    const x = randomInput([2, 9, 2, 8], 4);
    const [one, other] = [`rope(x, angles: ${angles})`, "rope(x, 100000000.0)"].map(
      (text) => reference(compiled(turned(text)).graph, new Map(), { inputs: { x } }).outputs.get("output")!.data,
    );
    one!.forEach((value, i) => expect(Math.abs(value - other![i]!)).toBeLessThan(1e-9));
  });
});
