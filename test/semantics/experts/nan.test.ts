// Scores that are no numbers: choices among experts rank them last, the lower index or the earlier token first, on both
// devices as in the reference; a NaN only spoils its own token's row.
import { describe, expect, it } from "vitest";
import { testDevice, type TestDevice } from "../../device.js";
import {
  compiled,
  onDevice,
  randomInput,
  randomWeights,
  reference,
  sessionOf,
  type Case,
  type Compiled,
  type Weights,
} from "../../end-to-end/model.js";
import { soaking } from "../../soak.js";
import { expectAgreement, type Tally } from "../../end-to-end/agree.js";

const [B, T, D, E] = [2, 9, 8, 3];
const FORMS = {
  "tokens choose": `
    best = top(s, 2, axis: -1)
    observe best
    sum(experts[best](x), axis: -2) * 2 + sum(experts[best](x) * take(softmax(s), best)[..., None], axis: -2)`,
  "tokens above a threshold, and experts choose": `
    over  = above(s, 0.0)
    asked = top(s, 3, axis: 1)
    observe over
    observe asked
    sum(experts[over](x), axis: -2) + sum(experts[asked](x), axis: -2)`,
};
type Form = keyof typeof FORMS;
const sourceOf = (form: Form): string => `
import { SwiGLU } from "std"
model M() {
  experts: [for e in 0..${E}: SwiGLU(${D}, 8)]
  forward(x: f32[B, T <= 64, ${D}], s: f32[B, T, ${E}]) -> f32[B, T, ${D}] {${FORMS[form]}
  }
}`;

const NAN: readonly (readonly [name: string, at: (token: number, e: number) => boolean])[] = [
  ["of one expert", (_, e) => e === 0],
  ["of all experts but the last", (_, e) => e < E - 1],
  ["of all experts at some tokens", (t) => t % 4 === 1],
  ["here and there", (t, e) => (t * 5 + e * 7) % 3 === 0],
  ["everywhere", () => true],
];
const scores = randomInput([B, T, E], 2);
const given: readonly Case[] = NAN.map(([, at]) => ({
  inputs: {
    x: randomInput([B, T, D], 1),
    s: {
      shape: scores.shape,
      data: scores.data.map((v, i) => (at(Math.floor(i / E) % T, i % E) ? NaN : v)),
    },
  },
  lengths: Uint32Array.of(T, 6),
}));

const made = (form: Form): Compiled => compiled(sourceOf(form));
const weightsOf = ({ program }: Compiled): Weights => randomWeights(program, 4);

// SwiftShader compiles slowly: in the short run it has the form whose kernels look at entries.
describe.each([
  ["tokens choose", "default"],
  ["tokens choose", "swiftshader"],
  ["tokens above a threshold, and experts choose", "default"],
  ...(soaking ? ([["tokens above a threshold, and experts choose", "swiftshader"]] as const) : []),
] as const satisfies readonly (readonly [Form, TestDevice])[])("NaN among scores, %s, %s", (form, which) => {
  it("chooses and computes as the reference does", { tags: "long" }, async () => {
    const own = made(form);
    const weights = weightsOf(own);
    const session = await sessionOf(own.program, await testDevice(which), weights, { B, T });
    const tally: Tally = { choices: 0, forced: 0 };
    for (const one of given)
      expectAgreement(own.graph, weights, one, await onDevice(session, one), { atol: 1e-5, rtol: 1e-5 }, tally);
    expect(tally.forced).toBe(0);
    session.dispose();
  });
});

describe("NaN among scores", () => {
  const chosen = made("tokens choose");
  const others = made("tokens above a threshold, and experts choose");
  const resultsOf = (own: Compiled, one: Case) => reference(own.graph, weightsOf(own), one).outputs;

  it("ranks last: the lower index of an expert and the earlier token come first, and no threshold is below it", () => {
    const best = (i: number): readonly number[] =>
      Array.from(
        resultsOf(chosen, given[i]!)
          .get("best.index")!
          .data.subarray(0, 2 * T),
      );
    expect(best(0)).toEqual(Array.from({ length: T }, () => [1, 2]).flat());
    expect(best(1)).toEqual(Array.from({ length: T }, () => [0, 2]).flat());
    expect(best(4)).toEqual(Array.from({ length: T }, () => [0, 1]).flat());
    const { data: over } = resultsOf(others, given[4]!).get("over.count")!;
    expect([...over].every((n) => n === 0)).toBe(true);
    const { data: asked } = resultsOf(others, given[4]!).get("asked.count")!;
    expect(Array.from(asked.subarray(0, T))).toEqual([3, 3, 3, 0, 0, 0, 0, 0, 0]);
  });

  it("spoils the gates of its own token, and no other row", () => {
    const [, , some] = given;
    const finite = resultsOf(chosen, { ...some!, inputs: { ...some!.inputs, s: scores } }).get("output")!.data;
    resultsOf(chosen, some!)
      .get("output")!
      .data.forEach((v, i) => {
        const t = Math.floor(i / D) % T;
        if (t % 4 !== 1 || (i >= T * D && t >= 6)) expect(v).toBe(finite[i]);
        else expect(v).toBeNaN();
      });
  });
});
