// Verifies the interface of a graph: inputs, outputs and the starts of its axes.
import { addSizes, rowsSize, type Size } from "../../ground/size/size.js";
import { definedAxis, isOp, type Graph, type Node, type Packing } from "./graph.js";
import type { TensorType } from "./types.js";
import { wholeShape, equalShapes, inferContext, plainAxis, printShape, printType } from "./typing.js";
import type { AxisIndex } from "./verify-axes.js";

export function interfaceProblems(graph: Graph, nodes: readonly Node[], axes: AxisIndex): string[] {
  return [
    ...inputProblems(graph, nodes, axes),
    ...outputProblems(graph, axes),
    ...startsProblems(graph, axes),
    ...sourceProblems(nodes),
  ];
}

function inputProblems(graph: Graph, nodes: readonly Node[], axes: AxisIndex): string[] {
  const problems = duplicates(graph.inputs.map((i) => i.name)).map((n) => `input ${n} is declared twice`);
  for (const input of graph.inputs) {
    const say = (p: string): void => {
      problems.push(`input ${input.name}: ${p}`);
    };
    if (input.node.op !== "input" || input.node.attrs.name !== input.name)
      say(`its node is not the input of that name`);
    valueProblems(input.node, input.shape, input.packing, graph, axes).forEach(say);
    if (input.below !== null && !(Number.isInteger(input.below) && input.below >= 1))
      say(`values cannot be below ${input.below}`);
    if (!Number.isInteger(input.least) || input.least > 0) say(`values cannot be at least ${input.least}`);
  }
  const declared = new Set<Node>(graph.inputs.map((i) => i.node));
  for (const node of nodes)
    if (isOp(node, "input") && !declared.has(node)) problems.push(`input ${node.attrs.name} is read and not declared`);
  return problems;
}

function outputProblems(graph: Graph, axes: AxisIndex): string[] {
  const problems = duplicates(graph.outputs.map((o) => o.name)).map((n) => `output ${n} is declared twice`);
  for (const output of graph.outputs) {
    const say = (p: string): void => {
      problems.push(`output ${output.name}: ${p}`);
    };
    valueProblems(output.node, output.shape, output.packing, graph, axes).forEach(say);
    const type = output.node.types[0];
    if (output.role === "loss" && type && (type.dtype !== "f32" || type.shape.length > 0))
      say(`a loss must be f32[], found ${printType(type)}`);
  }
  return problems;
}

/** The caller's shape of a value must be the node's type, unpacked. */
function valueProblems(
  node: Node,
  shape: readonly Size[],
  packing: Packing | null,
  graph: Graph,
  axes: AxisIndex,
): string[] {
  const [type] = node.types;
  if (!type || node.types.length !== 1) return [`its node has ${node.types.length} results: pick one`];
  const unknown = shape.flatMap((s) => axes.size(s));
  if (unknown.length > 0) return unknown;
  if (!packing)
    return equalShapes(shape, type.shape)
      ? []
      : [`is ${printShape(shape)} for the caller, but its node is ${printType(type)} and nothing is packed`];
  const { axis, batchDim, tokenDim } = packing;
  if (axes.get(axis)?.role !== "sequence") return [`is packed along ${axis}, which is no sequence axis`];
  const batch = graph.axes.find((a) => a.role === "batch");
  if (batchDim === tokenDim || shape[tokenDim] === undefined || plainAxis(shape[tokenDim]) !== axis)
    return [`dimension ${tokenDim} of ${printShape(shape)} is not ${axis}`];
  if (shape[batchDim] === undefined || !batch || plainAxis(shape[batchDim]) !== batch.name)
    return [`dimension ${batchDim} of ${printShape(shape)} is not the batch`];
  return equalShapes(packedShape(shape, packing), type.shape)
    ? []
    : [
        `is ${printShape(shape)} for the caller, packed ${printShape(packedShape(shape, packing))}, but its node ` +
          `is ${printType(type)}`,
      ];
}

/** The packed shape of a value whose caller's shape is `shape`: no batch dimension, and rows in place of tokens. */
export const packedShape = (shape: readonly Size[], { axis, batchDim, tokenDim }: Packing): readonly Size[] =>
  shape.map((s, d) => (d === tokenDim ? rowsSize(axis) : s)).filter((_, d) => d !== batchDim);

function startsProblems(graph: Graph, axes: AxisIndex): string[] {
  const expectedShape = [addSizes(inferContext(graph.axes).batch, 1)];
  return [...graph.starts].flatMap(([name, node]) => {
    const axis = axes.get(name);
    if (axis?.role !== "sequence") return [`starts are given for ${name}, which is no sequence axis`];
    const [type] = node.types;
    if (node.types.length !== 1 || type?.dtype !== "u32" || !equalShapes(type.shape, expectedShape))
      return [
        `starts of ${name} must be u32${printShape(expectedShape)}, found ${node.types.map(printType).join(" ")}`,
      ];
    const startsOf = startsAxis(node);
    return startsOf === null || startsOf === name ? [] : [`starts of ${name} are those of ${startsOf}`];
  });
}

/** The axis whose starts the node computes; null if it computes none. */
function startsAxis(node: Node): string | null {
  if (isOp(node, "starts")) return node.attrs.axis;
  const defined = isOp(node, "pick") ? definedAxis(node.inputs[0]) : null;
  return isOp(node, "pick") && defined?.starts === node.attrs.result ? defined.axis : null;
}

/** All weight nodes of one path must have the same type, and no axis may be defined twice. */
function sourceProblems(nodes: readonly Node[]): string[] {
  const problems: string[] = [];
  const weights = new Map<string, TensorType>();
  const makers = new Map<string, Node>();
  for (const node of nodes) {
    if (isOp(node, "weight")) {
      const known = weights.get(node.attrs.path);
      const type = { dtype: node.attrs.dtype, shape: wholeShape(node.attrs) };
      if (known && (known.dtype !== type.dtype || !equalShapes(known.shape, type.shape)))
        problems.push(`weight ${node.attrs.path} is both ${printType(known)} and ${printType(type)}`);
      weights.set(node.attrs.path, type);
    }
    const defined = definedAxis(node);
    if (defined === null) continue;
    if (makers.has(defined.axis)) problems.push(`axis ${defined.axis} is made by two nodes`);
    makers.set(defined.axis, node);
  }
  return problems;
}

export function duplicates(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return [...new Set(names.filter((n) => seen.has(n) || !seen.add(n)))];
}
