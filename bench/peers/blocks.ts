// The blocks of bench/models, written with the peers' plain operators, for one sequence.
import type { CaseData, Sent } from "../protocol.js";
import type { Ops } from "./ops.js";

/** What a block computes once: from its last result, or from its inputs. */
export interface Block<V> {
  /** The first argument of `apply`. */
  readonly start: V;
  /** The result of one application. */
  readonly apply: (x: V) => V;
  /** From a result to the next argument. */
  readonly next: (result: V) => V;
}

const MASKED = -1e9;

export function block<V>(ops: Ops<V>, data: CaseData, start: V): Block<V> {
  const same = (x: V): V => x;
  switch (data.kind) {
    case "product": {
      const b = tensors(ops, data).raw("b");
      return { start, apply: (x) => ops.part("product", ([x, b]) => ops.matmul(x!, b!), [x, b]), next: same };
    }
    case "attention":
      return { start, apply: attentionOnly(ops, data), next: same };
    case "dense":
    case "mod": {
      const layer = layerOf(ops, data, "layer", "gelu", data.kind === "mod");
      return { start, apply: layer, next: same };
    }
    case "mixture":
      return { start, apply: mixture(ops, data), next: same };
    case "moby":
      return { start, apply: moby(ops, data), next: (logits) => ops.argmax(logits) };
    case "routing":
      throw new Error("only modc is asked what routing costs by itself");
    default:
      return data.kind satisfies never;
  }
}

export interface Tensors<V> {
  /** As stored. */
  raw(path: string): V;
  /** The weight of a Linear, as [in, out]. */
  linear(path: string): V;
}

export function tensors<V>(ops: Ops<V>, data: Pick<CaseData, "weights">): Tensors<V> {
  const weights = new Map(data.weights);
  const get = (path: string): Sent => {
    const found = weights.get(path);
    if (!found) throw new Error(`no weight ${path}`);
    return found;
  };
  return {
    raw: (path) => ops.constant(floats(get(path)), get(path).shape),
    linear: (path) => {
      const { shape, data } = transposed(get(path));
      return ops.constant(data, shape);
    },
  };
}

const floats = (sent: Sent): Float32Array => Float32Array.from(sent.data);

/** [a, b] → [b, a]. */
export function transposed({ shape, data }: Sent): { readonly shape: readonly number[]; readonly data: Float32Array } {
  const [a, b] = [shape[0]!, shape[1]!];
  const out = new Float32Array(a * b);
  for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) out[j * a + i] = data[i * b + j]!;
  return { shape: [b, a], data: out };
}

/** [T, heads, width] → [heads, T, width]. */
export function headsFirst({ shape, data }: Sent, heads: number): Float32Array {
  const width = shape.at(-1)!;
  const T = data.length / heads / width;
  const out = new Float32Array(data.length);
  for (let t = 0; t < T; t++)
    for (let h = 0; h < heads; h++)
      for (let d = 0; d < width; d++) out[(h * T + t) * width + d] = data[(t * heads + h) * width + d]!;
  return out;
}

/** [T, T]: 0 where a token sees another, else a large negative number. */
export function triangle(T: number): Float32Array {
  const mask = new Float32Array(T * T);
  for (let i = 0; i < T; i++) mask.fill(MASKED, i * T + i + 1, (i + 1) * T);
  return mask;
}

/** Cosines and sines of rotary positions, [T, width], the half of them twice. */
export function rotary(T: number, width: number): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const cos = new Float32Array(T * width);
  const sin = new Float32Array(T * width);
  const half = width / 2;
  for (let t = 0; t < T; t++)
    for (let i = 0; i < width; i++) {
      const angle = t * 10000 ** (-(i % half) / half);
      cos[t * width + i] = Math.cos(angle);
      sin[t * width + i] = Math.sin(angle);
    }
  return { cos, sin };
}

function attention<V>(ops: Ops<V>, q: V, k: V, v: V, mask: V, width: number): V {
  const scores = ops.scale(ops.matmul(q, ops.transpose(k, [0, 2, 1])), 1 / Math.sqrt(width));
  return ops.matmul(ops.softmax(ops.add(scores, mask)), v);
}

function attentionOnly<V>(ops: Ops<V>, data: CaseData): (q: V) => V {
  const width = data.dim / data.heads;
  const inputs = new Map(data.inputs);
  const [k, v] = ["k", "v"].map((name) =>
    ops.constant(headsFirst(inputs.get(name)!, data.heads), [data.heads, data.T, width]),
  ) as [V, V];
  const mask = ops.constant(triangle(data.T), [data.T, data.T]);
  return (q) => ops.part("attention", ([q, k, v, mask]) => attention(ops, q!, k!, v!, mask!, width), [q, k, v, mask]);
}

export interface LayerSizes<V> {
  /** −1: as many as there are. */
  readonly rows: number;
  readonly dim: number;
  readonly heads: number;
  /** Returns the keys and values for attention to read in place of these rows'; by default, these rows'. */
  readonly remember?: (k: V, v: V) => readonly [V, V];
}

/** a + mlp(mlp_norm(x + a)), a = attn(attn_norm(x)), on x: [rows, dim]. Weights in the order of `layerWeights`. */
export function update<V>(
  ops: Ops<V>,
  { rows, dim, heads, remember = (k, v) => [k, v] }: LayerSizes<V>,
  mlp: "gelu" | "swiglu",
  x: V,
  cos: V,
  sin: V,
  mask: V,
  w: readonly V[],
): V {
  const width = dim / heads;
  const [norm, q, k, v, o, mlpNorm, ...rest] = w as [V, V, V, V, V, V, ...V[]];
  const split = (y: V): V => ops.transpose(ops.reshape(y, [rows, heads, width]), [1, 0, 2]);
  const turn = (y: V): V => ops.add(ops.mul(y, cos), ops.mul(ops.turned(y, width), sin));
  const n = ops.mul(ops.normalise(x), norm);
  const [keys, values] = remember(turn(split(ops.matmul(n, k))), split(ops.matmul(n, v)));
  const seen = attention(ops, turn(split(ops.matmul(n, q))), keys, values, mask, width);
  const a = ops.matmul(ops.reshape(ops.transpose(seen, [1, 0, 2]), [rows, dim]), o);
  const m = ops.mul(ops.normalise(ops.add(x, a)), mlpNorm);
  if (mlp === "gelu") {
    const [up, upBias, down, downBias] = rest as [V, V, V, V];
    return ops.add(a, ops.add(ops.matmul(ops.gelu(ops.add(ops.matmul(m, up), upBias)), down), downBias));
  }
  const [gate, up, down] = rest as [V, V, V];
  return ops.add(a, ops.matmul(ops.mul(ops.silu(ops.matmul(m, gate)), ops.matmul(m, up)), down));
}

export function layerWeights<V>(t: Tensors<V>, path: string, mlp: "gelu" | "swiglu"): V[] {
  const linear = (name: string): V => t.linear(`${path}.${name}.weight`);
  const raw = (name: string): V => t.raw(`${path}.${name}`);
  const shared = [
    raw("attn_norm.weight"),
    ...["q", "k", "v", "o"].map((n) => linear(`attn.${n}`)),
    raw("mlp_norm.weight"),
  ];
  if (mlp === "gelu")
    return [...shared, linear("mlp.up"), raw("mlp.up.bias"), linear("mlp.down"), raw("mlp.down.bias")];
  return [...shared, linear("mlp.gate"), linear("mlp.up"), linear("mlp.down")];
}

/** A residual or a routed layer, as a function of x: [T, dim]. Constants that layers share are made by `common`. */
function layerOf<V>(
  ops: Ops<V>,
  data: CaseData,
  path: string,
  mlp: "gelu" | "swiglu",
  routed: boolean,
  common = shared(ops, data),
): (x: V) => V {
  const t = tensors(ops, data);
  const weights = layerWeights(t, `${path}.inner`, mlp);
  const { T, dim, heads, k } = data;
  const { cos, sin, mask } = common;
  if (!routed)
    return (x) =>
      ops.part(
        "dense",
        ([x, cos, sin, mask, ...w]) => ops.add(x!, update(ops, { rows: T, dim, heads }, mlp, x!, cos!, sin!, mask!, w)),
        [x, cos, sin, mask, ...weights],
      );
  const router = t.linear(`${path}.router.weight`);
  return (x) => {
    const score = ops.part("score", ([x, router]) => ops.reshape(ops.matmul(x!, router!), [T]), [x, router]);
    const index = ops.top(score, k);
    const result = ops.part(
      "routed",
      ([x, score, index, cos, sin, ...w]) => {
        const rows = ops.rows(x!, index!);
        const u = update(
          ops,
          { rows: k, dim, heads },
          mlp,
          rows,
          ops.rows(cos!, index!),
          ops.rows(sin!, index!),
          ops.causalMask(index!, k),
          w,
        );
        return ops.putRows(x!, index!, rows, ops.mul(u, ops.rows(ops.reshape(score!, [T, 1]), index!)));
      },
      [x, score, index, cos, sin, ...weights],
    );
    ops.release(score);
    ops.release(index);
    return result;
  };
}

interface Common<V> {
  readonly cos: V;
  readonly sin: V;
  readonly mask: V;
}

function shared<V>(ops: Ops<V>, { T, dim, heads }: CaseData): Common<V> {
  const width = dim / heads;
  const { cos, sin } = rotary(T, width);
  return {
    cos: ops.constant(cos, [T, width]),
    sin: ops.constant(sin, [T, width]),
    mask: ops.constant(triangle(T), [T, T]),
  };
}

/**
 * A mixture of gated networks behind a norm, added to x: [T, dim]. All experts compute all tokens, side by side in
 * three products, and gates of 0 take out what was not chosen: plain operators have no rows by expert.
 */
function mixture<V>(ops: Ops<V>, data: CaseData): (x: V) => V {
  const t = tensors(ops, data);
  const { T, k } = data;
  const { experts, hidden } = data.set as { readonly experts: number; readonly hidden: number }; // the case sets both
  const all = (name: string): readonly Sent[] => {
    const weights = new Map(data.weights);
    return Array.from({ length: experts }, (_, e) => weights.get(`moe.experts.${e}.${name}.weight`)!);
  };
  const wide = (name: string): V => {
    const { shape, data: values } = transposed(stacked(all(name)));
    return ops.constant(values, shape);
  };
  const down = stacked(all("down").map(transposed));
  const weights = [
    t.raw("norm.weight"),
    t.linear("moe.router.weight"),
    wide("gate"),
    wide("up"),
    ops.constant(floats(down), down.shape),
  ];
  return (x) =>
    ops.part(
      "mixture",
      ([x, norm, router, gate, up, down]) => {
        const n = ops.mul(ops.normalise(x!), norm!);
        const p = ops.softmax(ops.matmul(n, router!));
        const gates = ops.reshape(ops.mul(p, ops.amongTop(p, k)), [T, experts, 1]);
        const inner = ops.mul(ops.silu(ops.matmul(n, gate!)), ops.matmul(n, up!));
        const gated = ops.mul(ops.reshape(inner, [T, experts, hidden]), gates);
        return ops.add(x!, ops.matmul(ops.reshape(gated, [T, experts * hidden]), down!));
      },
      [x, ...weights],
    );
}

/** Concatenates matrices of one width along the rows. */
function stacked(all: readonly Sent[]): Sent {
  const data = new Float32Array(all.reduce((n, m) => n + m.data.length, 0));
  let rows = 0;
  for (const { shape, data: values } of all) {
    data.set(values, rows * shape[1]!);
    rows += shape[0]!;
  }
  return { shape: [rows, all[0]!.shape[1]!], data };
}

/** examples/moby.mod. */
function moby<V>(ops: Ops<V>, data: CaseData): (tokens: V) => V {
  const t = tensors(ops, data);
  const depth = 1 + Math.max(...data.weights.map(([path]) => Number(/^moby\.layers\.(\d+)\./.exec(path)?.[1] ?? -1)));
  const common = shared(ops, data);
  const layers = Array.from({ length: depth }, (_, i) =>
    layerOf(ops, data, `moby.layers.${i}`, "swiglu", i % 2 === 1, common),
  );
  const table = t.raw("moby.embed.table");
  const norm = t.raw("moby.norm.weight");
  const unembed = t.linear("moby.embed.table");
  return (tokens) => {
    let x = ops.part("embed", ([table, tokens]) => ops.rows(table!, tokens!), [table, tokens]);
    for (const layer of layers) {
      const before = x;
      x = layer(x);
      ops.release(before);
    }
    const logits = ops.part("logits", ([x, norm, unembed]) => ops.matmul(ops.mul(ops.normalise(x!), norm!), unembed!), [
      x,
      norm,
      unembed,
    ]);
    ops.release(x);
    return logits;
  };
}

/** The first argument of a block, as the peers take it: attention with heads first, all without the batch. */
export function startOf(data: CaseData): {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
} {
  const [, first] = data.inputs[0]!;
  if (data.kind === "attention")
    return { data: headsFirst(first, data.heads), shape: [data.heads, data.T, data.dim / data.heads] };
  if (data.kind === "moby") return { data: Int32Array.from(first.data), shape: [data.T] };
  return { data: floats(first), shape: [data.T, data.dim] };
}

/** Converts a result of `apply` to modc's layout: tokens first. */
export function resultOf(data: CaseData, result: Float32Array): Float32Array {
  if (data.kind !== "attention") return result;
  return headsFirst({ shape: [data.dim / data.heads], data: result }, data.T);
}
