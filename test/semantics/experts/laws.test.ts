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
import { optimized } from "../../optimized.js";
import { expectGenerated } from "../../compiler/ops/generated-whole.js";
import { soaking } from "../../soak.js";
import { CHOICES, decoder, EXPERTS, mixture, type Mixture } from "./sources.js";

const D = 8;
const LAYER = { atol: 1e-5, rtol: 1e-5 };
const kinds = Object.keys(EXPERTS) as (keyof typeof EXPERTS)[]; // the keys of constant tables
const choices = Object.keys(CHOICES) as (keyof typeof CHOICES)[];

const shapes: readonly (readonly [n: number, k: number, B: number, T: number])[] = [
  [4, 2, 3, 11],
  [1, 1, 2, 5],
  [5, 1, 7, 1],
  [3, 3, 1, 7],
  [9, 4, 2, 3],
];

/** Every kind of expert by k of them, and every choice of the plain kind. */
const pairs: readonly Pick<Mixture, "experts" | "choice">[] = [
  ...kinds.map((experts) => ({ experts, choice: "fixed" }) as const),
  ...choices.flatMap((choice) => (choice === "fixed" ? [] : [{ experts: "swiglu", choice } as const])),
  { experts: "attention", choice: "above" },
  { experts: "routed", choice: "expert" },
];
const named = ({ experts, choice }: (typeof pairs)[number]): string => `${experts}, ${choice}`;

describe("a list of blocks indexed by a choice", () => {
  for (const [i, pair] of pairs.entries())
    for (const [n, k, B, T] of i === 0 ? shapes : shapes.slice(0, 3)) {
      const given = { inputs: { x: randomInput([B, T, D], n + k) }, lengths: randomLengths(B, T, 3) };
      const of = (loop: boolean): Mixture => ({ ...pair, n, k, loop });

      it(`is the loop over its blocks: ${named(pair)}, ${k} of ${n}, ${B} × ${T}`, () => {
        const [own, loop] = [optimized(mixture(of(false))), optimized(mixture(of(true)))];
        const weights = randomWeights(own.model, 7);
        const [a, b] = [own, loop].map(({ graph }) => reference(graph, weights, given).outputs.get("output")!.data);
        const { ratio, text } = furthest(a!, b!, 1e-12, 1e-12);
        expect(ratio, text).toBeLessThan(1);
      });

      it(`has the gradients of the loop: ${named(pair)}, ${k} of ${n}, ${B} × ${T}`, () => {
        const train = { phase: "train", gradients: true } as const;
        const [own, loop] = [optimized(mixture(of(false)), train), optimized(mixture(of(true)), train)];
        const weights = randomWeights(own.model, 7);
        const [a, b] = [own, loop].map(({ graph }) => reference(graph, weights, given).outputs);
        expect([...a!.keys()].sort()).toEqual([...b!.keys()].sort());
        let moving = 0;
        for (const [name, { data }] of a!) {
          const { ratio, text } = furthest(data, b!.get(name)!.data, 1e-10, 1e-10);
          expect(ratio, `${name} ${text}`).toBeLessThan(1);
          expect(data.every(Number.isFinite), name).toBe(true);
          if (name.startsWith("grad.") && data.some((v) => v !== 0)) moving++;
        }
        expect(moving).toBeGreaterThan(n === 1 ? 0 : 1);
      });
    }

  // In the short run each kind takes one shape, by turns.
  it.each(pairs.map((pair, i) => ({ ...pair, i })))(
    "on the device is what it is in the reference: $experts, $choice",
    async ({ i, ...pair }) => {
      for (const [n, k, B, T] of soaking ? shapes : [shapes[(3 * i) % shapes.length]!]) {
        const { program, graph } = compiled(mixture({ ...pair, n, k, loop: false }));
        const weights = randomWeights(program, 7);
        const session = await sessionOf(program, await testDevice(), weights, { B: 2, T: 16 });
        const given = { inputs: { x: randomInput([B, T, D], n + k) }, lengths: randomLengths(B, T, 3) };
        const tally: Tally = { choices: 0, forced: 0 };
        expectAgreement(graph, weights, given, await onDevice(session, given), LAYER, tally);
        session.dispose();
      }
    },
  );

  const causal = pairs.filter(({ choice }) => choice !== "expert" && choice !== "capacity");
  it.each(causal.filter((_, i) => soaking || i % 2 === 0))(
    "continues sequences as one pass over them does: $experts, $choice",
    { tags: "long" },
    async (pair) => {
      await expectGenerated(decoder({ ...pair, n: 4, k: 2, loop: false }), await testDevice(), [[1, 2, 3], [4]]);
    },
  );
});
