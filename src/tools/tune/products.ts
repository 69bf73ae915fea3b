// Matrix products as workloads: the shapes of weights in a model, and the expected results of each product.
import { roundToF16 } from "../../ground/base/f16.js";
import { createEmit } from "../../compiler/ir/build.js";
import { isOp, nodesOf, typeOf, type Graph } from "../../compiler/ir/graph.js";
import { ops } from "../../compiler/ops/index.js";
import { atOnce, inTurns } from "../../runtime/weights/in-turns.js";
import type { Axis } from "../../ground/size/axes.js";
import { axisSize, rowsSize } from "../../ground/size/size.js";
import { normals, type Workload } from "./workload.js";

/** A product's weight: K × N or, if `transposed`, N × K. */
export interface ProductShape {
  readonly depth: number;
  readonly columns: number;
  readonly transposed: boolean;
}

/** Weight shapes of models with some 512 channels, for tuning without a model. */
export const COMMON_SHAPES: readonly ProductShape[] = [
  { depth: 512, columns: 512, transposed: true },
  { depth: 512, columns: 2048, transposed: true },
  { depth: 2048, columns: 512, transposed: true },
];

/** The distinct weight shapes of a graph's products, the most work first. */
export function productShapes(graph: Graph): readonly ProductShape[] {
  const found = new Map<string, { readonly shape: ProductShape; count: number }>();
  for (const node of nodesOf(graph)) {
    if (!isOp(node, "matmul")) continue;
    const b = node.inputs[1];
    const constant = isOp(b, "weight") || (isOp(b, "concat") && b.inputs.every((n) => isOp(n, "weight")));
    const [depth, columns] = [typeOf(node.inputs[0]).shape.at(-1), typeOf(node).shape.at(-1)];
    if (!constant || typeof depth !== "number" || typeof columns !== "number" || depth * columns === 0) continue;
    const key = `${depth} ${columns}`;
    const known = found.get(key);
    if (known) known.count++;
    else found.set(key, { shape: { depth, columns, transposed: node.attrs.transposed }, count: 1 });
  }
  const work = ({ shape, count }: { readonly shape: ProductShape; readonly count: number }): number =>
    shape.depth * shape.columns * count;
  return [...found.values()].sort((a, b) => work(b) - work(a)).map(({ shape }) => shape);
}

/**
 * y[B, T, N] = x[B, T, K] · w, with T rows. `rounding`: weights are f16, so operands may be rounded; f16 represents the
 * operands exactly.
 */
export function productWorkload(shape: ProductShape, rows: readonly number[], rounding = false): Workload {
  const { depth, columns } = shape;
  let made: Data | null = null;
  const data = (): Data => (made ??= atOnce(productData(shape, rounding)));
  return {
    name: `product ${depth} × ${columns}${rounding ? ", in f16" : ""}`,
    family: "products",
    graph: productGraph(shape),
    sizes: rows,
    counts: "rows",
    precision: rounding ? { weights: "f16" } : {},
    sameBits: !rounding,
    flops: (size) => 2 * size * depth * columns,
    bytes: (size) => (rounding ? 2 : 4) * depth * columns + 4 * size * (depth + columns),
    weights: () => data().w,
    inputs: (size) => ({ x: inputRows(data(), depth, size) }),
    prepare: async (pause) => void (made ??= await inTurns(productData(shape, rounding), pause)),
    faultOf: (results, size) => faultOf(data(), results["y"]!.data, columns, size),
  };
}

function productGraph({ depth, columns, transposed }: ProductShape): Graph {
  const axes: readonly Axis[] = [
    { role: "batch", name: "B", bound: null },
    { role: "sequence", name: "T", bound: null, count: { kind: "input" } },
  ];
  const make = createEmit(ops, axes);
  const x = make.node("input", [], { name: "x", dtype: "f32", shape: [rowsSize("T"), depth] });
  const w = make.node("weight", [], {
    path: "w",
    dtype: "f32",
    shape: transposed ? [columns, depth] : [depth, columns],
  });
  const packing = { axis: "T", batchDim: 0, tokenDim: 1 };
  return {
    name: "product",
    axes,
    live: [],
    inputs: [{ name: "x", node: x, shape: [axisSize("B"), axisSize("T"), depth], packing, least: 0, below: null }],
    outputs: [
      {
        name: "y",
        role: "result",
        node: make.node("matmul", [x, w], { transposed }),
        shape: [axisSize("B"), axisSize("T"), columns],
        packing,
      },
    ],
    states: [],
    starts: new Map([["T", make.node("starts", [], { axis: "T" })]]),
  };
}

// --- values

/**
 * The number of distinct rows of x: row i is row i mod DISTINCT. It divides no tile size, so a kernel that reads a
 * wrong row gives wrong results.
 */
const DISTINCT = 7;

interface Data {
  /** f32[DISTINCT, K] */
  readonly x: Float32Array;
  /** In the checkpoint's layout. */
  readonly w: Float32Array;
  /** [DISTINCT, N], summed in 64 bits. */
  readonly expected: Float64Array;
  /** [DISTINCT, N]: the allowed error of a sum in f32. */
  readonly allowed: Float64Array;
}

/** Normally distributed values, the same on every machine, and their product, computed on the host. */
function* productData({ depth, columns, transposed }: ProductShape, rounding: boolean): Generator<void, Data> {
  const of = (values: Float32Array): Float32Array => (rounding ? values.map(roundToF16) : values);
  const x = of(yield* normals(DISTINCT * depth, 1));
  const w = of(yield* normals(depth * columns, 2));
  const expected = new Float64Array(DISTINCT * columns);
  const size = new Float64Array(DISTINCT * columns);
  const [strideK, strideN] = transposed ? [1, depth] : [columns, 1];
  for (let r = 0; r < DISTINCT; r++)
    for (let n = 0; n < columns; n++) {
      let [sum, magnitude] = [0, 0];
      for (let k = 0; k < depth; k++) {
        const term = x[r * depth + k]! * w[k * strideK + n * strideN]!;
        sum += term;
        magnitude += Math.abs(term);
      }
      expected[r * columns + n] = sum;
      size[r * columns + n] = magnitude;
      yield;
    }
  // Rounding errors of a sum of sums of 64 terms, relative to the sum of magnitudes (Higham 2002, 4.2), doubled because
  // a device may round products too. Matrix units may sum sequentially.
  const roundings = 2 * (rounding ? depth + 1 : 64 + Math.ceil(depth / 64));
  return { x, w, expected, allowed: size.map((s) => s * roundings * 2 ** -24) };
}

/** The input x of a run: [1, rows, K]. */
function inputRows(
  { x }: Data,
  depth: number,
  rows: number,
): { readonly shape: readonly number[]; readonly data: Float32Array } {
  const data = new Float32Array(rows * depth);
  for (let r = 0; r < rows; r++) data.set(x.subarray((r % DISTINCT) * depth, ((r % DISTINCT) + 1) * depth), r * depth);
  return { shape: [1, rows, depth], data };
}

/** Each row must be close to the host's, and have the same bits wherever it is repeated. */
function faultOf({ expected, allowed }: Data, y: ArrayLike<number>, columns: number, rows: number): string | null {
  if (y.length !== rows * columns) return `gives ${y.length} values for ${rows * columns}`;
  for (let i = 0; i < y.length; i++) {
    const [r, n] = [Math.floor(i / columns), i % columns];
    const at = (r % DISTINCT) * columns + n;
    const value = y[i]!;
    if (!(Math.abs(value - expected[at]!) <= allowed[at]!))
      return `gives ${value} for ${expected[at]!} at row ${r}, column ${n}, of ${rows} rows`;
    if (value !== y[at]) return `gives other bits to a row at ${r} than at ${r % DISTINCT}, of ${rows} rows`;
  }
  return null;
}
