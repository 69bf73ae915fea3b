// Operators without inputs: values from the caller, weights, states and sizes.
import { countOf } from "../../ground/base/collections.js";
import { invariant } from "../../ground/base/invariant.js";
import { wholeShape } from "../ir/typing.js";
import { toNumber } from "../../ground/numerics/rational.js";
import { ropeFrequencies } from "../../ground/numerics/rope.js";
import { isWhole, printSize } from "../../ground/size/size.js";
import type { EvaluateContext, OpTable } from "./define.js";
import { bytesOf, mismatch, noCost, startsType } from "./shapes.js";
import { partAlong, shapeOf, roundStored, tensor } from "./tensors.js";
import { wgslLiteral } from "./wgsl.js";

type Source =
  | "input"
  | "weight"
  | "state"
  | "live"
  | "seed"
  | "constant"
  | "literal"
  | "size"
  | "starts"
  | "rope_table";

export const sources: Pick<OpTable, Source> = {
  input: {
    doc: "an input of the model, packed if it lies along a sequence axis",
    infer(_inputs, { dtype, shape }) {
      return [{ dtype, shape }];
    },
    cost: noCost,
    evaluate: (_inputs, { name, dtype, shape }, context) => [context.source("input", name, { dtype, shape })],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  weight: {
    doc: "a learned tensor, or a part of one along an axis",
    infer(_inputs, { dtype, shape, part }) {
      if (part && !(part.axis < shape.length && part.start + shape[part.axis]! <= part.of))
        mismatch(`a part of ${shape[part.axis] ?? 0} from ${part.start} on does not lie within ${part.of}`);
      return [{ dtype, shape }];
    },
    cost: noCost,
    evaluate(_inputs, attrs, context) {
      const { path, dtype, shape, part } = attrs;
      const whole = context.source("weight", path, { dtype, shape: wholeShape(attrs) });
      return [part ? partAlong(whole, part.axis, part.start, part.start + shape[part.axis]!) : whole];
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  state: {
    doc: "the value of a state before this run",
    infer(_inputs, { dtype, shape }) {
      return [{ dtype, shape }];
    },
    cost: noCost,
    evaluate: (_inputs, { name, dtype, shape }, context) => [context.source("state", name, { dtype, shape })],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  live: {
    doc: "a live parameter as a number",
    infer() {
      return [{ dtype: "f32", shape: [] }];
    },
    cost: noCost,
    evaluate(_inputs, { name }, context) {
      const value = context.live.get(name);
      invariant(value, `no value for live ${name}`);
      return [tensor("f32", [], Float64Array.of(toNumber(value)))];
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  seed: {
    doc: "the seed of random values",
    infer() {
      return [{ dtype: "u32", shape: [] }];
    },
    cost: noCost,
    evaluate: (_inputs, _attrs, context) => [tensor("u32", [], Float64Array.of(context.seed >>> 0))],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  constant: {
    doc: "a tensor of one value",
    infer(_inputs, { value, dtype, shape }) {
      if (
        (dtype === "u32" && value !== value >>> 0) ||
        (dtype === "i32" && value !== (value | 0)) ||
        (dtype === "bool" && value !== 0 && value !== 1)
      )
        mismatch(`${value} is no ${dtype}`);
      return [{ dtype, shape }];
    },
    cost: noCost,
    evaluate(_inputs, { value, dtype, shape }, context) {
      const t = tensor(dtype, shapeOf(shape, context));
      t.data.fill(value);
      return [roundStored(t)];
    },
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "constant", wgsl: ({ value, dtype }) => wgslLiteral(value, dtype) },
  },
  literal: {
    doc: "a tensor of numbers that the model's text has",
    infer(_inputs, { values, shape }) {
      if (countOf(shape) !== values.length) mismatch(`${values.length} values do not fill [${shape.join(", ")}]`);
      return [{ dtype: "f32", shape }];
    },
    cost: noCost,
    evaluate: (_inputs, { values, shape }) => [roundStored(tensor("f32", shape, Float64Array.from(values)))],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  size: {
    doc: "the value of a size",
    infer(_inputs, { size, dtype }) {
      if (dtype !== "f32" && !isWhole(size))
        mismatch(`size ${printSize(size)} need not be whole, so it is no ${dtype}`);
      return [{ dtype, shape: [] }];
    },
    cost: noCost,
    evaluate: (_inputs, { size, dtype }, context) => [
      roundStored(tensor(dtype, [], Float64Array.of(context.sizes.number(size)))),
    ],
    rows: null,
    tokens: ({ attrs }, along) => (along(attrs.size) ? "all" : "own"),
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  starts: {
    doc: "the first packed row of each sequence and, last, the number of rows, on an axis whose counts the host knows",
    infer(_inputs, { axis }, context) {
      const axisOfNode = context.axis(axis);
      if (axisOfNode.role !== "sequence" || !context.onHost(axis))
        mismatch(`${axis} is no sequence axis whose counts the host knows`);
      return [startsType(context)];
    },
    cost: noCost,
    evaluate: (_inputs, { axis }, context) => [startsTensor(context, axis)],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
  rope_table: {
    doc: "cosines of the width/2 angles of each position, then their sines, both times scale",
    infer(_inputs, { positions, width, frequencies }) {
      if (!Number.isInteger(width) || width < 2 || width % 2 !== 0) mismatch(`the width must be even, found ${width}`);
      if (frequencies && frequencies.length !== width / 2)
        mismatch(`a width of ${width} takes ${width / 2} frequencies, found ${frequencies.length}`);
      return [{ dtype: "f32", shape: [positions, width] }];
    },
    cost: (_inputs, _attrs, results) => ({ flops: 0, bytes: bytesOf(results) }),
    evaluate(_inputs, { positions, scale, ...table }, context) {
      const { width } = table;
      const half = width / 2;
      const frequencies = ropeFrequencies(table);
      const t = tensor("f32", [context.sizes.number(positions), width]);
      for (let p = 0; p < t.shape[0]!; p++)
        for (let i = 0; i < half; i++) {
          const angle = p * frequencies[i]!;
          t.data[p * width + i] = Math.cos(angle) * scale;
          t.data[p * width + half + i] = Math.sin(angle) * scale;
        }
      return [t];
    },
    rows: null,
    tokens: ({ attrs }, along) => (along(attrs.positions) ? "earlier" : "own"),
    columns: null,
    grad: null,
    lower: { kind: "source" },
  },
};

/** The starts of an axis from its counts in this run. */
const startsTensor = (context: EvaluateContext, axis: string) => {
  const starts = context.sizes.sequence(axis).starts();
  return tensor("u32", [starts.length], Float64Array.from(starts));
};
