// The models whose training steps are measured, with their weights and batches: seeded, and the same for every peer.
import { readFileSync } from "node:fs";
import { compile } from "../../src/compiler/compile.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import type { Sent } from "../protocol.js";
import { random } from "../random.js";
import { TRAINERS, type Settings, type TrainBatch, type TrainData, type TrainerName } from "./protocol.js";

export interface TrainCase {
  readonly id: string;
  readonly title: string;
  /** Of bench/models. */
  readonly model: "decoder" | "layer";
  readonly routed: boolean;
  readonly B: number;
  readonly T: number;
  readonly dim: number;
  readonly heads: number;
  readonly depth: number;
  readonly trainers: readonly TrainerName[];
}

export const SETTINGS: Settings = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1, clip: 1 };

const VOCAB = 256;
/** Share of the tokens that a routed layer computes: one in so many. */
const ONE_IN = 8;
/** So many different batches, taken in turn. */
const BATCHES = 4;

const decoder = (routed: boolean): TrainCase => ({
  id: routed ? "train-mod" : "train-dense",
  title: routed ? "decoder, MoD 12.5% every second layer" : "decoder, dense",
  model: "decoder",
  routed,
  B: 4,
  T: 256,
  dim: 256,
  heads: 4,
  depth: 4,
  trainers: TRAINERS,
});

/**
 * By one sequence a step what does not depend on tokens, AdamW above all, weighs most; four are nearer to how one
 * trains.
 */
const layer = (routed: boolean, B: 1 | 4): TrainCase => ({
  id: `train-layer-${routed ? "mod" : "dense"}${B === 1 ? "" : `-${B}`}`,
  title: `one ${routed ? "MoD" : "dense"} layer, B = ${B}, T = 1024`,
  model: "layer",
  routed,
  B,
  T: 1024,
  dim: 512,
  heads: 8,
  depth: 1,
  trainers: ["modc"],
});

export const trainCases: readonly TrainCase[] = [
  decoder(false),
  decoder(true),
  layer(false, 1),
  layer(true, 1),
  layer(false, 4),
  layer(true, 4),
];

/** Draws weights and batches. */
export function prepareTraining({ id, model: name, routed, B, T, dim, heads, depth }: TrainCase): TrainData {
  const source = readFileSync(new URL(`../models/${name}.mod`, import.meta.url), "utf8");
  const set = { dim, heads, context: T, routed, vocab: VOCAB, ...(name === "decoder" ? { depth } : {}) };
  const { model, diagnostics, sources } = compile(source, { file: `${name}.mod`, phase: "train", set });
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return {
    id,
    B,
    T,
    dim,
    heads,
    depth,
    vocab: VOCAB,
    k: routed ? Math.ceil(T / ONE_IN) : null,
    source,
    set: Object.fromEntries(Object.entries(set).map(([parameter, value]) => [parameter, String(value)])),
    settings: SETTINGS,
    weights: drawWeights(model.weights),
    batches: drawBatches(B, T),
  };
}

/**
 * Matrices of deviation 1/√n with n their last axis, gains around 1 and biases around 0, so that every weight has a
 * gradient that matters.
 */
function drawWeights(
  declared: readonly { readonly path: string; readonly shape: readonly number[] }[],
): TrainData["weights"] {
  const rng = random(1);
  return declared.map(({ path, shape }): readonly [string, Sent] => {
    const scale = 1 / Math.sqrt(shape.at(-1) ?? 1);
    const centre = path.endsWith("norm.weight") ? 1 : 0;
    const value = shape.length < 2 ? () => centre + 0.1 * rng.normal() : () => rng.normal() * scale;
    return [path, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) }];
  });
}

/** Random bytes with unequal frequencies, as in text. */
function drawBatches(B: number, T: number): readonly TrainBatch[] {
  const rng = random(2);
  const byte = (): number => Math.min(VOCAB - 1, Math.floor(Math.abs(rng.normal()) * 40));
  return Array.from({ length: BATCHES }, () => {
    const rows = Array.from({ length: B }, () => Uint32Array.from({ length: T + 1 }, byte));
    const cut = (from: number): Uint32Array =>
      Uint32Array.from(rows.flatMap((row) => Array.from(row.subarray(from, from + T))));
    return { tokens: cut(0), targets: cut(1) };
  });
}
