// The text model of Llama 4: chunks, layers that do not rotate, gates on what experts read.
import type { Family } from "../description/family.js";
import type { Fields } from "../description/fields.js";
import { LLAMA_KEYS } from "../description/key-names.js";
import { layerChunks } from "../description/layers.js";
import { rotaryOf, rotationOf, type Turn } from "../description/rotary.js";
import { llama4Mixture } from "../description/stacked.js";
import { headNorms, llama } from "./llama.js";

/** For each layer whether it rotates; by default all but every n-th do. */
function turns(config: Fields, depth: number): readonly boolean[] {
  const listed = config.wholes("no_rope_layers") ?? [];
  const every = config.whole("no_rope_layer_interval") ?? 4;
  if (listed.length > 0 && listed.length !== depth)
    config.refuse("no_rope_layers", `it has ${listed.length} entries, num_hidden_layers is ${depth}`);
  return Array.from({ length: depth }, (_, i) => (listed.length > 0 ? listed[i] !== 0 : (i + 1) % every !== 0));
}

/** Whether queries of layers that do not rotate have a temperature; older configurations have a number here. */
function isTempered(config: Fields): boolean {
  const value = config.raw("attn_temperature_tuning");
  if (value === null || typeof value === "boolean") return value ?? true;
  return typeof value === "number" ? value !== 0 : config.refuse("attn_temperature_tuning", "it must be true or false");
}

export const llama4: Family = {
  ...llama,
  type: "llama4_text",
  model: "Llama4",
  architecture: "Llama4ForCausalLM",
  fields: { ...llama.fields, hidden: "intermediate_size_mlp" },
  reads: [
    "interleave_moe_layer_step moe_layers use_qk_norm no_rope_layers no_rope_layer_interval attention_chunk_size",
    "attn_temperature_tuning floor_scale attn_scale",
  ].flatMap((names) => names.split(" ")),
  positions: 4096 * 32,
  kvHeads: 8,
  headDim: 128,
  eps: 1e-5,
  theta: 500000,
  hidden: () => 16384,
  biases(config) {
    const attention = config.flag("attention_bias") ?? false;
    return { qkv: attention, o: attention, mlp: false };
  },
  headNorms: (config) =>
    (config.flag("use_qk_norm") ?? true)
      ? { ...headNorms("head", { kind: "rms", weight: "none", bias: false }), behind: true, onlyTurned: true }
      : null,
  windows(config, depth) {
    if (config.raw("sliding_window") !== null) config.refuse("sliding_window", "this family has none");
    return Array<number>(depth).fill(0);
  },
  chunks(config, depth) {
    const length = config.has("attention_chunk_size") ? config.whole("attention_chunk_size") : 8192;
    return layerChunks(config, turns(config, depth), length);
  },
  temperature: (config) =>
    isTempered(config)
      ? { floor: config.positive("floor_scale") ?? 8192, scale: config.number("attn_scale") ?? 0.1 }
      : null,
  rotation: (config, { headDim, positions, depth }, theta) =>
    rotationOf(rotaryOf(config, { headDim, positions, theta }), depth, headDim, {
      layers: turns(config, depth).map((isTurned): Turn => (isTurned ? "main" : "none")),
      neighbours: true,
    }),
  mixture: llama4Mixture,
  keys: () => ({ ...LLAMA_KEYS, mlp: "feed_forward" }),
};

export const LLAMA4_FAMILIES: readonly Family[] = [llama4];
