// Checks the caller's arguments of a run against the graph: tensors, extents of axes, lengths, live parameters.
import { countOf } from "../../ground/base/collections.js";
import { ModcError } from "../../ground/base/errors.js";
import type { Graph, GraphInput } from "../ir/graph.js";
import { plainAxis, printShape } from "../ir/typing.js";
import type { Tensor } from "../ops/define.js";
import { roundStored, tensor } from "../ops/tensors.js";
import type { RunSizes } from "../../ground/size/axes.js";
import { lengthsByAxis, type Lengths } from "../../ground/size/lengths.js";
import type { DType } from "../../ground/base/dtype.js";
import type { Rational } from "../../ground/numerics/rational.js";

/** Numbers or booleans in nested arrays, one level for each dimension. */
export type Nested = number | boolean | readonly Nested[];

/** A tensor as its shape and row-major elements, or as nested arrays. */
export type GivenInput = { readonly shape: readonly number[]; readonly data: ArrayLike<number> } | Nested;

/** A faulty argument: a missing input, a wrong shape, or a value out of range. */
export class InputError extends ModcError<"bad-input" | "ambiguous-lengths"> {
  override readonly name = "InputError";

  constructor(message: string, hint: string | null = null, code: "bad-input" | "ambiguous-lengths" = "bad-input") {
    super(code, message, { hint });
  }
}

/** The elements and the shape of nested arrays; all arrays at one depth must have one length. */
export function fromNested(
  name: string,
  value: Nested,
): { readonly shape: readonly number[]; readonly data: Float64Array } {
  const shape: number[] = [];
  for (let v: Nested | undefined = value; isList(v); v = v[0]) shape.push(v.length);
  const data: number[] = [];
  const visit = (v: Nested, depth: number): void => {
    if (!isList(v)) {
      if (depth !== shape.length || (typeof v !== "number" && typeof v !== "boolean")) throw ragged();
      data.push(Number(v));
    } else {
      if (v.length !== shape[depth]) throw ragged();
      for (const inner of v) visit(inner, depth + 1);
    }
  };
  const ragged = (): InputError => new InputError(`${name}: nested arrays must be of equal lengths and hold numbers`);
  visit(value, 0);
  return { shape, data: Float64Array.from(data) };
}

const isList = (v: GivenInput | undefined): v is readonly Nested[] => Array.isArray(v);

/** Converts a caller's value to a tensor of the input's dtype. */
export function toTensor(name: string, given: GivenInput, dtype: DType): Tensor {
  // an object that is not a list has `shape` and `data`
  const { shape, data } = typeof given === "object" && !isList(given) ? given : fromNested(name, given);
  if (data.length !== countOf(shape))
    throw new InputError(`${name}: shape [${shape.join(", ")}] holds ${countOf(shape)} values, found ${data.length}`);
  const values = Float64Array.from(data);
  const whole =
    dtype === "u32" ? [0, 0xffffffff] : dtype === "i32" ? [-0x80000000, 0x7fffffff] : dtype === "bool" ? [0, 1] : null;
  if (whole)
    for (const v of values)
      if (!Number.isInteger(v) || v < whole[0]! || v > whole[1]!) throw new InputError(`${name}: ${v} is no ${dtype}`);
  return roundStored(tensor(dtype, shape, values));
}

/** Parameters of a run that the input shapes do not determine: lengths, and extents of axes that no input has. */
export interface RunParameters {
  readonly lengths: Lengths | null;
  readonly live: ReadonlyMap<string, Rational>;
  readonly extents: ReadonlyMap<string, number>;
}

/** The extents and lengths of the run, from the shapes of the inputs. */
export function runSizes(
  graph: Graph,
  inputs: ReadonlyMap<string, Tensor>,
  { lengths, live, extents: given }: RunParameters,
): RunSizes {
  const extents = new Map(given);
  for (const input of graph.inputs) readExtents(input, inputs.get(input.name)!, graph, extents);
  const all = lengthsByAxis(lengths, graph.axes, extents);
  if ("code" in all) throw new InputError(all.message, all.hint, all.code);
  return { extents, lengths: all, live };
}

function readExtents(input: GraphInput, given: Tensor, graph: Graph, extents: Map<string, number>): void {
  const shape = `[${given.shape.join(", ")}]`;
  const fail = (what: string): never => {
    throw new InputError(`input ${input.name}: ${what}`);
  };
  if (given.shape.length !== input.shape.length) fail(`expected ${printShape(input.shape)}, found ${shape}`);
  input.shape.forEach((size, d) => {
    const extent = given.shape[d]!;
    const name = plainAxis(size);
    if (name === null) {
      if (size !== extent) fail(`expected ${printShape(input.shape)}, found ${shape}`);
      return;
    }
    const known = extents.get(name);
    if (known !== undefined && known !== extent) fail(`${name} is ${known} elsewhere, found ${extent} in ${shape}`);
    if (extent < 1) fail(`${name} must be at least 1, found ${shape}`);
    const bound = graph.axes.find((a) => a.name === name)?.bound ?? null;
    if (bound !== null && extent > bound) fail(`${name} must be at most ${bound}, found ${extent}`);
    extents.set(name, extent);
  });
}

/** Checks that indices and labels are in range; padding is not checked. */
export function checkRange(input: GraphInput, packed: Tensor): void {
  if (input.below === null) return;
  for (const v of packed.data)
    if (v >= input.below || v < input.least)
      throw new InputError(
        `input ${input.name}: values must lie from ${input.least} to ${input.below - 1}, found ${v}`,
      );
}
