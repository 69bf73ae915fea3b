// Compares, prints and infers types, without importing the operators' records.
import { knownOnHost, type Axis } from "../../ground/size/axes.js";
import { axisSize, equalSizes, printSize, type Size } from "../../ground/size/size.js";
import type { InputsOf, Node } from "./graph.js";
import type { TensorType } from "./types.js";
import type { Arity } from "./schema.js";
import { schemas, type OpAttrs, type OpName } from "./vocabulary.js";

/** The context of type inference, in addition to inputs and attributes. */
export interface InferContext {
  /** The axis of that name. Throws TypeMismatch if there is none. */
  axis(name: string): Axis;
  /** Whether the counts of an axis are known before the program runs. */
  onHost(axis: string): boolean;
  /** Extent of the batch axis; 1 if there is none. */
  readonly batch: Size;
}

/** Thrown by `infer` for inputs that do not fit. The verifier and the IR parser report it. */
export class TypeMismatch extends Error {
  override readonly name = "TypeMismatch";
}

/**
 * The inputs of a node that must be the starts of an axis: each as the axis, null for any axis, and the input's index.
 */
export type StartsRead = readonly (readonly [axis: string | null, input: number])[];

/** The part of the operator table that the IR uses; `ops` in `ops/index.ts` implements it. */
export type Typing = {
  readonly [K in OpName]: {
    infer(inputs: readonly TensorType[], attrs: OpAttrs[K], context: InferContext): readonly TensorType[];
    readonly starts?: (node: Node<K>, axes: readonly Axis[]) => StartsRead;
  };
};

export function inferContext(axes: readonly Axis[]): InferContext {
  const byName = new Map(axes.map((a) => [a.name, a]));
  const batch = axes.find((a) => a.role === "batch");
  return {
    batch: batch ? axisSize(batch.name) : 1,
    onHost: (axis) => knownOnHost(axes, axis),
    axis(name) {
      const axis = byName.get(name);
      if (!axis) throw new TypeMismatch(`there is no axis ${name}`);
      return axis;
    },
  };
}

/**
 * Infers the types of an operator's results. For `pick`, the input types are the types of all results of the node that
 * it reads. Throws TypeMismatch.
 */
export function inferTypes<K extends OpName>(
  typing: Typing,
  op: K,
  inputs: readonly Node[],
  attrs: OpAttrs[K],
  context: InferContext,
): readonly TensorType[] {
  checkArity(schemas[op].inputs, inputs.length);
  return typing[op].infer(inputTypes(op, inputs), attrs, context);
}

/** Checks the number of an operator's inputs. Throws TypeMismatch for a wrong number. */
export function inputsFor<K extends OpName>(op: K, nodes: readonly Node[]): InputsOf<K> {
  checkArity(schemas[op].inputs, nodes.length);
  return nodes as InputsOf<K>; // checkArity has checked the number
}

function checkArity(arity: Arity, found: number): void {
  if (arity === "any") return;
  const [least, most] = typeof arity === "number" ? [arity, arity] : arity === "some" ? [1, Infinity] : arity;
  if (found >= least && found <= most) return;
  const count = found < least ? least : most;
  const expected = `${arity === "some" ? "at least one" : count} input${count === 1 ? "" : "s"}`;
  throw new TypeMismatch(`takes ${expected}, found ${found === 0 && arity === "some" ? "none" : found}`);
}

/**
 * The types of a node's inputs as `infer`, `cost` and kernels see them; for `pick`, the types of all results of its
 * input.
 */
export function inputTypes(op: OpName, inputs: readonly Node[]): readonly TensorType[] {
  if (op === "pick") return inputs[0]?.types ?? [];
  return inputs.map((n) => {
    const [type] = n.types;
    if (type === undefined || n.types.length !== 1)
      throw new TypeMismatch(`${n.op} has ${n.types.length} results: pick one`);
    return type;
  });
}

/** The axis T of a packed dimension if the size is exactly rows(T), else null. */
export const packedAxis = (size: Size): string | null => soleAtom(size, "rows");

/** The axis T and k if the size is k · rows(T) for an integer k, else null. */
export function rowsOf(size: Size): { readonly axis: string; readonly each: number } | null {
  if (typeof size === "number" || size.terms.length !== 1) return null;
  const { coefficient, atoms } = size.terms[0]!;
  const atom = atoms.length === 1 ? atoms[0]!.atom : null;
  return atom?.kind === "rows" && coefficient.den === 1n ? { axis: atom.axis, each: Number(coefficient.num) } : null;
}

/** The axis T if the size is exactly that axis, else null. */
export const plainAxis = (size: Size): string | null => soleAtom(size, "axis");

function soleAtom(size: Size, kind: "rows" | "axis"): string | null {
  if (typeof size === "number" || size.terms.length !== 1) return null;
  const [term] = size.terms;
  if (term!.atoms.length !== 1 || term!.coefficient.num !== 1n || term!.coefficient.den !== 1n) return null;
  const { atom } = term!.atoms[0]!;
  return atom.kind === kind ? atom.axis : null;
}

export const equalShapes = (a: readonly Size[], b: readonly Size[]): boolean =>
  a.length === b.length && a.every((s, i) => equalSizes(s, b[i]!));

export const equalTypes = (a: TensorType, b: TensorType): boolean =>
  a.dtype === b.dtype && equalShapes(a.shape, b.shape);

/** `[B, T, 128]`. */
export const printShape = (shape: readonly Size[]): string => `[${shape.map(printSize).join(", ")}]`;

/** `f32[rows(T), 128]`. */
export const printType = (type: TensorType): string => `${type.dtype}${printShape(type.shape)}`;

/** The shape of the whole weight; the node may be a part of it. */
export const wholeShape = ({ shape, part }: OpAttrs["weight"]): readonly number[] =>
  shape.map((n, d) => (d === part?.axis ? part.of : n));
