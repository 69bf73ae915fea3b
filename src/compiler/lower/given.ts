// Splits a model that generates: values of given inputs alone are computed once a text, by a program of their own, and
// kept in states, which the programs of tokens read: cross-attention's keys and values, the rows of a picture.
import { createEmit } from "../ir/build.js";
import { nodesOf, typeOf, type Graph, type Node, type State } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { substituteNodes } from "../ir/replace.js";
import { ops } from "../ops/index.js";
import type { Axis } from "../../ground/size/axes.js";
import { parentsOf, sizesOf } from "../../ground/size/count-rules.js";
import { atomsOf, type Size } from "../../ground/size/size.js";
import { GenerationError } from "./generation-error.js";

/** A graph that reads given values from states, and the graph that computes these. */
export interface Split {
  /** Without given inputs the graph itself. */
  readonly rest: Graph;
  /** Null without given inputs. Its only results are states. */
  readonly given: Graph | null;
}

/** The sequence axes that grow with the axis `root`: `root`, and every axis that is derived from `root`. */
export function grownAxes(axes: readonly Axis[], root: string): ReadonlySet<string> {
  const grown = new Set([root]);
  for (const axis of axes) {
    if (axis.role !== "sequence") continue;
    const from = [...parentsOf(axis.count), ...sizesOf(axis.count).flatMap(axesOf)];
    if (from.some((name) => grown.has(name))) grown.add(axis.name);
  }
  return grown;
}

/** `root` and its routes: the axes on which a sequence has at most as many rows as on `root`. */
export function choicesOf(axes: readonly Axis[], root: string): ReadonlySet<string> {
  const choices = new Set([root]);
  for (const axis of axes)
    if (axis.role === "sequence" && "parent" in axis.count && choices.has(axis.count.parent)) choices.add(axis.name);
  return choices;
}

const axesOf = (size: Size): readonly string[] =>
  [...atomsOf(size)].flatMap((atom) => (atom.kind === "live" ? [] : [atom.axis]));

/** The nodes that depend on no sequence that grows, in order. */
export function steadyNodes(nodes: readonly Node[], grown: ReadonlySet<string>): ReadonlySet<Node> {
  const grows = (size: Size): boolean => axesOf(size).some((axis) => grown.has(axis));
  const steady = new Set<Node>();
  for (const node of nodes) {
    const { axis } = node.attrs as { readonly axis?: unknown }; // an axis is a name, other operators have a number
    const isAlong = typeof axis === "string" && grown.has(axis);
    const sizes = [...node.types.flatMap(({ shape }) => shape), ...Object.values(node.attrs).flatMap(sizesIn)];
    if (!isAlong && !sizes.some(grows) && node.inputs.every((input) => steady.has(input))) steady.add(node);
  }
  return steady;
}

/** The symbolic sizes of an attribute. */
const sizesIn = (value: unknown): readonly Size[] =>
  Array.isArray(value)
    ? value.flatMap(sizesIn)
    : typeof value === "object" && value !== null && "terms" in value && "key" in value
      ? [value as Size] // by its fields
      : [];

/** Splits the graph; `root` is the axis that grows. */
export function splitGiven(graph: Graph, root: string): Split {
  const nodes = nodesOf(graph);
  const grown = grownAxes(graph.axes, root);
  const steady = steadyNodes(nodes, grown);
  // An input that nothing reads is no node of the graph.
  const isGiven = (input: Node): boolean => steadyNodes([input], grown).has(input);
  const ofInputs = new Set<Node>();
  for (const node of nodes)
    if (steady.has(node) && (node.op === "input" || node.inputs.some((input) => ofInputs.has(input))))
      ofInputs.add(node);
  const inputsOfTokens = graph.inputs.filter(({ node }) => !isGiven(node));
  const plain = { rest: { ...graph, inputs: inputsOfTokens }, given: null };
  if (ofInputs.size === 0) return plain;
  const read = new Set<Node>();
  for (const node of nodes)
    if (!ofInputs.has(node)) for (const input of node.inputs) if (ofInputs.has(input)) read.add(input);
  for (const { node } of graph.outputs) if (ofInputs.has(node)) read.add(node);
  const kept = [...read];
  // An axis whose rows only a device counts is read with its starts.
  for (const [axis, node] of graph.starts)
    if (ofInputs.has(node) && kept.some((value) => mentions(value, axis))) {
      if (!read.has(node)) kept.push(node);
      read.add(node);
    }
  const emit = createEmit(ops, graph.axes);
  if (kept.length === 0) return plain;
  const own = kept.map((next, i): State => {
    if (next.types.length !== 1) throw new GenerationError(`${next.op} of given inputs has several results`);
    const type = typeOf(next);
    const name = `given.${i}`;
    return { name, type, init: { kind: "zeros" }, next };
  });
  const before = own.map(({ name, type, next }) => emit.node("state", [], { name, ...type }, next.origin));
  const now = new Map(kept.map((node, i) => [node, before[i]!]));
  const { outputs, inputs, ...rest } = substituteNodes(graph, now);
  const keeping = own.map((state, i): State => ({ ...state, next: before[i]! }));
  const startsOf = (axis: string): Node | null => graph.starts.get(axis) ?? null;
  return {
    rest: { ...rest, outputs, inputs: inputs.filter((_, i) => !isGiven(graph.inputs[i]!.node)), states: keeping },
    given: {
      ...graph,
      axes: graph.axes.filter(({ name }) => !grown.has(name)),
      inputs: graph.inputs.filter(({ node }) => steady.has(node)),
      outputs: [],
      states: own,
      starts: reachedStarts({ outputs: [], states: own }, startsOf),
    },
  };
}

const mentions = ({ types }: Node, axis: string): boolean =>
  types.some(({ shape }) => shape.some((size) => axesOf(size).includes(axis)));
