// Small programs written by hand, with kernels that say what they compute.
import {
  type Program,
  PROGRAM_FORMAT,
  PROGRAM_VERSION,
  type ProgramAxis,
} from "../../../src/runtime/program/program.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";

const base = {
  format: PROGRAM_FORMAT,
  version: PROGRAM_VERSION,
  model: "Test",
  phase: "infer",
  entry: "forward",
  target: PORTABLE,
  requires: { features: [], subgroupSize: null },
  precision: "f32",
  tunings: "",
  parameters: [],
  live: [],
  weights: [],
  ignore: [],
  states: [],
  tables: [],
  kernels: [],
  steps: [],
  works: [],
  origins: [],
} as const;

export const batch: ProgramAxis = { role: "batch", name: "B", bound: null };
export const tokens = (bound: number | null): ProgramAxis => ({
  role: "sequence",
  name: "T",
  bound,
  count: { kind: "input" },
});

const scaleWgsl = `
struct Params { n: u32, width: u32, factor: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = (group.x + group.y * groups.x) * 64u + local.x;
  if (i < params.n) { y[i] = x[i] * params.factor + bias[i % params.width]; }
}`;

/** y = 2x + bias, row by row: x f32[B, T, 3], bias f32[3]. */
export const scaleProgram = (bound: number | null = 64): Program => ({
  ...base,
  axes: [batch, tokens(bound)],
  inputs: [
    {
      name: "x",
      dtype: "f32",
      shape: ["B", "T", 3],
      packing: { axis: "T", batchDim: 0, tokenDim: 1 },
      least: 0,
      below: null,
      slot: 0,
    },
  ],
  outputs: [
    {
      name: "output",
      role: "result",
      dtype: "f32",
      shape: ["B", "T", 3],
      packing: { axis: "T", batchDim: 0, tokenDim: 1 },
      slot: 2,
      parts: [],
      starts: [],
    },
  ],
  weights: [
    {
      path: "bias",
      dtype: "f32",
      shape: [3],
      init: { kind: "ones" },
      keys: ["model.bias"],
      slots: [{ slot: 1, form: "word", layout: { kind: "given" }, part: null }],
    },
  ],
  slots: [
    { bytes: "12*rows(T)", label: "x" },
    { bytes: 12, label: "bias" },
    { bytes: "12*rows(T)", label: "activations" },
  ],
  kernels: [{ name: "scale.0", wgsl: scaleWgsl, access: ["read", "read", "read_write"], uniforms: 3, tuning: "" }],
  steps: [
    {
      kind: "dispatch",
      kernel: 0,
      slots: [0, 1, 2],
      uniforms: ["3*rows(T)", 3, { f32: 2 }],
      workgroups: "ceil(3/64*rows(T))",
      work: null,
    },
  ],
});

const aboveWgsl = `
@group(0) @binding(0) var<uniform> params: vec4u; // sequences
@group(0) @binding(1) var<storage, read> score: array<f32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> index: array<u32>;
@group(0) @binding(4) var<storage, read_write> chosen: array<u32>;
@compute @workgroup_size(1)
fn main() {
  var n = 0u;
  for (var b = 0u; b < params.x; b++) {
    chosen[b] = n;
    for (var i = starts[b]; i < starts[b + 1u]; i++) {
      if (score[i] > 0.0) { index[n] = i - starts[b]; n++; }
    }
  }
  chosen[params.x] = n;
}`;

/** Positions of the scores above 0 in each sequence: an axis whose counts only the device knows. */
export const aboveProgram: Program = {
  ...base,
  axes: [
    batch,
    tokens(null),
    { role: "sequence", name: "C", bound: null, count: { kind: "above", parent: "T", expected: "1/2" } },
  ],
  inputs: [
    {
      name: "score",
      dtype: "f32",
      shape: ["B", "T"],
      packing: { axis: "T", batchDim: 0, tokenDim: 1 },
      least: 0,
      below: null,
      slot: 0,
    },
  ],
  outputs: [
    {
      name: "output",
      role: "result",
      dtype: "f32",
      shape: ["B", "T"],
      packing: { axis: "T", batchDim: 0, tokenDim: 1 },
      slot: 0,
      parts: [],
      starts: [],
    },
    {
      name: "chosen.index",
      role: "observe",
      dtype: "u32",
      shape: ["B", "C"],
      packing: { axis: "C", batchDim: 0, tokenDim: 1 },
      slot: 2,
      parts: [],
      starts: [{ dim: 1, slot: 3 }],
    },
  ],
  tables: [{ kind: "starts", axis: "T", slot: 1 }],
  slots: [
    { bytes: "4*rows(T)", label: "score" },
    { bytes: "4*B + 4", label: "starts" },
    { bytes: "4*rows(C)", label: "index" },
    { bytes: "4*B + 4", label: "chosen" },
  ],
  kernels: [
    { name: "above.0", wgsl: aboveWgsl, access: ["read", "read", "read_write", "read_write"], uniforms: 1, tuning: "" },
  ],
  steps: [{ kind: "dispatch", kernel: 0, slots: [0, 1, 2, 3], uniforms: ["B"], workgroups: 1, work: null }],
};

/** Copies every kind of table to an output, for comparison. */
export const tablesProgram: Program = {
  ...base,
  axes: [
    batch,
    tokens(16),
    { role: "sequence", name: "K", bound: 16, count: { kind: "top", parent: "T", k: "ceil(live(capacity)*T)" } },
    { role: "sequence", name: "S", bound: 16, count: { kind: "span", parent: "T", start: 1, stop: -1 } },
  ],
  live: [
    { name: "capacity", kind: "ratio", default: "1/8" },
    { name: "heat", kind: "float", default: "3/2" },
  ],
  inputs: [
    {
      name: "x",
      dtype: "u32",
      shape: ["B", "T"],
      packing: { axis: "T", batchDim: 0, tokenDim: 1 },
      least: 0,
      below: 10,
      slot: null,
    },
  ],
  outputs: [
    { name: "starts", role: "result", dtype: "u32", shape: ["B + 1"], packing: null, slot: 0, parts: [], starts: [] },
    { name: "k", role: "result", dtype: "u32", shape: ["T + 1"], packing: null, slot: 1, parts: [], starts: [] },
    { name: "span", role: "result", dtype: "u32", shape: ["T + 1", 2], packing: null, slot: 2, parts: [], starts: [] },
    { name: "size", role: "result", dtype: "f32", shape: [], packing: null, slot: 3, parts: [], starts: [] },
    { name: "live", role: "result", dtype: "f32", shape: [], packing: null, slot: 4, parts: [], starts: [] },
    { name: "seed", role: "result", dtype: "u32", shape: [], packing: null, slot: 5, parts: [], starts: [] },
    { name: "rope", role: "result", dtype: "f32", shape: ["T", 4], packing: null, slot: 6, parts: [], starts: [] },
    { name: "chosen", role: "result", dtype: "u32", shape: ["B + 1"], packing: null, slot: 7, parts: [], starts: [] },
    {
      name: "positions",
      role: "result",
      dtype: "u32",
      shape: ["rows(K)"],
      packing: null,
      slot: 8,
      parts: [],
      starts: [],
    },
    {
      name: "segments",
      role: "result",
      dtype: "u32",
      shape: ["rows(K)"],
      packing: null,
      slot: 9,
      parts: [],
      starts: [],
    },
    { name: "counts", role: "result", dtype: "u32", shape: ["B"], packing: null, slot: 10, parts: [], starts: [] },
    { name: "__proto__", role: "result", dtype: "u32", shape: [], packing: null, slot: 5, parts: [], starts: [] },
  ],
  tables: [
    { kind: "starts", axis: "T", slot: 0 },
    { kind: "k", axis: "K", slot: 1 },
    { kind: "span", axis: "S", slot: 2 },
    { kind: "size", size: "1/8*T", dtype: "f32", slot: 3 },
    { kind: "live", name: "heat", slot: 4 },
    { kind: "seed", slot: 5 },
    { kind: "rope", positions: "T", width: 4, theta: 100, frequencies: null, scale: 0.5, slot: 6 },
    { kind: "starts", axis: "K", slot: 7 },
    { kind: "positions", axis: "K", slot: 8 },
    { kind: "segments", axis: "K", slot: 9 },
    { kind: "counts", axis: "K", slot: 10 },
  ],
  slots: [
    { bytes: "4*B + 4", label: "starts" },
    { bytes: "4*T + 4", label: "k" },
    { bytes: "8*T + 8", label: "span" },
    { bytes: 4, label: "size" },
    { bytes: 4, label: "live" },
    { bytes: 4, label: "seed" },
    { bytes: "16*T", label: "rope" },
    { bytes: "4*B + 4", label: "chosen" },
    { bytes: "4*rows(K)", label: "positions" },
    { bytes: "4*rows(K)", label: "segments" },
    { bytes: "4*B", label: "counts" },
  ],
};

const countWgsl = `
@group(0) @binding(1) var<storage, read_write> total: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<i32>;
@compute @workgroup_size(1)
fn main() { total[0] += u32(x[0] + 1); }`;

/** A state that outlives the run: total += x + 1; also copies and clears. */
export const stateProgram: Program = {
  ...base,
  axes: [{ role: "batch", name: "B", bound: 4 }],
  inputs: [{ name: "x", dtype: "i32", shape: ["B"], packing: null, least: -1, below: 5, slot: 1 }],
  outputs: [
    { name: "total", role: "result", dtype: "u32", shape: [], packing: null, slot: 0, parts: [], starts: [] },
    { name: "copy", role: "result", dtype: "i32", shape: ["B"], packing: null, slot: 2, parts: [], starts: [] },
    { name: "cleared", role: "result", dtype: "bool", shape: ["B"], packing: null, slot: 3, parts: [], starts: [] },
  ],
  states: [{ name: "total", dtype: "u32", shape: [], init: { kind: "zeros" }, slot: 0 }],
  slots: [
    { bytes: 4, label: "total" },
    { bytes: "4*B", label: "x" },
    { bytes: "4*B", label: "copy" },
    { bytes: "4*B", label: "cleared" },
  ],
  kernels: [{ name: "count.0", wgsl: countWgsl, access: ["read_write", "read"], uniforms: 0, tuning: "" }],
  steps: [
    { kind: "copy", from: 1, to: 2, bytes: "4*B", work: null },
    { kind: "copy", from: 1, to: 3, bytes: "4*B", work: null },
    { kind: "clear", slot: 3, bytes: 4, work: null },
    { kind: "dispatch", kernel: 0, slots: [0, 1], uniforms: [], workgroups: 1, work: null },
  ],
};
