// What the steps of random graphs around products can be: each takes numbers that choose among the values there are.
import { typeOf, type Node } from "../../../src/compiler/ir/graph.js";
import { equalShapes, packedAxis } from "../../../src/compiler/ir/typing.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import type { Size } from "../../../src/ground/size/size.js";
import { attended, attention, exchanged, heads, put, rope, routed, taken, turned } from "./random-sequence-steps.js";
import {
  constant,
  isMatrixLike,
  last,
  operand,
  weight,
  WIDTHS,
  type Instruction,
  type Maker,
  type World,
} from "./random-world.js";

const UNARY = [
  "neg",
  "abs",
  "tanh",
  "sigmoid",
  "silu",
  "relu",
  "gelu",
  "sin",
  "barrier",
  "stop_gradient",
] as const satisfies readonly OpName[];
const BINARY = ["add", "sub", "mul", "max", "add"] as const satisfies readonly OpName[];

/** x · w, plain or transposed. */
const product: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => isMatrixLike(v) && typeof last(v) === "number");
  if (!x) return [];
  const depth = Number(last(x));
  const n = WIDTHS[b % WIDTHS.length]!;
  const transposed = c % 2 === 0;
  return [world.emit.node("matmul", [x, weight(world, transposed ? [n, depth] : [depth, n])], { transposed })];
};

/** Slices of a product by weights side by side. */
const merged: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => isMatrixLike(v) && typeof last(v) === "number");
  if (!x) return [];
  const depth = Number(last(x));
  const equal = b % 2 === 0;
  const widths = Array.from(
    { length: 2 + (c % 2) },
    (_, i) => WIDTHS[(equal ? b >> 1 : (b >> 1) + 3 * i) % WIDTHS.length]!,
  );
  const parts = widths.map((n) => weight(world, [n, depth]));
  const y = world.emit.node("matmul", [x, world.emit.node("concat", parts, { axis: 0 })], { transposed: true });
  const axis = typeOf(y).shape.length - 1;
  const starts = widths.map((_, i) => widths.slice(0, i).reduce((t, w) => t + w, 0));
  const slices = widths.map((w, i) => world.emit.node("slice", [y], { axis, start: starts[i]!, stop: starts[i]! + w }));
  if (!equal || c % 3 === 0) return slices;
  const gate = world.emit.node(c % 3 === 1 ? "silu" : "sigmoid", [slices[0]!], {});
  return [...slices, world.emit.node("mul", [gate, slices[1]!], {})];
};

const unary: Maker = (world, a, b) => {
  const x = operand(world, a);
  return x ? [world.emit.node(UNARY[b % UNARY.length]!, [x], {})] : [];
};

/** Operands with equal shapes, or with a shape that broadcasts to the other. */
const binary: Maker = (world, a, b, c) => {
  const x = operand(world, a);
  if (!x) return [];
  const { shape } = typeOf(x);
  const broadcasts = (own: readonly Size[]): boolean =>
    own.length <= shape.length &&
    own.every((s, i) => s === 1 || equalShapes([s], [shape[i + shape.length - own.length]!]));
  const y = operand(world, b, (v) => broadcasts(typeOf(v).shape) && (v !== x || c % 7 === 0));
  if (!y) return [];
  const op = BINARY[c % BINARY.length]!;
  return [world.emit.node(op, c % 2 === 0 ? [x, y] : [y, x], {})];
};

const bias: Maker = (world, a, _b, c) => {
  const x = operand(world, a, (v) => isMatrixLike(v) && typeof last(v) === "number");
  return x ? [world.emit.node(c % 2 === 0 ? "add" : "mul", [x, weight(world, [Number(last(x))])], {})] : [];
};

const scaled: Maker = (world, a, b, c) => {
  const x = operand(world, a);
  return x ? [world.emit.node(b % 2 === 0 ? "add" : "mul", [x, constant(world, [0.5, -1, 2, 0][c % 4]!)], {})] : [];
};

/** x · rsqrt(mean(x²) + ε), or with the mean taken away as well. */
const norm: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => isMatrixLike(v) && typeof last(v) === "number");
  if (!x) return [];
  const { emit } = world;
  const axis = typeOf(x).shape.length - 1;
  const sum = (of: Node): Node => emit.node("sum", [of], { axes: [axis], keep: true });
  const mean = (of: Node): Node => emit.node("mul", [sum(of), constant(world, 1 / Number(last(x)))], {});
  const square = emit.node("powi", [x], { exponent: 2 });
  const spread =
    b % 3 === 0 ? emit.node("sub", [mean(square), emit.node("powi", [mean(x)], { exponent: 2 })], {}) : mean(square);
  const factor = emit.node("rsqrt", [emit.node("add", [emit.node("abs", [spread], {}), constant(world, 0.1)], {})], {});
  const centred = b % 3 === 0 ? emit.node("sub", [x, mean(x)], {}) : x;
  const y = emit.node("mul", [centred, factor], {});
  return c % 2 === 0 ? [y] : [emit.node("mul", [y, weight(world, [Number(last(x))])], {})];
};

const rowSum: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => isMatrixLike(v));
  if (!x) return [];
  const of = b % 2 === 0 ? x : world.emit.node("mul", [x, x], {});
  const rank = typeOf(x).shape.length;
  const keep = c % 3 !== 0;
  const axesOf = c % 5 === 0 ? [c % rank] : [rank - 1];
  const op = c % 11 === 0 ? "reduce_max" : "sum";
  return [world.emit.node("mul", [world.emit.node(op, [of], { axes: axesOf, keep }), constant(world, 0.1)], {})];
};

const softmax: Maker = (world, a, b) => {
  const x = operand(world, a, isMatrixLike);
  const rank = x ? typeOf(x).shape.length : 0;
  const axis = b % 4 === 0 ? b % Math.max(rank, 1) : rank - 1;
  return x && packedAxis(typeOf(x).shape[axis]!) === null ? [world.emit.node("softmax", [x], { axis })] : [];
};

const sliced: Maker = (world, a, b, c) => {
  const x = operand(world, a, (v) => typeOf(v).shape.some((s) => typeof s === "number" && s > 1));
  if (!x) return [];
  const { shape } = typeOf(x);
  const dims = shape.flatMap((s, d) => (typeof s === "number" && s > 1 ? [d] : []));
  const axis = b % 3 === 0 ? dims[b % dims.length]! : dims.at(-1)!;
  const size = Number(shape[axis]);
  const half = Math.floor(size / 2);
  const slice = (start: number, stop: number): Node => world.emit.node("slice", [x], { axis, start, stop });
  if (c % 2 === 0)
    return size % 2 === 0 ? [slice(0, half), slice(half, size)] : [slice(0, half), slice(half, size - 1)];
  const start = c % size;
  const stop = start + 1 + (b % (size - start));
  // Nothing else, the whole as well, or one that has some of the same columns.
  return [slice(start, stop), c % 3 === 0 ? slice(0, size) : c % 3 === 1 ? slice(Math.floor(start / 2), stop) : null];
};

const permuted: Maker = (world, a, b) => {
  const x = operand(world, a, isMatrixLike);
  if (!x) return [];
  const rank = typeOf(x).shape.length;
  const order = Array.from({ length: rank }, (_, i) => (i + 1 + (b % Math.max(1, rank - 1))) % rank);
  return [world.emit.node("permute", [x], { order })];
};

const cast: Maker = (world, a, b) => {
  const x = operand(world, a);
  if (!x) return [];
  const { emit } = world;
  const f32 = (of: Node): Node => emit.node("cast", [of], { dtype: "f32" });
  switch (b % 3) {
    case 0:
      return [f32(emit.node("cast", [x], { dtype: "f16" }))];
    case 1:
      // A continuous function: rounding cannot flip a branch.
      return [
        emit.node(
          "where",
          [emit.node("gt", [x, constant(world, 0)], {}), x, emit.node("mul", [x, constant(world, 0.5)], {})],
          {},
        ),
      ];
    default:
      return [emit.node("mul", [x, f32(emit.node("gt", [x, constant(world, 0)], {}))], {})];
  }
};

const broadcast: Maker = (world, a, b) => {
  const x = operand(world, a, (v) => typeOf(v).shape.length < 4);
  if (!x) return [];
  const { shape } = typeOf(x);
  if (b % 2 === 0) return [world.emit.node("broadcast", [x], { shape: [1 + (b % 3), ...shape] })];
  const wide = shape.map((s, d) => (s === 1 && d > 0 ? [2, 4, 8][b % 3]! : s));
  return [world.emit.node("broadcast", [x], { shape: wide })];
};

/** A product by a computed value. */
const byValue: Maker = (world, a, b, c) => {
  const x = operand(world, a, isMatrixLike);
  if (!x) return [];
  const transposed = c % 2 === 0;
  const inner = (v: Node): Size => typeOf(v).shape.at(transposed ? -1 : -2)!;
  const y = operand(world, b, (v) => {
    const lead = typeOf(v).shape.slice(0, -2);
    return (
      isMatrixLike(v) &&
      equalShapes([inner(v)], [last(x)]) &&
      (lead.length === 0 || equalShapes(lead, typeOf(x).shape.slice(0, -2)))
    );
  });
  return y ? [world.emit.node("tanh", [world.emit.node("matmul", [x, y], { transposed })], {})] : [];
};

const joined: Maker = (world, a, b) => {
  const x = operand(world, a, isMatrixLike);
  if (!x) return [];
  const { shape } = typeOf(x);
  const axis = shape.length - 1;
  if (packedAxis(shape[axis]!) !== null || typeof shape[axis] !== "number") return [];
  const y = operand(
    world,
    b,
    (v) => typeOf(v).shape.length === shape.length && equalShapes(typeOf(v).shape.slice(0, -1), shape.slice(0, -1)),
  );
  return y && typeof last(y) === "number" ? [world.emit.node("concat", [x, y], { axis })] : [];
};

const MAKERS: readonly Maker[] = [
  product,
  product,
  product,
  merged,
  merged,
  unary,
  unary,
  binary,
  binary,
  binary,
  bias,
  bias,
  scaled,
  norm,
  norm,
  rowSum,
  rowSum,
  softmax,
  taken,
  taken,
  put,
  put,
  routed,
  routed,
  sliced,
  sliced,
  permuted,
  heads,
  heads,
  rope,
  turned,
  turned,
  exchanged,
  attention,
  attended,
  cast,
  broadcast,
  byValue,
  joined,
];

const MOST_ELEMENTS = 4096;

/** Values stay of few dimensions and small. */
function fitsIn(node: Node): boolean {
  const { shape } = typeOf(node);
  const packed = shape.flatMap((s) => packedAxis(s) ?? []);
  const known = shape.reduce((n: number, s) => n * (typeof s === "number" ? s : 16), 1);
  // No kernel knows the product of two counts that only the device has.
  return (
    shape.length <= 5 &&
    (packed.length <= 1 || (packed.length === 2 && !packed.some((axis) => ["L", "D", "E"].includes(axis)))) &&
    known <= MOST_ELEMENTS
  );
}

/** The nodes that a step makes from existing values; none if no value fits. */
export function made([kind, a, b, c]: Instruction, world: World): readonly Node[] {
  return MAKERS[kind % MAKERS.length]!(world, a, b, c).filter((n): n is Node => n !== null && fitsIn(n));
}
