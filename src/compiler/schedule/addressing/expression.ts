// Expressions: trees of pointwise operators inlined into a kernel, over elements in memory or in the kernel's
// accumulators.
import { addTo } from "../../../ground/base/collections.js";
import { invariant } from "../../../ground/base/invariant.js";
import { isPointwise, isView, isOp, type Node } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import type { TensorType } from "../../ir/types.js";
import { inputTypes, printShape } from "../../ir/typing.js";
import type { DType } from "../../../ground/base/dtype.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import {
  accessOf,
  broadcastCoordinates,
  coordinatesOf,
  inputCoordinates,
  sameCoordinates,
  type Access,
  type Affine,
  type Coordinate,
} from "./access.js";
import type { Extents } from "../analysis/extents.js";
import type { Layout, Value } from "./layout.js";

export type Leaf =
  | {
      readonly kind: "memory";
      readonly value: Value;
      readonly dtype: DType;
      readonly access: Access;
      readonly parts: number;
    }
  | { readonly kind: "constant"; readonly value: number; readonly dtype: DType }
  /** An accumulator of the kernel; `which` selects one of a pair of columns. */
  | { readonly kind: "register"; readonly which: number; readonly dtype: DType }
  /** The sum over the row, which the kernel has made before (`ownSum`). */
  | { readonly kind: "row sum"; readonly dtype: DType };

export type MemoryLeaf = Extract<Leaf, { readonly kind: "memory" }>;

export interface Operation {
  readonly node: Node;
  readonly inputs: readonly TensorType[];
  /** Leaves as −1 − n, earlier operations as n. */
  readonly operands: readonly number[];
}

/** One or more results of the same shape, computed element by element. */
export interface Expression {
  readonly shape: readonly Size[];
  readonly leaves: readonly Leaf[];
  readonly operations: readonly Operation[];
  /** Leaves or operations, numbered as operands are. */
  readonly results: readonly number[];
}

/** The stored values, as expressions that are inlined need them. */
export interface Inlining {
  readonly extents: Extents;
  /** The layout of a value, seen through structure; null where it is not stored and must be inlined. */
  layoutOf(node: Node): Layout | null;
  /** The accumulator that holds the node; null where none does. */
  registerOf(node: Node): number | null;
}

/**
 * Builds an expression from its results down to memory. Addressability was decided before (`addressing/views.ts`), so
 * every access succeeds.
 */
export class ExpressionBuilder {
  readonly #with: Inlining;
  readonly #shape: readonly Size[];
  readonly #leaves: Leaf[] = [];
  readonly #leafIndices = new Map<string, number>();
  readonly #operations: Operation[] = [];
  readonly #operationIndices = new Map<Node, { readonly at: readonly Coordinate[]; readonly place: number }[]>();
  readonly #results: number[] = [];
  readonly #ids = new Map<Value, number>();

  constructor(inlining: Inlining, shape: readonly Size[]) {
    this.#with = inlining;
    this.#shape = shape;
  }

  /** Adds a result: the elements of a node with this shape, or with a shape that broadcasts to it. */
  add(node: Node): void {
    const at = broadcastCoordinates(
      coordinatesOf(this.#shape.length),
      node.types[0]!.shape,
      this.#shape,
      this.#shape.length,
    );
    this.#results.push(this.#place(node, at));
  }

  finish(): Expression {
    return { shape: this.#shape, leaves: this.#leaves, operations: this.#operations, results: this.#results };
  }

  #place(reached: Node, from: readonly Coordinate[]): number {
    const { extents } = this.#with;
    const rank = this.#shape.length;
    let [node, at] = [constantBehind(reached) ?? reached, from];
    // Descend through structure that is not stored, to the value that it moves.
    while (isView(node) && this.#with.registerOf(node) === null && !this.#with.layoutOf(node)) {
      const moved = inputCoordinates(extents, node, at, rank, (index) => this.#with.layoutOf(index)?.value ?? null);
      invariant(moved, `elements of ${node.op} are addressed that cannot be`);
      [node, at] = [node.inputs[0], moved];
    }
    const { dtype, shape } = node.types[0]!;
    const register = this.#with.registerOf(node);
    if (register !== null) return this.#leaf({ kind: "register", which: register, dtype }, `r${register}`);
    if (isOp(node, "constant"))
      return this.#leaf(
        { kind: "constant", value: node.attrs.value, dtype },
        `c${dtype} ${attrsKey({ value: node.attrs.value })}`,
      );
    const layout = this.#with.layoutOf(node);
    if (layout) {
      const access = accessOf(extents, layout, at, rank);
      invariant(access, `two indices lead to one element of ${node.op}`);
      return this.#leaf(
        { kind: "memory", value: layout.value, dtype, access, parts: layout.parts },
        this.#key(layout, access, dtype),
      );
    }
    invariant(isPointwise(node), `${node.op} is read by a kernel and in no memory`);
    const known = this.#operationIndices
      .get(node)
      ?.find((operation) => operation.at === at || sameCoordinates(operation.at, at));
    if (known) return known.place;
    const operands = node.inputs.map((input) =>
      this.#place(input, broadcastCoordinates(at, input.types[0]!.shape, shape, rank)),
    );
    const index = this.#operations.push({ node, inputs: inputTypes(node.op, node.inputs), operands }) - 1;
    addTo(this.#operationIndices, node, { at, place: index });
    return index;
  }
  #key({ value, parts }: Layout, access: Access, dtype: DType): string {
    return `${this.#idOf(value)} ${dtype} ${parts} ${accessKey(
      access,
      (index) => this.#idOf(index),
      (size) => size,
    )}`;
  }
  #idOf(value: Value): number {
    let id = this.#ids.get(value);
    if (id === undefined) this.#ids.set(value, (id = this.#ids.size));
    return id;
  }
  #leaf(leaf: Leaf, key: string): number {
    let index = this.#leafIndices.get(key);
    if (index === undefined) this.#leafIndices.set(key, (index = -this.#leaves.push(leaf)));
    return index;
  }
}

/** The constant below structure, all of whose elements are equal. */
function constantBehind(node: Node): Node | null {
  let at = node;
  while (isView(at)) at = at.inputs[0]!;
  return isOp(at, "constant") ? at : null;
}

/** The values that the expressions read, each once, in order of first use. */
export function valuesOf(expressions: readonly Expression[]): readonly Value[] {
  const values = new Set<Value>();
  for (const { leaves } of expressions)
    for (const leaf of leaves) {
      if (leaf.kind !== "memory") continue;
      values.add(leaf.value);
      for (const index of leaf.access.indexed?.indices ?? []) values.add(index);
    }
  return [...values];
}

/** A key that is equal for expressions of equal text, independent of the values read; `nameOf` numbers those values. */
export function expressionKey(
  { shape, leaves, operations, results }: Expression,
  { equal }: Extents,
  nameOf: (value: Value) => number,
): string {
  const same = (size: Size): Size => equal.size(size);
  const leaf = (l: Leaf): string => {
    if (l.kind === "register") return `r${l.which}`;
    if (l.kind === "row sum") return "sum";
    if (l.kind === "constant") return `${l.dtype} ${attrsKey({ value: l.value })}`;
    return `${nameOf(l.value)} ${l.dtype} ${l.parts} ${accessKey(l.access, nameOf, same)}`;
  };
  const operation = ({ node, inputs, operands }: Operation): string =>
    `${node.op}{${attrsKey(equal.attrs(node.attrs))}}${inputs.map((t) => t.dtype).join(",")}(${operands.join(",")})`;
  return (
    `${printShape(shape.map(same))}|${leaves.map(leaf).join(";")}|${operations.map(operation).join(";")}|` +
    results.join(",")
  );
}

function accessKey({ affine, indexed }: Access, nameOf: (value: Value) => number, same: (size: Size) => Size): string {
  const sum = ({ strides, offset }: Affine): string =>
    `${strides.map((s) => printSize(same(s))).join(",")}+${printSize(same(offset))}`;
  return indexed
    ? `${sum(affine)} ${printSize(same(indexed.times))}*${indexed.indices.map(nameOf).join(" ")}[${sum(indexed.at)}]`
    : sum(affine);
}
