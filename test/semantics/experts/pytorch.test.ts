// Random mixtures of experts against PyTorch: results, losses, gradients and states after a step, in the reference and
// on the device. Mistakes that implementations make are planted in PyTorch's account, and must show. Skipped, and
// saying so, where Python has no torch.
// @module-tag long
import { beforeAll, describe, expect, it } from "vitest";
import { expectClose } from "../../close.js";
import { testDevice } from "../../device.js";
import { compiled, onDevice, randomInput, randomWeights, reference, sessionOf } from "../../end-to-end/model.js";
import { askTorch, hasTorch, torchNote } from "../../pytorch.js";
import { soaking } from "../../soak.js";
import { BASE, drawn, sourceOf, USUAL, type Case } from "./drawn.js";

const SCRIPT = new URL("pytorch.py", import.meta.url);

interface Answer {
  readonly output: readonly number[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, readonly number[]>>;
  readonly states: Readonly<Record<string, readonly number[]>>;
}

function prepared(c: Case, seed: number) {
  const made = compiled(sourceOf(c), { phase: "train", gradients: true });
  const weights = randomWeights(made.program, seed, 2);
  const inputs = { x: randomInput([c.B, c.T, c.dim], seed + 1), target: randomInput([c.B, c.T, c.dim], seed + 2) };
  const sent = (v: { readonly shape: readonly number[]; readonly data: ArrayLike<number> }) => ({
    shape: v.shape,
    data: Array.from(v.data),
  });
  const text = (wrong: string | null): unknown => ({
    ...c,
    wrong,
    x: sent(inputs.x),
    target: sent(inputs.target),
    weights: Object.fromEntries([...weights].map(([path, w]) => [path, sent(w)])),
  });
  return { ...made, weights, given: { inputs }, text };
}

const largestOf = (values: readonly number[]): number => values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);

/**
 * Within a share of the largest number of a tensor. `floor`: the largest value of other tensors, if this tensor may be
 * a difference between such values: the gradient of a router whose gates always add up to 1 is 0 because terms as large
 * as other gradients cancel.
 */
function expectLike(
  found: ArrayLike<number>,
  expected: readonly number[],
  tolerance: number,
  name: string,
  floor = 0,
): void {
  expectClose(found, expected, () => tolerance * Math.max(largestOf(expected), floor), name);
}

type Outputs = ReadonlyMap<string, { readonly data: ArrayLike<number> }>;

function expectAnswer(outputs: Outputs, answer: Answer, tolerance: number): void {
  const of = (name: string): ArrayLike<number> => {
    const found = outputs.get(name);
    if (!found) throw new Error(`${name} is none of ${[...outputs.keys()].join(", ")}`);
    return found.data;
  };
  expectLike(of("y"), answer.output, tolerance, "y");
  expectLike(of("loss"), [answer.loss], tolerance, "loss");
  for (const [path, values] of Object.entries(answer.states)) expectLike(of(`state.${path}`), values, 1e-6, path);
  const floor = 0.1 * largestOf(Object.values(answer.gradients).map(largestOf));
  for (const [path, values] of Object.entries(answer.gradients))
    if (!(path in answer.states)) expectLike(of(`grad.${path}`), values, tolerance, `grad.${path}`, floor);
}

const MISTAKES: readonly (readonly [string, Partial<Case>])[] = [
  ["softmax over all", { options: { ...USUAL, gate: "chosen" } }],
  ["gates not renormalised", { options: { ...USUAL, renormalize: true } }],
  ["a bias reaches the gate", { options: { ...USUAL, gate: "sigmoid", loss_free: true } }],
  ["gates before the experts", {}],
  ["the last token dropped", {}],
  ["positions compacted", { experts: ["attention", "attention", "attention"], k: 1 }],
  ["the first tokens dropped", { kind: "capacity", room: 2 }],
];

const CASES = Array.from({ length: soaking ? 300 : 24 }, (_, i) => drawn(1000 + i));

/** Sums in another order; the device's in 32 bits. */
const [REFERENCE, DEVICE] = [1e-9, 1e-4];

// Importing torch alone may take long.
describe.skipIf(!hasTorch)(`mixtures in PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  const cases = [...CASES, ...MISTAKES.map(([, c]) => ({ ...BASE, ...c }))].map((c, i) => prepared(c, 3 * i + 1));
  let right: Promise<readonly Answer[]>;
  let wrong: Promise<readonly Answer[]>;
  beforeAll(() => {
    right = askTorch(
      SCRIPT,
      cases.map((c) => c.text(null)),
    );
    wrong = askTorch(
      SCRIPT,
      MISTAKES.map(([mistake], i) => cases[CASES.length + i]!.text(mistake)),
    );
  });

  it.each(cases.map((_, i) => i))("case %i", async (i) => {
    const { graph, program, weights, given } = cases[i]!;
    const { outputs } = reference(graph, weights, given);
    const answer = (await right)[i]!;
    expectAnswer(outputs, answer, REFERENCE);
    const session = await sessionOf(program, await testDevice(), weights, { B: 7, T: 16 });
    try {
      expectAnswer(new Map(Object.entries(await onDevice(session, given))), answer, DEVICE);
    } finally {
      session.dispose();
    }
  });

  it("differs where a mistake is planted", async () => {
    const answers = await right;
    (await wrong).forEach(({ output }, i) => {
      const { output: expected } = answers[CASES.length + i]!;
      const far = Math.max(...output.map((v, n) => Math.abs(v - expected[n]!)));
      expect(far, MISTAKES[i]![0]).toBeGreaterThan(1e-3);
    });
  });
});
