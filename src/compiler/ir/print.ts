// Prints a graph as readable text, which `parseGraph` parses.
import type { Span } from "../../language/diagnostics/span.js";
import type { Axis } from "../../ground/size/axes.js";
import { mapRule, type CountRule } from "../../ground/size/count-rules.js";
import { printRational } from "../../ground/numerics/rational.js";
import { printSize, type Size } from "../../ground/size/size.js";
import { printAttrs } from "./attrs.js";
import {
  nodesOf,
  type Graph,
  type GraphInput,
  type GraphOutput,
  type Node,
  type Origin,
  type Packing,
  type State,
} from "./graph.js";
import { printShape, printType } from "./typing.js";

export interface PrintOptions {
  /**
   * Formats the source location of a node, such as `moby.mod:3:4`. Default: offsets, which `parseGraph` reads. Null: no
   * locations.
   */
  readonly place?: ((span: Span) => string) | null;
}

/**
 * One line for each axis, live parameter, input, node, state, axis start and output. Ends with a newline.
 *
 *   graph "Golden"
 *   axis B = batch
 *   axis T = sequence <= 64 input
 *   axis K = sequence <= 64 top of T; k = 2
 *   input "x" = %0 [B, T, 1] packed T 0 1
 *   %0 = input {"name":"x","dtype":"f32","shape":["rows(T)",1]}() : f32[rows(T), 1]
 *   %3 = top {"axis":"K"}(%2, %1, %1) : u32[rows(K)] u32[B + 1] u32[rows(K)]  // layers.1 moby.mod@120-135
 *   starts T = %1
 *   result "output" = %9 [B, T, 1] packed T 0 1
 */
export function printGraph(graph: Graph, options: PrintOptions = {}): string {
  const nodes = allNodes(graph);
  const ids = new Map(nodes.map((n, i) => [n, i]));
  const ref = (node: Node): string => `%${ids.get(node)}`;
  const lines = [
    `graph ${JSON.stringify(graph.name)}`,
    ...graph.axes.map(printAxis),
    ...graph.live.map((l) => `live ${JSON.stringify(l.name)} ${l.kind} = ${printRational(l.default)}`),
    ...graph.inputs.map((i) => printInput(i, ref)),
    ...nodes.map((n) => printNode(n, ref, options.place)),
    ...graph.states.map((s) => printState(s, ref)),
    ...[...graph.starts].map(([axis, node]) => `starts ${axis} = ${ref(node)}`),
    ...graph.outputs.map((o) => printOutput(o, ref)),
  ];
  return `${lines.join("\n")}\n`;
}

/** The nodes in printing order: the reachable nodes, then inputs that nothing reads. */
function allNodes(graph: Graph): readonly Node[] {
  const reached = nodesOf(graph);
  const seen = new Set(reached);
  return [...reached, ...graph.inputs.map((i) => i.node).filter((n) => !seen.has(n) && seen.add(n))];
}

function printAxis(axis: Axis): string {
  const bound = axis.bound === null ? "" : ` <= ${axis.bound}`;
  return `axis ${axis.name} = ${axis.role}${bound}${axis.role === "sequence" ? ` ${printRule(axis.count)}` : ""}`;
}

function printRule(rule: CountRule): string {
  const { kind, ...fields } = mapRule(rule, { size: printSize, ratio: printRational });
  const [first, ...others] = Object.entries<string | readonly string[] | null>(fields);
  if (!first) return kind;
  const from = [first[1]].flat().join("; ");
  return [`${kind} of ${from}`, ...others.map(([name, value]) => `${name} = ${String(value ?? "end")}`)].join("; ");
}

/** Prints `%5 = top {"axis":"K"}(%4, %1, %1) : u32[rows(K)] u32[B + 1] u32[rows(K)] // layers.1 moby.mod@120-135`. */
function printNode(node: Node, ref: (node: Node) => string, place: PrintOptions["place"]): string {
  const origin = node.origin && place !== null ? `  // ${printOrigin(node.origin, place)}` : "";
  return (
    `${ref(node)} = ${node.op}${printAttrs(node.op, node.attrs)}(${node.inputs.map(ref).join(", ")}) : ` +
    `${node.types.map(printType).join(" ")}${origin}`
  );
}

function printOrigin({ path, span }: Origin, place: ((span: Span) => string) | undefined): string {
  return `${path === "" ? "." : path} ${place ? place(span) : `${span.file}@${span.start}-${span.end}`}`;
}

const printValue = (ref: string, shape: readonly Size[], packing: Packing | null): string =>
  `${ref} ${printShape(shape)}${packing ? ` packed ${packing.axis} ${packing.batchDim} ${packing.tokenDim}` : ""}`;

const printInput = (input: GraphInput, ref: (node: Node) => string): string =>
  `input ${JSON.stringify(input.name)} = ` +
  `${printValue(ref(input.node), input.shape, input.packing)}${printRange(input)}`;

const printRange = ({ least, below }: GraphInput): string =>
  below === null ? "" : `${least === 0 ? "" : ` from ${least}`} below ${below}`;

const printOutput = (output: GraphOutput, ref: (node: Node) => string): string =>
  `${output.role} ${JSON.stringify(output.name)} = ${printValue(ref(output.node), output.shape, output.packing)}`;

function printState(state: State, ref: (node: Node) => string): string {
  return (
    `state ${JSON.stringify(state.name)} ${printType(state.type)} = ${printInit(state.init)} next ` + ref(state.next)
  );
}

function printInit(init: State["init"]): string {
  switch (init.kind) {
    case "zeros":
      return "zeros";
    case "filled":
      return `filled ${init.value}`;
    case "weight":
      return `weight ${JSON.stringify(init.path)}`;
    default:
      return init satisfies never;
  }
}
