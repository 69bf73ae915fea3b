// The expression of a group of pointwise operators as WGSL: loads, then one `let` for each operation.
import { invariant } from "../diagnostics/invariant.js";
import type { Node } from "../ir/graph.js";
import { inputTypes } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import type { OpTable } from "../ops/define.js";
import { ops, wgslType } from "../ops/index.js";
import type { DType } from "../size/dtype.js";
import type { PointwiseBody, PointwiseLeaf, PointwiseOperation } from "../schedule/plan.js";
import { printCoordinates, printOffset } from "./index-map.js";

/** `fn value(i: u32) -> …` */
export function printExpression({ sizes, leaves, operations, dtype }: PointwiseBody): string {
  const wanted = sizes.map((_, d) => leaves.some((l) => l.kind === "buffer" && l.strides[d]!.kind !== "zero"));
  const { statements, coordinates } = printCoordinates(sizes, wanted);
  const lines = [...statements];
  leaves.forEach((leaf, n) => lines.push(`let a${n} = ${printLeaf(leaf, coordinates)};`));
  const name = (place: number): string => (place < 0 ? `a${-1 - place}` : `v${place}`);
  operations.forEach((o, n) => lines.push(`let v${n} = ${printOperation(o, o.operands.map(name))};`));
  const result = name(operations.length === 0 ? -1 : operations.length - 1);
  const type = dtype === "bool" ? "u32" : wgslType(dtype);
  return `fn value(i: u32) -> ${type} {\n${lines.map((l) => `  ${l}\n`).join("")}  return ${dtype === "bool" ? `u32(${result})` : result};\n}`;
}

function printLeaf(leaf: PointwiseLeaf, coordinates: readonly string[]): string {
  if (leaf.kind === "constant") return fromStorage(`sizes.${leaf.field}`, leaf.dtype);
  return fromStorage(`${leaf.buffer}[${printOffset(coordinates, leaf.strides)}]`, leaf.dtype);
}

const fromStorage = (word: string, dtype: DType): string => (dtype === "bool" ? `(${word} != 0u)` : word);

const printOperation = ({ node }: PointwiseOperation, operands: readonly string[]): string => printNode(ops, node, operands);

function printNode<K extends OpName>(table: OpTable, node: Node<K>, operands: readonly string[]): string {
  const { lower } = table[node.op];
  invariant(lower.kind === "pointwise", `${node.op} is no expression`);
  return lower.wgsl(operands, node.attrs, inputTypes(node.op, node.inputs));
}
