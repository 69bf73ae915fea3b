// Prints expressions over values that lie in a workgroup's memory, row by row, beside those in buffers.
import type { Node } from "../../ir/graph.js";
import type { KernelBuilder } from "../kernels/spec.js";
import type { Extents } from "../analysis/extents.js";
import type { Affine } from "./access.js";
import type { Expression, MemoryLeaf } from "./expression.js";
import { dtypeAt, printOperation, soleResult, Texts, type Inputs } from "./expression-text.js";
import { collapse } from "./index-map.js";
import type { Value } from "./layout.js";
import { printCoordinates } from "./text.js";

/** Values in cells of a row, which are words of workgroup memory. */
export interface Cells {
  /** The first cell of a node. */
  readonly of: ReadonlyMap<Node, number>;
  /** The same by the value that stands for it in expressions. */
  readonly starts: ReadonlyMap<Value, number>;
}

/** `fn name(o: Own, i: u32) -> u32`: the word of element i of the expression in the row of `o`. */
export function declareCells(
  kernel: KernelBuilder,
  name: string,
  expression: Expression,
  extents: Extents,
  inputs: Inputs,
  cells: Cells,
): void {
  const texts = new Texts(kernel, inputs, `${name}_`);
  const walks = expression.leaves.flatMap((leaf) => (leaf.kind === "memory" ? affinesOf(leaf) : []));
  const walk = collapse(extents, { sizes: expression.shape.slice(1), strides: walks.map((a) => a.strides.slice(1)) });
  const { statements, coordinates } = printCoordinates(
    walk.sizes.map((size, d) => (d === 0 ? ({ kind: "one" } as const) : kernel.countOf(size, `${name}_size${d}`))),
    walk.sizes.map((_, d) => walk.strides.some((s) => s[d] !== 0)),
  );
  const inner = new Map(walks.map((a, n) => [a, [a.strides[0]!, ...walk.strides[n]!]]));
  const sum = (a: Affine): string => texts.sum({ strides: inner.get(a)!, offset: a.offset }, ["o.row", ...coordinates]);
  const lines = [...statements];
  const names = expression.leaves.map((leaf, n) => {
    lines.push(`let a${n} = ${leaf.kind === "memory" ? loaded(leaf) : texts.fixed(leaf)};`);
    return `a${n}`;
  });
  function loaded(leaf: MemoryLeaf): string {
    if (!cells.starts.has(leaf.value)) return texts.load(leaf, texts.address(leaf, sum));
    const word = `word(o, ${sum(leaf.access.affine)})`;
    if (leaf.dtype === "bool") return `(${word} != 0u)`;
    return leaf.dtype === "u32" ? word : `bitcast<${leaf.dtype}>(${word})`;
  }
  const nameOf = (place: number): string => (place < 0 ? names[-1 - place]! : `v${place}`);
  expression.operations.forEach((o, n) => lines.push(`let v${n} = ${printOperation(o, o.operands.map(nameOf))};`));
  const place = soleResult(expression);
  const dtype = dtypeAt(expression, place);
  const value = nameOf(place);
  const word = dtype === "bool" ? `u32(${value})` : dtype === "u32" ? value : `bitcast<u32>(${value})`;
  kernel.function(`fn ${name}(o: Own, i: u32) -> u32 {\n${lines.map((l) => `  ${l}\n`).join("")}  return ${word};\n}`);
}

const affinesOf = ({ access: { affine, indexed } }: MemoryLeaf): readonly Affine[] =>
  indexed ? [affine, indexed.at] : [affine];
