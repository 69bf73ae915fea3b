// The blocks that are measured, with their weights and inputs: seeded, and the same for every peer.
import { readFileSync } from "node:fs";
import { compile } from "../src/compiler/compile.js";
import { formatDiagnostics } from "../src/language/diagnostics/format.js";
import type { Graph } from "../src/compiler/ir/graph.js";
import type { Target } from "../src/runtime/index.js";
import type { Program } from "../src/runtime/program/program.js";
import type { Precision } from "../src/runtime/program/target.js";
import type { CaseData, Kind, PeerName, Sent } from "./protocol.js";
import { random } from "./random.js";

export interface Case {
  readonly id: string;
  readonly title: string;
  readonly kind: Kind;
  readonly T: number;
  readonly dim: number;
  readonly heads: number;
  readonly k: number;
  readonly set: Readonly<Record<string, number>>;
  /** Operations of one application, a multiply-add being two; attention as T × T, masked or not. */
  readonly flops: number;
  /** The peers to measure; null: every peer. */
  readonly peers: readonly PeerName[] | null;
}

const DIM = 512;
const HIDDEN = 2048;
const HEADS = 8;

const layerFlops = (rows: number): number => 2 * rows * (4 * DIM * DIM + 2 * DIM * HIDDEN) + 4 * rows * rows * DIM;

const block = (kind: "dense" | "mod" | "routing", T: number): Case => {
  const k = T / 8;
  const router = 2 * T * DIM;
  const flops = { dense: layerFlops(T), mod: layerFlops(k) + router, routing: router }[kind];
  const title = { dense: `dense layer, T = ${T}`, mod: `MoD layer, T = ${T}`, routing: `routing alone, T = ${T}` }[
    kind
  ];
  return {
    id: `${kind}-${T}`,
    title,
    kind,
    T,
    dim: DIM,
    heads: HEADS,
    k,
    set: {},
    flops,
    peers: kind === "routing" ? ["modc"] : null,
  };
};

export const product = (rows: number, size: number): Case => ({
  id: rows === size ? `product-${size}` : `product-${rows}x${size}`,
  title: rows === size ? `product ${size}³` : `product ${rows} × ${size} × ${size}`,
  kind: "product",
  T: rows,
  dim: size,
  heads: 1,
  k: 0,
  set: { size },
  flops: 2 * rows * size * size,
  peers: null,
});

function mixture(of: {
  readonly T: number;
  readonly k: number;
  readonly hidden: number;
  readonly experts: number;
}): Case {
  const { T, k, hidden, experts } = of;
  return {
    id: `mixture-${k}of${experts}`,
    title: `${k} of ${experts} experts, hidden ${hidden}, T = ${T}`,
    kind: "mixture",
    T,
    dim: DIM,
    heads: 1,
    k,
    set: { hidden, experts, k },
    flops: 2 * T * DIM * (3 * k * hidden + experts),
    peers: null,
  };
}

export const cases: readonly Case[] = [
  block("dense", 512),
  block("mod", 512),
  block("routing", 512),
  block("dense", 2048),
  block("mod", 2048),
  block("routing", 2048),
  product(256, 256),
  product(512, 512),
  product(1024, 1024),
  product(32, 1024),
  product(1, 1024),
  {
    id: "attention-512",
    title: "attention, H = 8, T = 512, d = 64",
    kind: "attention",
    T: 512,
    dim: DIM,
    heads: HEADS,
    k: 0,
    set: {},
    flops: 4 * 512 * 512 * DIM,
    peers: null,
  },
  mixture({ T: 512, k: 2, hidden: 1024, experts: 8 }),
  {
    id: "moby",
    title: "moby.mod whole, T = 256",
    kind: "moby",
    T: 256,
    dim: 128,
    heads: 4,
    k: 32,
    set: {},
    flops: mobyFlops(),
    peers: null,
  },
];

function mobyFlops(): number {
  const layer = (rows: number): number => 2 * rows * (4 * 128 * 128 + 3 * 128 * 512) + 4 * rows * rows * 128;
  return 3 * layer(256) + 3 * (layer(32) + 2 * 256 * 128) + 2 * 256 * 128 * 256;
}

export interface Prepared {
  readonly data: CaseData;
  /** Of one application. */
  readonly program: Program;
  readonly graph: Graph;
}

const root = new URL("..", import.meta.url);
/** A file of the checkout. */
export const at = (path: string): URL => new URL(path, root);
export const textOf = (path: string): string => readFileSync(at(path), "utf8");

/** Compiles a block for a device and draws its weights and inputs. */
export function prepare(given: Case, target: Target, precision: Precision = {}): Prepared {
  const source = textOf(`bench/models/${given.kind}.mod`);
  const files: CaseData["files"] = given.kind === "moby" ? [["examples/moby.mod", textOf("examples/moby.mod")]] : [];
  const { program, graph } = compileBlock({ id: given.id, source, set: given.set, files }, 1, target, precision);
  const { id, kind, T, dim, heads, k, set } = given;
  return {
    data: {
      id,
      kind,
      T,
      dim,
      heads,
      k,
      source,
      set,
      files,
      weights: drawWeights(program),
      inputs: drawInputs(program, T),
    },
    program,
    graph,
  };
}

/** A block, compiled by modc, that is applied `repeat` times, each time to the result before. */
export function compileBlock(
  { id, source, set, files }: Pick<CaseData, "id" | "source" | "set" | "files">,
  repeat: number,
  target: Target,
  precision: Precision = {},
): { readonly program: Program; readonly graph: Graph } {
  const imported = new Map(files);
  const { program, graph, diagnostics, sources } = compile(source, {
    file: `${id}.mod`,
    set: { ...set, repeat },
    target,
    precision,
    read: (path) => imported.get(path) ?? null,
  });
  if (!program || !graph) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return { program, graph };
}

/**
 * Matrices of deviation 1/√n with n their last axis, gains around 1 and biases around 0, so that every weight matters.
 */
function drawWeights(program: Program): CaseData["weights"] {
  const rng = random(1);
  return program.weights.map(({ path, shape }) => {
    const scale = 1 / Math.sqrt(shape.at(-1) ?? 1);
    const centre = path.endsWith("norm.weight") ? 1 : 0;
    const value = shape.length < 2 ? () => centre + 0.1 * rng.normal() : () => rng.normal() * scale;
    return [path, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) }];
  });
}

function drawInputs(program: Program, T: number): CaseData["inputs"] {
  const rng = random(2);
  return program.inputs.map(({ name, dtype, shape, below }): readonly [string, Sent] => {
    const extents = shape.map((size) => (size === "B" ? 1 : size === "T" ? T : Number(size)));
    const length = extents.reduce((a, b) => a * b, 1);
    const data =
      dtype === "u32"
        ? Uint32Array.from({ length }, () => rng.below(below ?? 2 ** 32))
        : Float32Array.from({ length }, () => rng.normal());
    return [name, { shape: extents, data }];
  });
}
