// WGSL of attention on matrix units that varies: how workgroup memory holds tiles.
import type { OpAttrs } from "../../ir/vocabulary.js";
import type { KernelBuilder } from "./spec.js";

/** Memory for vectors of eight halves, then vectors of four sums, which weights overwrite. */
export const IN_VECTORS = `const FIRST_SUMS = FIRST_VALUES + COLUMNS_V * STRIDE_V;
const FIRST_WEIGHTS = FIRST_SUMS;
const STRIDE_W = STRIDE_SUMS;
var<workgroup> tiles: array<vec4<u32>, max(TILE * STRIDE, FIRST_SUMS + TILE * STRIDE_SUMS)>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, stride); }
fn rightAt(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, stride); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, FIRST_SUMS + at, x, STRIDE_SUMS); }
fn sumOf(at: u32) -> Sum { return subgroupMatrixLoad<Sum, row_major>(&tiles, FIRST_SUMS + at, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[FIRST_SUMS + at]); }
fn setSums(at: u32, x: vec4f) { tiles[FIRST_SUMS + at] = bitcast<vec4<u32>>(x); }`;

/** The same where units load arrays of halves alone: sums have memory of their own. */
export const IN_HALVES = `const FIRST_WEIGHTS = FIRST_VALUES + COLUMNS_V * STRIDE_V;
const STRIDE_W = EIGHTS + 1u;
var<workgroup> tiles: array<f16, 8u * max(TILE * STRIDE, FIRST_WEIGHTS + TILE * STRIDE_W)>;
var<workgroup> sums: array<f32, 4u * TILE * STRIDE_SUMS>;
fn put(at: u32, x: vec4<u32>) {
  for (var i = 0u; i < 4u; i++) {
    let two = bitcast<vec2<f16>>(x[i]);
    tiles[8u * at + 2u * i] = two.x;
    tiles[8u * at + 2u * i + 1u] = two.y;
  }
}
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, 8u * at, 8u * stride); }
fn rightAt(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&tiles, 8u * at, 8u * stride);
}
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&sums, 4u * at, x, 4u * STRIDE_SUMS); }
fn sumOf(at: u32) -> Sum { return subgroupMatrixLoad<Sum, row_major>(&sums, 4u * at, 4u * STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f {
  return vec4f(sums[4u * at], sums[4u * at + 1u], sums[4u * at + 2u], sums[4u * at + 3u]);
}
fn setSums(at: u32, x: vec4f) { for (var i = 0u; i < 4u; i++) { sums[4u * at + i] = x[i]; } }`;

/** The same for the gradient, with the rows of both sides. */
export const GRADIENT_IN_VECTORS = `const FIRST_WEIGHTS = FIRST_BEHIND;
const STRIDE_W = STRIDE_SUMS;
var<workgroup> tiles: array<vec4<u32>, CELLS>;
fn put(at: u32, x: vec4<u32>) { tiles[at] = x; }
fn putHalf(at: u32, i: u32, x: vec2u) { tiles[at][i] = x.x; tiles[at][i + 1u] = x.y; }
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, at, stride); }
fn rightAt(at: u32, stride: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&tiles, at, stride); }
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&tiles, FIRST_BEHIND + at, x, STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f { return bitcast<vec4f>(tiles[FIRST_BEHIND + at]); }`;

export const GRADIENT_IN_HALVES = `const FIRST_WEIGHTS = FIRST_BEHIND;
const STRIDE_W = EIGHTS + 1u;
var<workgroup> tiles: array<f16, 8u * CELLS>;
var<workgroup> sums: array<f32, 8u * TILE * STRIDE_SUMS>;
fn put(at: u32, x: vec4<u32>) {
  putHalf(at, 0u, x.xy);
  putHalf(at, 2u, x.zw);
}
fn putHalf(at: u32, i: u32, x: vec2u) {
  let four = bitcast<vec4<f16>>(x);
  for (var n = 0u; n < 4u; n++) { tiles[8u * at + 2u * i + n] = four[n]; }
}
fn leftAt(at: u32, stride: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tiles, 8u * at, 8u * stride); }
fn rightAt(at: u32, stride: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&tiles, 8u * at, 8u * stride);
}
fn putSums(at: u32, x: Sum) { subgroupMatrixStore<row_major>(&sums, 4u * at, x, 4u * STRIDE_SUMS); }
fn sumsAt(at: u32) -> vec4f {
  return vec4f(sums[4u * at], sums[4u * at + 1u], sums[4u * at + 2u], sums[4u * at + 3u]);
}`;

/**
 * `sees(i, j)`: whether a query at position i sees a key at j; `firstSeen(i)` and `lastSeen(i)`: the positions between
 * which those lie.
 */
export function declareSight(kernel: KernelBuilder, attrs: OpAttrs["attention"]): void {
  declareSees(kernel, attrs);
  const { causal, window } = attrs;
  kernel.function(`fn firstSeen(i: u32) -> u32 { return ${window > 0 ? BACK("i") : "0u"}; }`);
  kernel.function(`fn lastSeen(i: u32) -> u32 { return ${causal ? "i" : window > 0 ? AHEAD("i") : LAST}; }`);
}

/**
 * `sees(i, j)`, and `firstSeeing(j)` and `lastSeeing(j)`: the positions between which the queries lie that may see a
 * key at j.
 */
export function declareSeeing(kernel: KernelBuilder, attrs: OpAttrs["attention"]): void {
  declareSees(kernel, attrs);
  const { causal, window } = attrs;
  kernel.function(`fn firstSeeing(j: u32) -> u32 { return ${causal ? "j" : window > 0 ? BACK("j") : "0u"}; }`);
  kernel.function(`fn lastSeeing(j: u32) -> u32 { return ${window > 0 ? AHEAD("j") : LAST}; }`);
}

/** The largest position: below the largest u32. */
const LAST = "0xfffffffeu";
const BACK = (at: string): string => `${at} - min(${at}, window() - 1u)`;
const AHEAD = (at: string): string => `min(${at}, ${LAST} - window()) + window() - 1u`;

function declareSees(kernel: KernelBuilder, { causal, window }: OpAttrs["attention"]): void {
  const seen: string[] = [];
  if (causal) seen.push("j <= i");
  if (window > 0) {
    kernel.count("window", window);
    seen.push("max(i, j) - min(i, j) < window()");
  }
  kernel.function(`fn sees(i: u32, j: u32) -> bool { return ${seen.join(" && ") || "true"}; }`);
}
