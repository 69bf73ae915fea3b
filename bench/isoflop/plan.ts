// Which models the experiment trains, and for how many steps: all of one size cost as many operations as its dense
// model.
import { readFileSync } from "node:fs";
import { trainStep } from "../../src/autodiff/train-step.js";
import { check } from "../../src/check/check.js";
import type { Model, Phase } from "../../src/check/model.js";
import { ledger } from "../../src/cost/ledger.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import type { Graph } from "../../src/ir/graph.js";
import { lower } from "../../src/lower/lower.js";
import { optimize } from "../../src/passes/index.js";

export const MODEL = new URL("../models/isoflop.mod", import.meta.url);

export type VariantName = "a" | "b" | "c" | "d";

export interface Variant {
  readonly name: VariantName;
  readonly title: string;
  /** Parameters of the model, as expressions of the language. */
  readonly set: Readonly<Record<string, string>>;
}

export const VARIANTS: readonly Variant[] = [
  { name: "a", title: "dense", set: { routing: '"none"' } },
  { name: "b", title: "MoD 12.5%, every second layer", set: { routing: '"learned"', capacity: "12.5%" } },
  { name: "c", title: "MoD 50%, every second layer", set: { routing: '"learned"', capacity: "50%" } },
  { name: "d", title: "as b, tokens chosen at random", set: { routing: '"random"', capacity: "12.5%" } },
];

export interface Size {
  /** Millions of parameters beside the embedding, about. */
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
}

export const SIZES: readonly Size[] = [
  { name: "0.2", set: { dim: "48" } },
  { name: "0.4", set: { dim: "64" } },
];

export const SEEDS = [1, 2] as const;

/** Sequences of a step, and their tokens. */
export const BATCH = 8;
export const CONTEXT = 256;

/** What a model of one size and variant costs. */
export interface Costs {
  readonly variant: Variant;
  readonly size: Size;
  /** Beside the embedding. */
  readonly parameters: number;
  /** Floating-point operations of a training step: forward, backward and optimiser, predictors included. */
  readonly step: number;
  /** Of a forward pass of one sequence: under top-k, and under the causal rule. */
  readonly forward: { readonly "top-k": number; readonly causal: number };
}

export interface PlannedRun extends Costs {
  /** `a-0.2-1`: variant, size, seed. */
  readonly id: string;
  readonly seed: number;
  readonly steps: number;
}

/** All runs; the dense model of each size sees so many tokens for each parameter beside the embedding. */
export function planRuns(tokensPerParameter: number): readonly PlannedRun[] {
  return SIZES.flatMap((size) => {
    const costs = VARIANTS.map((variant) => costsOf(variant, size));
    const dense = costs.find((c) => c.variant.name === "a")!;
    const budget = dense.step * Math.max(1, Math.round((tokensPerParameter * dense.parameters) / (BATCH * CONTEXT)));
    return costs.flatMap((c) =>
      SEEDS.map((seed): PlannedRun => ({
        ...c,
        id: `${c.variant.name}-${size.name}-${seed}`,
        seed,
        steps: Math.max(1, Math.round(budget / c.step)),
      })),
    );
  });
}

const source = readFileSync(MODEL, "utf8");

function costsOf(variant: Variant, size: Size): Costs {
  const set = { ...variant.set, ...size.set, context: String(CONTEXT) };
  const train = modelFor("train", set);
  const adamw = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
  const step = trainStep(lower(train), train.weights, { optimizer: adamw, clip: 1, accumulated: false });
  const flops = (graph: Graph, model: Model, B: number): number =>
    ledger(optimize(graph), model, { extents: new Map(Object.entries({ B, T: CONTEXT })) }).total.executed.flops;
  const forward = (phase: Phase): number => {
    const model = modelFor(phase, set);
    return flops(lower(model), model, 1);
  };
  return {
    variant,
    size,
    parameters: train.weights.reduce(
      (sum, w) => (w.path === "embed.table" ? sum : sum + w.shape.reduce((a, b) => a * b, 1)),
      0,
    ),
    step: flops(step.graph, train, BATCH),
    forward: { "top-k": forward("infer"), causal: forward("generate") },
  };
}

function modelFor(phase: Phase, set: Readonly<Record<string, string>>): Model {
  const entry = phase === "train" ? "objective" : "forward";
  const { model, diagnostics, sources } = check(
    { file: "isoflop.mod", text: source },
    { phase, entry, set, read: () => null },
  );
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return model;
}
