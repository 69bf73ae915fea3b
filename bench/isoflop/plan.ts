// Plans the experiment's models and their numbers of steps: models of equal size cost the same number of operations.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { trainStep } from "../../src/compiler/autodiff/train-step.js";
import { check } from "../../src/language/check/check.js";
import type { Model, Phase } from "../../src/language/check/model/model.js";
import { ledger, type Ledger } from "../../src/compiler/cost/ledger.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import type { Graph } from "../../src/compiler/ir/graph.js";
import { lower } from "../../src/compiler/lower/lower.js";
import { optimize } from "../../src/compiler/passes/index.js";

export type VariantName = "a" | "b" | "c" | "d" | "e" | "f" | "g";

export interface Variant {
  readonly name: VariantName;
  readonly title: string;
  /** The file's name in `bench/models`, without its ending. */
  readonly model: "isoflop" | "isoflop-experts";
  /** The model's parameters, as expressions in modc's language. */
  readonly set: Readonly<Record<string, string>>;
  /** How many entries of a mixture, the last, are experts that do nothing. */
  readonly noOps?: number;
}

export interface Size {
  /** Millions of parameters of the dense model beside the embedding, about. */
  readonly name: string;
  readonly set: Readonly<Record<string, string>>;
}

const SMALL: Size = { name: "0.2", set: { dim: "48" } };
const LARGE: Size = { name: "0.4", set: { dim: "64" } };

const DENSE: Variant = { name: "a", title: "dense", model: "isoflop", set: { routing: '"none"' } };

/**
 * No-ops among the entries, next to 8 experts. With equal loads, 43% of all choices are no-ops; (f) skips 44% of all
 * networks.
 */
const NO_OPS = 6;

export type ComparisonName = "depths" | "experts";

/** What is compared at equal operations: every variant at every size. The dense model is among them. */
export interface Comparison {
  readonly name: ComparisonName;
  readonly variants: readonly Variant[];
  readonly sizes: readonly Size[];
}

export const COMPARISONS: readonly Comparison[] = [
  {
    name: "depths",
    variants: [
      DENSE,
      {
        name: "b",
        title: "MoD 12.5%, every second layer",
        model: "isoflop",
        set: { routing: '"learned"', capacity: "12.5%" },
      },
      {
        name: "c",
        title: "MoD 50%, every second layer",
        model: "isoflop",
        set: { routing: '"learned"', capacity: "50%" },
      },
      {
        name: "d",
        title: "as b, tokens chosen at random",
        model: "isoflop",
        set: { routing: '"random"', capacity: "12.5%" },
      },
    ],
    sizes: [SMALL, LARGE],
  },
  {
    name: "experts",
    variants: [
      DENSE,
      { name: "e", title: "MoE, 1 of 8 experts", model: "isoflop-experts", set: {} },
      {
        name: "f",
        title: "staged MoDE: e, every second layer routed, 12.5%",
        model: "isoflop-experts",
        set: { staged: "true", capacity: "12.5%" },
      },
      {
        name: "g",
        title: "integrated MoDE: e and 6 no-op experts",
        model: "isoflop-experts",
        set: { idle: String(NO_OPS) },
        noOps: NO_OPS,
      },
    ],
    sizes: [SMALL],
  },
];

export const SEEDS = [1, 2] as const;

/** Sequences of a step, and their tokens. */
export const BATCH = 8;
export const CONTEXT = 256;

/** A model's costs, by size and variant. */
export interface Costs {
  readonly variant: Variant;
  readonly size: Size;
  /** Beside the embedding. */
  readonly parameters: number;
  /** `parameters`, each counted by the share of tokens that read it. */
  readonly active: number;
  /** Floating-point operations of a training step: forward, backward and optimiser, predictors included. */
  readonly step: number;
  /** Operations of a forward pass of one sequence, under top-k and under the causal rule. */
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
  const sizes = new Set(COMPARISONS.flatMap((c) => c.sizes));
  return [...sizes].flatMap((size) => {
    const variants = new Set(COMPARISONS.flatMap((c) => (c.sizes.includes(size) ? c.variants : [])));
    const costs = [...variants].map((variant) => costsOf(variant, size));
    const dense = costs.find((c) => c.variant === DENSE)!;
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

/** Those of the runs whose variant and size a comparison has. */
export const runsOf = <R extends PlannedRun>({ variants, sizes }: Comparison, runs: readonly R[]): readonly R[] =>
  runs.filter(
    ({ variant, size }) => variants.some((v) => v.name === variant.name) && sizes.some((s) => s.name === size.name),
  );

/** The text of a variant's model. */
export const modelUrl = ({ model }: Variant): URL => new URL(`../models/${model}.mod`, import.meta.url);

function costsOf(variant: Variant, size: Size): Costs {
  const set = { ...variant.set, ...size.set, context: String(CONTEXT) };
  const checked = (phase: Phase): Model => modelFor(phase, modelUrl(variant), set);
  const costs = (graph: Graph, model: Model, B: number): Ledger =>
    ledger(optimize(graph), model, { extents: new Map(Object.entries({ B, T: CONTEXT })) });
  const [train, infer, generate] = [checked("train"), checked("infer"), checked("generate")];
  const adamw = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
  const step = trainStep(lower(train), train.weights, { optimizer: adamw, clip: 1, accumulated: false });
  const forward = costs(lower(infer), infer, 1);
  return {
    variant,
    size,
    parameters: train.weights.reduce(
      (sum, w) => (w.path === "embed.table" ? sum : sum + w.shape.reduce((a, b) => a * b, 1)),
      0,
    ),
    active: forward.active.total - forward.active.tables,
    step: costs(step.graph, train, BATCH).total.executed.flops,
    forward: {
      "top-k": forward.total.executed.flops,
      causal: costs(lower(generate), generate, 1).total.executed.flops,
    },
  };
}

function modelFor(phase: Phase, text: URL, set: Readonly<Record<string, string>>): Model {
  const entry = phase === "train" ? "objective" : "forward";
  const { model, diagnostics, sources } = check(
    { file: basename(text.pathname), text: readFileSync(text, "utf8") },
    { phase, entry, set, read: () => null },
  );
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return model;
}
