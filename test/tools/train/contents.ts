// A small model's training state that follows from its step alone, for tests of checkpoints.
import type { ProgramWeight } from "../../../src/runtime/program/program.js";
import type { CheckpointContents } from "../../../src/tools/train/checkpoint-node.js";
import type { StateTensor } from "../../../src/tools/train/types.js";

const weight = (
  path: string,
  shape: readonly number[],
  keys: readonly string[],
  dtype: "f32" | "f16" = "f32",
): ProgramWeight => ({
  path,
  dtype,
  shape,
  init: { kind: "zeros" },
  keys,
  slots: [],
});

export const WEIGHTS: readonly ProgramWeight[] = [
  weight("embed.table", [64, 32], ["model.embed.weight", "lm_head.weight"]),
  weight("layers.0.q.weight", [32, 32], ["layers.0.q.weight"], "f16"),
  weight("never.read", [3], ["never.read"]),
];
export const MODEL = { weights: WEIGHTS, ignore: [] };

/** The numbers of a tensor at a step. */
export function numbers(name: string, elements: number, step: number): Float32Array {
  let x = Buffer.from(name).reduce((h, byte) => (Math.imul(h, 31) + byte) >>> 0, step + 1);
  return Float32Array.from({ length: elements }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32 - 0.5;
  });
}

export function stateAt(step: number): Map<string, StateTensor> {
  const state = new Map<string, StateTensor>();
  for (const { path, shape } of WEIGHTS.slice(0, 2)) {
    const elements = shape.reduce((n, d) => n * d, 1);
    for (const name of [path, `adamw.first.${path}`, `adamw.second.${path}`])
      state.set(name, { dtype: "f32", shape, data: numbers(name, elements, step) });
  }
  return state.set("adamw.step", { dtype: "u32", shape: [], data: Uint32Array.of(step) });
}

export const contentsAt = (step: number): CheckpointContents => ({
  step,
  model: "Small",
  parameters: { dim: "32", capacity: "12.5%" },
  sources: [
    { path: "small.mod", text: "model Small() {}\n" },
    { path: "./lib/é.mod", text: "// ünder\n" },
  ],
  settings: { optimizer: "adamw", "learning rate": 0.001, seed: 7, recompute: null, clip: false },
  machine: { device: "none", tunings: "0" },
  data: { digest: "ab".repeat(32), position: { epoch: 1, window: 3 * step } },
  begun: { data: "@some/package", tokenizer: null, field: "body", set: { dim: "16 * 2" }, records: null },
  tunings: `{ "step": ${step} }\n`,
  validation: 1 / step,
  unimproved: 0,
  memory: 4096,
  live: { capacity: 0.125 },
  weights: WEIGHTS,
  base: null,
  state: stateAt(step),
  unusedValues: () => Float32Array.of(1, 2, 3),
});
