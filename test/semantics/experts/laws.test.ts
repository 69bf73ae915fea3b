// What a list of blocks indexed by a choice means: the loop over its blocks, in the reference, in training, on the
// device, and token after token.
import { describe, expect, it } from "vitest";
import { testDevice } from "../../device.js";
import { expectAgreement, type Tally } from "../../end-to-end/agree.js";
import {
  compiled,
  furthest,
  onDevice,
  randomInput,
  randomLengths,
  randomWeights,
  reference,
  sessionOf,
} from "../../end-to-end/model.js";
import { expectGenerated } from "../../ops/generated-whole.js";
import { decoder, EXPERTS, mixture, type Mixture } from "./sources.js";

const D = 8;
const LAYER = { atol: 1e-5, rtol: 1e-5 };
const kinds = Object.keys(EXPERTS) as (keyof typeof EXPERTS)[]; // the keys of a constant table

const shapes: readonly (readonly [n: number, k: number, B: number, T: number])[] = [
  [4, 2, 3, 11],
  [3, 3, 1, 7],
  [1, 1, 2, 5],
  [5, 1, 7, 1],
  [9, 4, 2, 3],
];

describe("a list of blocks indexed by a choice", () => {
  for (const experts of kinds)
    for (const [n, k, B, T] of shapes) {
      const given = { inputs: { x: randomInput([B, T, D], n + k) }, lengths: randomLengths(B, T, 3) };
      const of = (loop: boolean): Mixture => ({ experts, n, k, loop });

      it(`is the loop over its blocks: ${experts}, ${k} of ${n}, ${B} × ${T}`, () => {
        const [own, loop] = [compiled(mixture(of(false))), compiled(mixture(of(true)))];
        const weights = randomWeights(own.program, 7);
        const [a, b] = [own, loop].map(({ graph }) => reference(graph, weights, given).outputs.get("output")!.data);
        const { ratio, text } = furthest(a!, b!, 1e-12, 1e-12);
        expect(ratio, text).toBeLessThan(1);
      });

      it(`has the gradients of the loop: ${experts}, ${k} of ${n}, ${B} × ${T}`, () => {
        const train = { phase: "train", gradients: true } as const;
        const [own, loop] = [compiled(mixture(of(false)), train), compiled(mixture(of(true)), train)];
        const weights = randomWeights(own.program, 7);
        const [a, b] = [own, loop].map(({ graph }) => reference(graph, weights, given).outputs);
        expect([...a!.keys()].sort()).toEqual([...b!.keys()].sort());
        let moving = 0;
        for (const [name, { data }] of a!) {
          const { ratio, text } = furthest(data, b!.get(name)!.data, 1e-10, 1e-10);
          expect(ratio, `${name} ${text}`).toBeLessThan(1);
          if (name.startsWith("grad.") && data.some((v) => v !== 0)) moving++;
        }
        expect(moving).toBeGreaterThan(1);
      });
    }

  it.each(kinds)("on the device is what it is in the reference: %s", async (experts) => {
    for (const [n, k, B, T] of shapes) {
      const { program, graph } = compiled(mixture({ experts, n, k, loop: false }));
      const weights = randomWeights(program, 7);
      const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
      const given = { inputs: { x: randomInput([B, T, D], n + k) }, lengths: randomLengths(B, T, 3) };
      const tally: Tally = { choices: 0, forced: 0 };
      expectAgreement(graph, weights, given, await onDevice(session, given), LAYER, tally);
      session.dispose();
    }
  });

  it.each(kinds)("continues sequences as one pass over them does: %s", async (experts) => {
    await expectGenerated(decoder({ experts, n: 4, k: 2, loop: false }), await testDevice(), [[1, 2, 3], [4]]);
  });
});
