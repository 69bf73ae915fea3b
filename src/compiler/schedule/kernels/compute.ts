// Specs of reductions and losses.
import { isFloat, type DType } from "../../../ground/base/dtype.js";
import type { Size } from "../../../ground/size/size.js";
import type { TensorType } from "../../ir/types.js";
import { stridesOf } from "../addressing/index-map.js";
import { rounding } from "../codecs/codec.js";
import { storageType } from "../codecs/words.js";
import type { ReductionTunings } from "../tunings/reductions.js";
import {
  around,
  input,
  KernelBuilder,
  readValues,
  result,
  scratch,
  typeAt,
  work,
  WORKGROUP,
  type Spec,
} from "./spec.js";

/** Reductions of at most this constant number of elements get one invocation each; longer ones a workgroup. */
const SHORT_REDUCTION = 1024;
/** The same for `reduce_wide`: a single invocation would wait for every load. */
const SHORT_WIDE = 64;

/** The most neighbouring reductions that read together: the width of a typical cache line. */
const MOST_ACROSS = 16;

interface Combination {
  readonly identity: (dtype: DType) => string;
  readonly combine: (dtype: DType) => string;
}

const LEAST = { u32: "0u", i32: "bitcast<i32>(0x80000000u)", f32: "modc_bits(0xff800000u)" };
const GREATEST = { u32: "0xffffffffu", i32: "0x7fffffffi", f32: "modc_bits(0x7f800000u)" };

/**
 * Long reductions to one element are computed in two steps (split-K), of parts and of the partial results, as a single
 * workgroup would leave the device idle.
 */
const LEAST_PART = 2048;
const MOST_PARTS = 1024;

/** The number of equal parts of a reduction, a power of two; 1 for few elements, or an odd number of them. */
function partsOf(extent: Size): number {
  if (typeof extent !== "number") return 1;
  let parts = 1;
  while (2 * parts <= MOST_PARTS && extent % (2 * parts) === 0 && extent / (2 * parts) >= LEAST_PART) parts *= 2;
  return parts;
}

const reduction = (how: Combination): Spec<"sum" | "reduce_max" | "reduce_min"> => {
  const declare = (kernel: KernelBuilder, dtype: DType, rounds: boolean): void => {
    kernel.function(`fn identity() -> Value { return ${how.identity(dtype)}; }`);
    kernel.function(`fn combine(a: Value, b: Value) -> Value { return ${how.combine(dtype)}; }`);
    kernel.function(`fn rounded(v: Value) -> Value { return ${rounds && dtype === "f16" ? "modc_f16(v)" : "v"}; }`);
  };
  return ({ attrs, inputs, extents, tunings, prologue, stored }) => {
    const x = typeAt(inputs, 0);
    const strides = stridesOf(extents, x.shape);
    const along = (kept: boolean): number[] => x.shape.flatMap((_, d) => (attrs.axes.includes(d) === kept ? [] : [d]));
    const [kept, reduced] = [along(true), along(false)];
    const outputs = extents.product(kept.map((d) => x.shape[d]!));
    const extent = extents.product(reduced.map((d) => x.shape[d]!));
    const type = storageType(x.dtype);
    const { lanes, wide = false } = tunings.reductions;
    const parts = kept.length === 0 ? partsOf(extent) : 1;
    const walks = (dims: readonly number[]): readonly [readonly Size[], readonly Size[]] => [
      dims.map((d) => x.shape[d]!),
      dims.map((d) => strides[d]!),
    ];
    const part = typeof extent === "number" ? extent / parts : extent;
    const [over, within] =
      parts === 1
        ? [walks(kept), walks(reduced)]
        : ([
            [[parts], [part]],
            [[part], [1]],
          ] as const);
    const [target, count] = parts === 1 ? [result(), outputs] : [scratch(), parts];
    const most = wide ? SHORT_WIDE : SHORT_REDUCTION;
    const short = typeof part === "number" && part <= most;
    // If neighbouring reductions are contiguous and the elements of one are not, neighbours read together.
    const sideBySide = parts === 1 && !attrs.axes.includes(x.shape.length - 1);
    const across = sideBySide ? (wide ? MOST_ACROSS : Math.min(lanes, MOST_ACROSS)) : 1;
    const long = (name?: string): KernelBuilder =>
      wide
        ? new KernelBuilder("reduce_wide", extents, name)
        : new KernelBuilder("reduce_long", extents, name).constant("LANES", lanes);
    const kernel = short ? new KernelBuilder("reduce", extents) : long().constant("ACROSS", across);
    readValues(kernel, prologue, { name: "x", type, place: 0, codec: stored.reads[0] }).write("y", type, target);
    kernel
      .alias("Value", type)
      .count("outputs", count)
      .count("extent", part)
      .index("base", ...over)
      .index("step", ...within);
    declare(kernel, x.dtype, parts === 1);
    const step = short ? kernel.over(count) : kernel.dispatch(extents.ceilDivide(count, across));
    if (parts === 1) return work([step]);
    const name = "reduce_parts";
    const few = parts <= most;
    const last = (few ? new KernelBuilder("reduce", extents, name) : long(name).constant("ACROSS", 1))
      .read("x", type, scratch())
      .write("y", type, result());
    last
      .function(`fn value(i: u32) -> ${type} { return x[i]; }`)
      .alias("Value", type)
      .count("outputs", 1)
      .count("extent", parts)
      .index("base", [], [])
      .index("step", [parts], [1]);
    declare(last, x.dtype, true);
    return work([step, few ? last.over(1) : last.dispatch(1)], [4 * parts]);
  };
};

const sum: Spec<"sum"> = reduction({ identity: (t) => `${storageType(t)}(0)`, combine: () => "a + b" });
const reduceMax: Spec<"reduce_max"> = reduction({
  identity: (t) => LEAST[storageType(t)],
  combine: (t) => (isFloat(t) ? "modc_max(a, b)" : "max(a, b)"),
});
const reduceMin: Spec<"reduce_min"> = reduction({
  identity: (t) => GREATEST[storageType(t)],
  combine: (t) => (isFloat(t) ? "modc_min(a, b)" : "min(a, b)"),
});

/** Integer keys with the order of the values: NaN highest, −0 equal to 0. */
const KEYS = {
  u32: "fn key(bits: u32) -> u32 { return bits; }",
  i32: "fn key(bits: u32) -> u32 { return bits ^ 0x80000000u; }",
  f32: `fn key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0xffffffffu; }
  if (magnitude == 0u) { return 0x80000000u; }
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}`,
};

const argmax: Spec<"argmax"> = ({ attrs, inputs, extents, tunings }) => {
  const x = typeAt(inputs, 0);
  const { outer, rows, inner } = around(extents, x.shape, attrs.axis);
  const outputs = extents.times(outer, inner);
  const short = typeof rows === "number" && rows <= SHORT_REDUCTION;
  const kernel = short
    ? new KernelBuilder("argmax", extents)
    : new KernelBuilder("argmax_long", extents).constant("LANES", tunings.reductions.lanes);
  kernel.read("x", "u32", input(0)).write("y", "u32", result());
  kernel.count("outputs", outputs).count("extent", rows);
  kernel
    .index("base", [outer, inner], [extents.times(rows, inner), 1])
    .index("step", [rows], [inner])
    .function(KEYS[storageType(x.dtype)]);
  return work([short ? kernel.over(outputs) : kernel.dispatch(outputs)]);
};

/** Declares how many invocations of a workgroup share a row of `extent` elements; returns the rows of a workgroup. */
export function rowsTogether(kernel: KernelBuilder, extent: Size, { lanes, alone }: ReductionTunings): number {
  const single = typeof extent === "number" && extent <= alone;
  const [invocations, shared] = single ? [WORKGROUP, 1] : [lanes, lanes];
  kernel.constant("INVOCATIONS", invocations).constant("LANES", shared);
  return invocations / shared;
}

const softmax: Spec<"softmax"> = ({ attrs, inputs, extents, tunings, prologue, stored }) => {
  const x = typeAt(inputs, 0);
  const { outer, rows, inner } = around(extents, x.shape, attrs.axis);
  const kernel = new KernelBuilder("softmax", extents);
  const together = rowsTogether(kernel, rows, tunings.reductions);
  readValues(kernel, prologue, { name: "x", type: "f32", place: 0 }).write(
    "y",
    stored.writes[0]!.element("f32"),
    result(),
  );
  kernel.count("rowCount", extents.times(outer, inner)).count("extent", rows).count("stride", inner);
  kernel.index("base", [outer, inner], [extents.times(rows, inner), 1]).function(rounding(stored.writes[0]!, x.dtype));
  return work([kernel.dispatch(extents.ceilDivide(extents.times(outer, inner), together))]);
};

const crossEntropy: Spec<"cross_entropy"> = ({ inputs, extents, tunings }) => {
  const [x, targets] = [typeAt(inputs, 0), typeAt(inputs, 1)];
  const rows = extents.product(targets.shape);
  const kernel = new KernelBuilder("cross_entropy", extents)
    .read("x", "f32", input(0))
    .read("targets", "u32", input(1))
    .write("y", "f32", result());
  const classes = x.shape.at(-1)!;
  const together = rowsTogether(kernel, classes, tunings.reductions);
  kernel.count("rowCount", rows).count("classes", classes);
  kernel.function(ignoring(targets));
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};

/** `fn ignored(bits: u32) -> bool`: whether a target is negative, so that its row has no loss. */
export const ignoring = ({ dtype }: TensorType): string =>
  `fn ignored(bits: u32) -> bool { return ${dtype === "i32" ? "bits >= 0x80000000u" : "false"}; }`;

const classSums: Spec<"class_sums"> = ({ attrs, inputs, extents, tunings }) => {
  const before = inputs.length === 3 ? 1 : 0;
  const [x, targets] = [typeAt(inputs, before), typeAt(inputs, before + 1)];
  const [rows, classes] = [extents.product(targets.shape), x.shape.at(-1)!];
  const kernel = new KernelBuilder("class_sums", extents)
    .read("x", "f32", input(before))
    .read("targets", "u32", input(before + 1))
    .write("y", "f32", result());
  if (before === 1) kernel.read("sums", "f32", input(0));
  const together = rowsTogether(kernel, classes, tunings.reductions);
  kernel
    .count("rowCount", rows)
    .count("classes", classes)
    .count("firstClass", attrs.first)
    .count("allClasses", attrs.classes);
  kernel.function(
    "fn before(n: u32) -> vec3f { return " +
      `${before === 1 ? "vec3f(sums[3u * n], sums[3u * n + 1u], sums[3u * n + 2u])" : "vec3f(LOWEST, 0.0, 0.0)"}; }`,
  );
  return work([kernel.dispatch(extents.ceilDivide(rows, together))]);
};

export const computeSpecs = {
  sum,
  reduce_max: reduceMax,
  reduce_min: reduceMin,
  argmax,
  softmax,
  cross_entropy: crossEntropy,
  class_sums: classSums,
};
