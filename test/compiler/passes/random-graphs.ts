// Random sound graphs, rich in what the rewrite rules look for: chains of views, constants that do nothing, work done
// twice, products of the same rows, and routes whose rows are masked, added, gathered and scattered.
import * as fc from "fast-check";
import { createEmit, type Emit } from "../../../src/compiler/ir/build.js";
import { typeOf, type Graph, type GraphInput, type Node } from "../../../src/compiler/ir/graph.js";
import { reachedStarts } from "../../../src/compiler/ir/reach.js";
import { equalShapes, packedAxis } from "../../../src/compiler/ir/typing.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import { ops } from "../../../src/compiler/ops/index.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { axisSize, rowsSize, type Size } from "../../../src/ground/size/size.js";

const axes: readonly Axis[] = [
  { role: "batch", name: "B", bound: null },
  { role: "sequence", name: "T", bound: 8, count: { kind: "input" } },
  { role: "sequence", name: "K", bound: 2, count: { kind: "top", parent: "T", k: 2 } },
  { role: "sequence", name: "L", bound: 8, count: { kind: "above", parent: "T", expected: rational(1, 2) } },
  { role: "sequence", name: "S", bound: 8, count: { kind: "span", parent: "T", start: 1, stop: null } },
];
const [B, T, N] = [axisSize("B"), axisSize("T"), rowsSize("T")];

const LAST = 28;

/** Each instruction takes a few numbers that choose operands and attributes among what is possible. */
export type Instruction = readonly [kind: number, a: number, b: number, c: number];
export const instructions: fc.Arbitrary<readonly Instruction[]> = fc.array(
  fc.tuple(fc.nat(LAST), fc.nat(), fc.nat(), fc.nat()),
  {
    minLength: 1,
    maxLength: 40,
  },
);

const CONSTANTS = [0, -0, 1, -1, 2, 0.5];
const UNARY = ["neg", "abs", "tanh", "stop_gradient", "sigmoid"] as const satisfies readonly OpName[];
const BINARY = ["add", "sub", "mul", "div", "min", "max"] as const satisfies readonly OpName[];

/** Operands of instructions, besides values: starts by axis, and each route's index and axis. */
interface Routes {
  readonly starts: ReadonlyMap<string, Node>;
  readonly routes: readonly { readonly axis: string; readonly index: Node }[];
}

/**
 * A graph whose outputs are the last few values made. Inputs `x` f32[B, T, 4] and `s` f32[B, T] (packed) and `y` f32[4,
 * 6]; weights `w…` as they come.
 */
export function graphFrom(program: readonly Instruction[]): Graph {
  const emit = createEmit(ops, axes);
  const x = emit.node("input", [], { name: "x", dtype: "f32", shape: [N, 4] });
  const y = emit.node("input", [], { name: "y", dtype: "f32", shape: [4, 6] });
  const s = emit.node("input", [], { name: "s", dtype: "f32", shape: [N] });
  const cx = routesOf(emit, s);
  const values: Node[] = [x, y];
  for (const [kind, a, b, c] of program) {
    // Made afresh each time, as equal nodes of different layers are before `cse`.
    const node = step(kind, values[a % values.length]!, values[b % values.length]!, c, cx);
    if (node) values.push(node);
  }
  const outputs = values
    .slice(-4)
    .map((node, i) => ({ name: `o${i}`, role: "result" as const, node, shape: typeOf(node).shape, packing: null }));
  const inputs: GraphInput[] = [
    { name: "x", node: x, shape: [B, T, 4], packing: { axis: "T", batchDim: 0, tokenDim: 1 }, least: 0, below: null },
    { name: "s", node: s, shape: [B, T], packing: { axis: "T", batchDim: 0, tokenDim: 1 }, least: 0, below: null },
    { name: "y", node: y, shape: [4, 6], packing: null, least: 0, below: null },
  ];
  return {
    name: "random",
    axes,
    live: [],
    inputs,
    outputs,
    states: [],
    starts: reachedStarts({ outputs, states: [] }, (axis) => cx.starts.get(axis) ?? null),
  };
}

function routesOf(emit: Emit, score: Node): Routes {
  const starts = emit.node("starts", [], { axis: "T" });
  const bar = emit.node("constant", [], { value: 0.1, dtype: "f32", shape: [] });
  const made = [
    { axis: "K", node: emit.node("top", [score, starts, starts], { axis: "K" }) },
    { axis: "L", node: emit.node("above", [score, bar, starts], { axis: "L" }) },
    { axis: "S", node: emit.node("span", [starts], { axis: "S" }) },
  ];
  const own = made.map(({ axis, node }) => [axis, emit.pick(node, 1)] as const);
  return {
    starts: new Map<string, Node>([["T", starts], ...own]),
    routes: made.map(({ axis, node }) => ({ axis, index: emit.pick(node, 0) })),
  };
}

function step(kind: number, x: Node, y: Node, c: number, cx: Routes): Node | null {
  return kind <= 17 ? simpleStep(kind, x, y, c, cx.starts.get("T")!) : routedStep(kind, x, y, c, cx);
}

function simpleStep(kind: number, x: Node, y: Node, c: number, starts: Node): Node | null {
  const fresh = createEmit(ops, axes);
  const make: typeof fresh.node = (...parts) => fresh.node(...parts);
  const { shape, dtype } = typeOf(x);
  const rank = shape.length;
  const pick = <V>(of: readonly V[]): V => of[c % of.length]!;
  const constant = (value: number, of: readonly Size[] = []): Node =>
    make("constant", [], { value, dtype: "f32", shape: of });
  if (dtype !== "f32") return make("cast", [x], { dtype: "f32" });
  switch (kind) {
    case 0:
      return make(pick(UNARY), [x], {});
    case 1:
      return equalShapes(shape, typeOf(y).shape) && typeOf(y).dtype === "f32" ? make(pick(BINARY), [x, y], {}) : null;
    case 2:
      return make(pick(BINARY), [x, constant(CONSTANTS[c % CONSTANTS.length]!)], {});
    case 3:
      return make(pick(BINARY), [constant(CONSTANTS[c % CONSTANTS.length]!), x], {});
    case 4:
      return make("reshape", [x], { shape: c % 2 === 0 ? [1, ...shape] : [...shape, 1] });
    case 5:
      return rank > 1 && shape[0] === 1 ? make("reshape", [x], { shape: shape.slice(1) }) : null;
    case 6:
      return rank > 1 ? make("permute", [x], { order: rotated(rank, c) }) : null;
    case 7:
      return rank < 4 ? make("broadcast", [x], { shape: c % 3 === 0 ? shape : [2, ...shape] }) : null;
    case 8:
      return make("powi", [x], { exponent: 1 + (c % 2) });
    case 9:
      return make("cast", [x], { dtype: pick(["f32", "f16"] as const) });
    case 10:
      return make("where", [make("gt", [x, constant(0)], {}), x, constant(CONSTANTS[c % CONSTANTS.length]!)], {});
    case 11: {
      const size = shape[c % Math.max(rank, 1)];
      return typeof size === "number"
        ? make("slice", [x], { axis: c % rank, start: c % 2 === 0 || size === 1 ? 0 : 1, stop: size })
        : null;
    }
    case 12:
      return rank > 0 && packedAxis(shape[c % rank]!) === null
        ? make("concat", c % 2 === 0 ? [x] : [x, x], { axis: c % rank })
        : null;
    case 13: {
      const rows = shape.findIndex((s) => packedAxis(s) === "T");
      return rows >= 0 && rank < 4 && shape.every((s, d) => d === rows || typeof s === "number")
        ? make("unpack", [x, starts], { dim: rows, axis: "T" })
        : null;
    }
    case 14:
      return isPadded(shape) ? make("mask", [x, starts], { dim: tokens(shape), fill: pick([0, -1, 0]) }) : null;
    case 15:
      return isPadded(shape) ? make("pack", [x, starts], { dim: tokens(shape) - 1, axis: "T" }) : null;
    case 16:
      return rank > 0 ? make("sum", [x], { axes: [c % rank], keep: c % 2 === 0 }) : null;
    case 17: {
      // [M, K] @ [K, N] with the right operand turned twice or not at all
      if (rank !== 2 || typeof shape[1] !== "number") return null;
      const weight = constant(0.5, [shape[1], 3]);
      return make(
        "matmul",
        [x, c % 2 === 0 ? make("permute", [make("permute", [weight], { order: [1, 0] })], { order: [1, 0] }) : weight],
        {
          transposed: false,
        },
      );
    }
    default:
      return null;
  }
}

const WIDTHS = [16, 20, 32, 4, 1];

/** Products by weights, and what works on the rows of a route. */
function routedStep(kind: number, x: Node, y: Node, c: number, { starts, routes }: Routes): Node | null {
  const fresh = createEmit(ops, axes);
  const make: typeof fresh.node = (...parts) => fresh.node(...parts);
  const { shape, dtype } = typeOf(x);
  const rank = shape.length;
  const last = shape.at(-1);
  const { index } = routes[c % routes.length]!;
  const dim = shape.findIndex((s) => packedAxis(s) === "T");
  const other = shape.filter((s) => packedAxis(s) !== null).length !== 1;
  if (dtype !== "f32") return make("cast", [x], { dtype: "f32" });
  const constant = (value: number, of: readonly Size[] = []): Node =>
    make("constant", [], { value, dtype: "f32", shape: of });
  const take = (of: Node): Node => make("take", [of, index], { dim });
  const mask = (): Node =>
    make("reshape", [make("route_mask", [index, starts.get("T")!], { axis: "T" })], {
      shape: shape.map((s, d) => (d === dim ? s : 1)),
    });
  switch (kind) {
    case 18:
    case 19: {
      const n = WIDTHS[c % WIDTHS.length]!;
      if (rank < 2 || typeof last !== "number" || rank > 3) return null;
      const transposed = kind === 18;
      const of = transposed ? [n, last] : [last, n];
      const by = (name: string): Node =>
        make("weight", [], { path: `${name}.${of.join("x")}.${Number(transposed)}`, dtype: "f32", shape: of });
      const [u, v] = [`u${c % 3}`, `v${c % 2}`].map((name) => make("matmul", [x, by(name)], { transposed })) as [
        Node,
        Node,
      ];
      if (c % 7 === 0 && !transposed) {
        const vector = make("weight", [], { path: `w.${last}`, dtype: "f32", shape: [last] });
        return make("matmul", [x, make("reshape", [vector], { shape: [last, 1] })], { transposed });
      }
      return c % 4 === 0 ? u : make("mul", [u, v], {});
    }
    case 20: {
      // x · rsqrt(mean(x²) + ε), of rows or of chosen rows
      if (rank < 2 || typeof last !== "number") return null;
      const chosen = dim >= 0 && dim < rank - 1 && !other && c % 2 === 0;
      const of = chosen ? take(x) : x;
      const square = make("sum", [make("powi", [of], { exponent: 2 })], { axes: [rank - 1], keep: true });
      // A bias from a score of all rows, for some.
      const bias = chosen && c % 4 === 0 ? take(make("sum", [x], { axes: [rank - 1], keep: true })) : constant(0.5);
      return make("mul", [of, make("rsqrt", [make("add", [square, make("abs", [bias], {})], {})], {})], {});
    }
    case 21: {
      const rows = shape.findIndex((s) => packedAxis(s) !== null);
      if (rank !== 2 || rows !== 0 || typeof last !== "number") return null;
      const own = packedAxis(shape[0]!)!;
      const heads = make("reshape", [x], { shape: [1, ...shape] });
      const all = make("positions", [starts.get("T")!], { axis: "T" });
      const at = own === "T" ? all : make("take", [all, routes.find((r) => r.axis === own)!.index], { dim: 0 });
      const out = make("attention", [heads, heads, heads, starts.get(own)!, starts.get(own)!, at, at], {
        causal: c % 2 === 0,
        window: c % 3,
        scale: 0.5,
      });
      return make("reshape", [out], { shape });
    }
    default:
  }
  if (dim < 0 || other) return null;
  const same = equalShapes(shape, typeOf(y).shape) && typeOf(y).dtype === "f32" ? y : make("tanh", [x], {});
  switch (kind) {
    case 22: {
      if (c % 2 === 0) return take(x);
      const places = make("take", [make("positions", [starts.get("T")!], { axis: "T" }), index], { dim: 0 });
      const factor = make("reshape", [make("cast", [places], { dtype: "f32" })], {
        shape: shape.map((_, d) => (d === dim ? typeOf(index).shape[0]! : 1)),
      });
      return make("mul", [take(x), factor], {});
    }
    case 23:
      return make(c % 2 === 0 ? "put" : "set", [x, index, make("tanh", [take(same)], {})], { dim });
    case 24: {
      const update = make(c % 2 === 0 ? "put" : "set", [constant(0, shape), index, take(same)], { dim });
      return make("add", c % 3 === 0 ? [x, update] : [update, x], {});
    }
    case 25:
      if (c % 5 === 0) return make("where", [make("not", [mask()], {}), x, same], {});
      return make("where", [mask(), same, c % 4 === 0 ? constant(0.5) : x], {});
    case 26: {
      const factor = make("cast", [mask()], { dtype: "f32" });
      const update =
        c % 4 === 0 ? make("mul", [same, make("mul", [factor, constant(2)], {})], {}) : make("mul", [factor, same], {});
      return make("add", [x, update], {});
    }
    case 27:
      if (c % 4 < 2)
        return make("set", [make("set", [x, index, take(same)], { dim }), index, make("abs", [take(x)], {})], { dim });
      return make("set", [x, index, make("add", c % 3 === 0 ? [take(x), take(same)] : [take(same), take(x)], {})], {
        dim,
      });
    case 28: {
      // what is zero but for the rows of a route, and what is linear in it
      const scattered = make(c % 2 === 0 ? "put" : "set", [constant(0, shape), index, take(same)], { dim });
      if (c % 7 === 0) return take(scattered);
      if (c % 7 === 1) return make("put", [scattered, index, take(x)], { dim });
      if (c % 7 === 2) return make("sub", [x, scattered], {});
      if (c % 7 === 3) return make("sum", [scattered], { axes: [dim], keep: c % 4 === 0 });
      if (c % 7 === 4) return make("mul", [x, make("neg", [scattered], {})], {});
      if (c % 7 === 5 && rank === 2 && dim === 0) {
        const places = make("positions", [starts.get("T")!], { axis: "T" });
        return c % 3 === 0
          ? make("contract", [scattered, x], {})
          : make("gather_grad", [places, scattered], { rows: 5 });
      }
      return scattered;
    }
    default:
      return null;
  }
}

const isPadded = (shape: readonly Size[]): boolean =>
  printed(shape[0]) === "B" &&
  tokens(shape) > 0 &&
  shape.every((s, i) => i === 0 || i === tokens(shape) || typeof s === "number");
const printed = (size: Size | undefined): string | null => (typeof size === "object" ? size.key : null);
const tokens = (shape: readonly Size[]): number => shape.findIndex((s) => printed(s) === "T");
const rotated = (rank: number, by: number): number[] => Array.from({ length: rank }, (_, i) => (i + by) % rank);

/** A chain of many layers, each of which the rules have something to do in. */
export function deepGraph(layers: number): Graph {
  const emit = createEmit(ops, axes);
  const x = emit.node("input", [], { name: "x", dtype: "f32", shape: [N, 4] });
  let value: Node = x;
  for (let i = 0; i < layers; i++) {
    const weight = emit.node("weight", [], { path: `layers.${i}`, dtype: "f32", shape: [4, 4] });
    const turned = emit.node("permute", [weight], { order: [1, 0] });
    const product = emit.node("matmul", [value, turned], { transposed: false });
    const split = emit.node("reshape", [product], { shape: [N, 2, 2] });
    const merged = emit.node("reshape", [split], { shape: [N, 4] });
    const scaled = emit.node("mul", [merged, emit.node("constant", [], { value: 1, dtype: "f32", shape: [] })], {});
    value = emit.node("add", [value, emit.node("tanh", [scaled], {})], {});
  }
  const outputs = [
    {
      name: "o",
      role: "result" as const,
      node: value,
      shape: [B, T, 4],
      packing: { axis: "T", batchDim: 0, tokenDim: 1 },
    },
  ];
  const starts = emit.node("starts", [], { axis: "T" });
  return {
    name: "deep",
    axes,
    live: [],
    outputs,
    states: [],
    starts: new Map([["T", starts]]),
    inputs: [
      { name: "x", node: x, shape: [B, T, 4], packing: { axis: "T", batchDim: 0, tokenDim: 1 }, least: 0, below: null },
    ],
  };
}
