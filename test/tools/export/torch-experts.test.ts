// Mixtures of experts in PyTorch: random ones, and each kind of expert by each choice, exported and held against the
// reference. Skipped, and saying so, where Python has no torch.
// @module-tag long
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Model } from "../../../src/language/check/model/model.js";
import {
  randomInput,
  randomLengths,
  randomTokens,
  randomWeights,
  type Case,
  type Filled,
} from "../../end-to-end/model.js";
import { hasTorch, torchNote } from "../../pytorch.js";
import { random } from "../../random.js";
import * as drawn from "../../semantics/experts/drawn.js";
import { randomSpec, sourceOf } from "../../semantics/experts/programs.js";
import { CHOICES, decoder, EXPERTS, mixture } from "../../semantics/experts/sources.js";
import { byTurns, patience, seedOf, soaking } from "../../soak.js";
import { given, SEVERAL } from "./expert-sources.js";
import { hold, nothingHeld } from "./held.js";
import { exported } from "./versions.js";

const root = mkdtempSync(join(tmpdir(), "modc-torch-experts-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Program {
  readonly name: string;
  readonly source: string;
  /** The batch and its tokens. */
  readonly shape: readonly [B: number, T: number];
  readonly seed: number;
  /** Whether the first two experts have equal scores, by equal rows of whole numbers in the router. */
  readonly ties?: boolean;
  /** What scores are that the program is given. */
  readonly scores?: (token: number, entry: number, random: number) => number;
}

const SHAPES = [
  [3, 6],
  [1, 9],
  [7, 1],
  [2, 11],
  [1, 1],
] as const;

const shapeOf = (i: number): readonly [number, number] => SHAPES[i % SHAPES.length]!;
const seed = seedOf(40);

/** Gives the objective a separate input, because an export needs one; such an objective calls `forward` once. */
const withTarget = (source: string): string =>
  source
    .replace("y = forward(x); ", "")
    .replace(/objective\((x: f32\[B, T <= \d+, dim\])\)/, "objective($1, target: f32[B, T, dim])")
    .replace(/loss square = .*? }/, `y = forward(x)\n    loss square = mean(y ^ 2 + y * target) }`);
const kinds = Object.keys(EXPERTS) as (keyof typeof EXPERTS)[]; // the keys of constant tables
const choices = Object.keys(CHOICES) as (keyof typeof CHOICES)[];
const isCausal = (choice: keyof typeof CHOICES): boolean => choice !== "expert" && choice !== "capacity";

/** Random programs of an account in plain loops. */
const accounts = Array.from({ length: soaking ? 120 : 2 }, (_, i): Program => {
  const spec = randomSpec(random(seed + i + 1));
  const ties = i % 3 === 0 && spec.chooses !== "experts";
  return { name: `account ${seed + i}`, source: withTarget(sourceOf(spec)), shape: shapeOf(i), seed: seed + i, ties };
});

/** Random mixtures of the library's blocks, with states. */
const mixtures = Array.from({ length: soaking ? 120 : 2 }, (_, i): Program => {
  const one = drawn.drawn(seed + i);
  return { name: `drawn ${seed + i}`, source: drawn.sourceOf(one), shape: [one.B, one.T], seed: seed + i };
});

const pairs = kinds.flatMap((experts) => choices.map((choice) => ({ experts, choice })));
const calls = pairs.flatMap(({ experts, choice }, i): readonly Program[] => {
  const [n, k] = [i % 3 === 0 ? 5 : 4, 1 + (i % 3)];
  const of = { experts, choice, n, k, loop: false };
  const more = { shape: shapeOf(i % 4), seed: seed + i };
  return [
    { name: `${experts}, ${choice}`, source: withTarget(mixture(of)), ...more },
    ...(isCausal(choice)
      ? [{ name: `decoder of ${experts}, ${choice}`, source: decoder(of), ...more, shape: [2, 11] as const }]
      : []),
  ];
});

const several = Object.entries(SEVERAL).map(([name, source], i): Program => ({
  name,
  source,
  shape: shapeOf(3 * i),
  seed: seed + i,
}));

const SCORES: Readonly<Record<string, NonNullable<Program["scores"]>>> = {
  "equal scores": (_t, _e, r) => Math.round(r),
  "scores that are all equal": () => 1,
  "NaN of one expert": (_t, e, r) => (e === 0 ? NaN : Math.round(r)),
  "NaN here and there": (t, e, r) => ((5 * t + 7 * e) % 3 === 0 ? NaN : Math.round(2 * r)),
  "NaN of some tokens": (t, _e, r) => (t % 4 === 1 ? NaN : r),
  "NaN everywhere": () => NaN,
};
const scored = ["SwiGLU(dim, 6)", "Attention(dim, 2)"].flatMap((kind) =>
  Object.entries(SCORES).map(([name, scores], i): Program => ({
    name: `${name}, ${kind}`,
    source: given(kind),
    shape: i % 2 === 0 ? [3, 6] : [2, 11],
    seed: seed + i,
    scores,
  })),
);

function inputsOf({ shape: [B, T], seed: own, ties, scores }: Program, model: Model): Case["inputs"] {
  return Object.fromEntries(
    model.inputs.map(({ name, type }, i) => {
      const shape = type.shape.map((size, dim) => (typeof size === "number" ? size : dim === 0 ? B : T));
      if (type.dtype !== "f32") return [name, randomTokens(shape, 11, own + i)];
      const input = randomInput(shape, own + i);
      if (name === "s" && scores) {
        const E = shape[2]!;
        return [name, { shape, data: input.data.map((v, at) => scores(Math.floor(at / E) % T, at % E, v)) }];
      }
      return [name, ties ? { shape, data: input.data.map(Math.round) } : input];
    }),
  );
}

function weightsOf({ seed: own, ties }: Program, model: Model): Map<string, Filled> {
  const weights = randomWeights(model, own, 2);
  const router = ties ? weights.get("moe.router.weight") : undefined;
  if (router && router.shape[0]! > 1) {
    router.data.set(router.data.map(Math.round));
    router.data.copyWithin(router.shape[1]!, 0, router.shape[1]);
  }
  return weights;
}

const held = nothingHeld();

describe.skipIf(!hasTorch)(`mixtures in PyTorch${torchNote}`, { timeout: patience(60_000) }, () => {
  const all = [...accounts, ...mixtures, ...byTurns(calls, 18, 4), ...byTurns(several, 6), ...byTurns(scored, 12)];
  it.each(all)("$name has the results, gradients, states, choices and steps of the reference", async (program) => {
    const made = exported(program.source, { alone: !soaking || program.seed % 4 !== 0 });
    const weights = weightsOf(program, made.models[0]);
    const [B, T] = program.shape;
    const lengths = [null, Array.from(randomLengths(B, T, program.seed))];
    const inputs = (model: Model): Case["inputs"] => inputsOf(program, model);
    await hold(root, { source: program.source, made, weights, inputs, lengths, turn: program.seed }, held);
  });

  it("were compared, with few choices too near to tell", () => {
    const told = JSON.stringify({ programs: all.length, ...held });
    expect(held.near, told).toBeLessThan(0.05 * held.compared);
    for (const what of ["choices", "routes", "states", "steps"] as const) expect(held[what], told).toBeGreaterThan(0);
  });
});
