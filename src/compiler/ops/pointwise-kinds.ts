// Builds the records of pointwise operators from a function of one element, and adds properties to records.
import { countOf } from "../../ground/base/collections.js";
import { typeOf } from "../ir/graph.js";
import { isFloat, type DType } from "../../ground/base/dtype.js";
import type { OpName, PlainPointwiseOp } from "../ir/vocabulary.js";
import { algebra, unbroadcast } from "./algebra.js";
import type { Lowering, OpDef, Tensor } from "./define.js";
import { aligned } from "./rows.js";
import { broadcastShapes, costPerResult, expectDtype, FLOATS, NUMBERS, sameDtype } from "./shapes.js";
import type { Slope, Slopes } from "./slopes.js";
import { at, broadcastNumbers, broadcastOffsets, roundStored, tensor } from "./tensors.js";

/** Applies f to the elements of the inputs, paired by broadcasting. */
export function map(dtype: DType, inputs: readonly Tensor[], f: (a: number, b: number, c: number) => number): Tensor {
  const shape = broadcastNumbers(inputs.map((t) => t.shape));
  const out = new Float64Array(countOf(shape));
  const [a, b, c] = inputs.map((t) => ({ data: t.data, offsets: broadcastOffsets(t.shape, shape) }));
  for (let i = 0; i < out.length; i++) {
    const x = a!.data[a!.offsets ? a!.offsets[i]! : i]!;
    const y = b ? b.data[b.offsets ? b.offsets[i]! : i]! : 0;
    out[i] = f(x, y, c ? c.data[c.offsets ? c.offsets[i]! : i]! : 0);
  }
  return roundStored(tensor(dtype, shape, out));
}

/**
 * The properties of all elementwise operators: each row, token and column of the result depends on the same row, token
 * and column of the inputs.
 */
export const ELEMENTWISE = { rows: aligned, tokens: "own", columns: "kept" } as const;

/** Rounds an f16 result. */
export const rounded = (dtype: DType, wgsl: string): string => (dtype === "f16" ? `modc_f16(${wgsl})` : wgsl);

export type Plain = OpDef<PlainPointwiseOp>;

interface Unary {
  readonly doc: string;
  readonly dtypes: readonly DType[];
  readonly f: (x: number, dtype: DType) => number;
  readonly wgsl: (x: string, dtype: DType) => string;
  readonly grad: Slope | null;
}

export const unary = ({ doc, dtypes, f, wgsl, grad }: Unary): Plain => ({
  doc,
  infer(inputs) {
    return [expectDtype(inputs, 0, ...dtypes)];
  },
  cost: costPerResult(1),
  ...ELEMENTWISE,
  evaluate(inputs) {
    const x = at(inputs, 0);
    return [map(x.dtype, [x], (v) => f(v, x.dtype))];
  },
  grad: grad && ((emit, node, [dy]) => [grad(algebra(emit, node), dy!, node.inputs[0], node)]),
  lower: { kind: "pointwise", wgsl: ([x], _attrs, [type]) => rounded(type!.dtype, wgsl(x!, type!.dtype)) },
});

export const floats = (doc: string, f: (x: number) => number, wgsl: (x: string) => string, grad: Slope): Plain =>
  unary({ doc, dtypes: FLOATS, f, wgsl, grad });

interface Binary {
  readonly doc: string;
  readonly dtypes: readonly DType[];
  readonly f: (a: number, b: number, dtype: DType) => number;
  readonly wgsl: (a: string, b: string, dtype: DType) => string;
  readonly grad: Slopes | null;
}

export const binary = ({ doc, dtypes, f, wgsl, grad }: Binary, result?: "bool"): Plain => ({
  doc,
  infer(inputs) {
    const [a, b] = [expectDtype(inputs, 0, ...dtypes), expectDtype(inputs, 1, ...dtypes)];
    const dtype = sameDtype(a, b);
    return [{ dtype: result ?? dtype, shape: broadcastShapes([a.shape, b.shape]) }];
  },
  cost: costPerResult(1),
  ...ELEMENTWISE,
  evaluate(inputs) {
    const { dtype } = at(inputs, 0);
    return [map(result ?? dtype, inputs, (a, b) => f(a, b, dtype))];
  },
  grad:
    grad &&
    ((emit, node, [dy]) => {
      const [a, b] = node.inputs;
      const [da, db] = grad(algebra(emit, node), dy!, a, b, node);
      return [unbroadcast(emit, da, typeOf(a)), unbroadcast(emit, db, typeOf(b))];
    }),
  lower: {
    kind: "pointwise",
    wgsl: ([a, b], _attrs, [type]) => rounded(result ?? type!.dtype, wgsl(a!, b!, type!.dtype)),
  },
});

/** A comparison; `onFloats` is its WGSL for floats, in which NaN compares as IEEE 754 requires. */
export const comparison = (
  doc: string,
  f: (a: number, b: number) => boolean,
  operator: string,
  onFloats: (a: string, b: string) => string,
  dtypes: readonly DType[] = NUMBERS,
): Plain =>
  binary(
    {
      doc,
      dtypes,
      f: (a, b) => Number(f(a, b)),
      wgsl: (a, b, dtype) => (isFloat(dtype) ? onFloats(a, b) : `(${a} ${operator} ${b})`),
      grad: null,
    },
    "bool",
  );

export const arithmetic = (
  doc: string,
  operator: string,
  f: (a: number, b: number, dtype: DType) => number,
  grad: Slopes,
): Plain => binary({ doc, dtypes: NUMBERS, f, wgsl: (a, b) => `(${a} ${operator} ${b})`, grad });

interface Expression {
  readonly lower: Lowering<OpName>["pointwise"];
}
/** Marks a record as cheap to recompute. */
export const cheap = <D extends Expression>(def: D): D => ({ ...def, lower: { ...def.lower, cheap: true } });
/** Marks a record as bit-identical on every driver. */
export const exact = <D extends Expression>(def: D): D => ({ ...def, lower: { ...def.lower, exact: true } });
/** Marks a record as linear in the selected inputs: zeros there give zeros. */
export const linear = <D extends Expression>(def: D, at: (input: number) => boolean = () => true): D => ({
  ...def,
  linear: at,
});
