// The two programs of generation as graphs: one reads a chunk of a prompt, the other adds the token that was chosen before. Both keep what later runs need in
// the same states, and choose a token for each sequence from the logits of its last row.
import { createEmit, type Emit } from "../ir/build.js";
import { typeOf, type Graph, type GraphInput, type GraphOutput, type Node, type State } from "../ir/graph.js";
import { equalSizes, axisSize, rowsSize } from "../size/size.js";
import { reachedStarts } from "../ir/reach.js";
import { ops } from "../ops/index.js";
import { substituteNodes } from "../ir/replace.js";
import type { Axis } from "../size/axes.js";
import { GenerationError, withCaches, type CachedAxis, type CachedLayer } from "./caches.js";

/** Results of both graphs: the token chosen for each sequence, u32[B, 1], and the logarithm of its probability, f32[B, 1]. */
export const TOKEN = "token";
export const LOG_PROBABILITY = "logprob";
/** Logits: those of each sequence's last row, f32[B, 1, V], or of all rows, f32[B, T, V]. */
export const LOGITS = "logits";
/** u32[B]: the rows that each sequence has on an axis after the run. */
export const countOutput = (axis: string): string => `count.${axis}`;

export interface GenerationGraphs {
  /** Reads `input`, any number of tokens of each sequence, 0 included. */
  readonly prompt: Graph;
  /** Reads the token that was chosen before, of each sequence or of none. */
  readonly step: Graph;
  /** The model's input. */
  readonly input: string;
  readonly vocabulary: number;
  readonly axes: readonly CachedAxis[];
  readonly layers: readonly CachedLayer[];
}

export interface GenerationOptions {
  /** all: the prompt's logits of every row rather than of the last one. Default last. */
  readonly logits?: "last" | "all";
}

/** A row for each sequence, whatever its length. */
const SEQUENCES = "generate.sequence";
/** At most one row for each sequence: its last. */
const LAST = "generate.last";
/** The token chosen last for each sequence. */
export const TOKEN_STATE = "generate.token";

/** From the graph of `forward` in phase generate. Throws GenerationError where it is no model of one token after another. */
export function generationGraphs(graph: Graph, { logits = "last" }: GenerationOptions = {}): GenerationGraphs {
  const { input, result, vocabulary } = interfaceOf(graph);
  const cached = withCaches({
    ...graph,
    outputs: [result],
    starts: reachedStarts({ outputs: [result], states: [] }, (axis) => graph.starts.get(axis) ?? null),
  });
  const root = cached.axes[0]!.axis;
  const prompt = new Choosing(cached.graph, root, { last: true, logits }).withOutputs(cached.axes);
  // A step has one row at most, which is the last one.
  const fed = new Choosing(shortened(cached.graph, root), root, { last: false, logits: "last" });
  const step = fed.withOutputs(cached.axes);
  return { prompt, step: fedBack(step, input, root), input: input.name, vocabulary, axes: cached.axes, layers: cached.layers };
}

/** The one input and the one result of a language model. */
function interfaceOf(graph: Graph): { readonly input: GraphInput; readonly result: GraphOutput; readonly vocabulary: number } {
  const [input, more] = graph.inputs;
  if (!input || more)
    throw new GenerationError(`a model that generates has one input, its tokens; this one has ${graph.inputs.map((i) => i.name).join(", ") || "none"}`);
  const { dtype } = input.node.attrs;
  if ((dtype !== "u32" && dtype !== "i32") || input.shape.length !== 2 || input.packing?.tokenDim !== 1)
    throw new GenerationError(`the input ${input.name} of a model that generates is u32[B, T], its tokens`);
  const results = graph.outputs.filter((o) => o.role === "result");
  const result = results.find((o) => o.name === LOGITS) ?? (results.length === 1 ? results[0] : undefined);
  if (!result) throw new GenerationError(`a model that generates gives logits: name one of its results so, which are ${results.map((o) => o.name).join(", ")}`);
  const vocabulary = result.shape.at(-1);
  const along = result.packing?.axis === input.packing.axis && result.packing.tokenDim === 1 && equalSizes(result.shape[0]!, input.shape[0]!);
  if (result.shape.length !== 3 || typeof vocabulary !== "number" || !along || typeOf(result.node).dtype !== "f32")
    throw new GenerationError(`the result ${result.name} of a model that generates is f32[B, T, vocabulary], logits of the token that comes next`);
  return { input, result, vocabulary };
}

/** The choice of tokens behind a graph that gives logits. */
class Choosing {
  readonly #graph: Graph;
  readonly #root: string;
  readonly #axes: readonly Axis[];
  readonly #emit: Emit;
  readonly #logits: "last" | "all";
  /** The axis of the rows that tokens are chosen from. */
  readonly #from: string;

  constructor(graph: Graph, root: string, { last, logits }: { readonly last: boolean; readonly logits: "last" | "all" }) {
    this.#graph = graph;
    this.#root = root;
    this.#logits = logits;
    const sequences: Axis = { role: "sequence", name: SEQUENCES, bound: 1, count: { kind: "input" } };
    const lastRows: Axis = { role: "sequence", name: LAST, bound: 1, count: { kind: "span", parent: root, start: -1, stop: null } };
    this.#axes = [...graph.axes, ...(last ? [lastRows] : []), sequences];
    this.#from = last ? LAST : root;
    this.#emit = createEmit(ops, this.#axes);
  }

  withOutputs(cached: readonly CachedAxis[]): Graph {
    const emit = this.#emit;
    const [logits] = this.#graph.outputs;
    const rows = this.#lastRows(logits!.node);
    const chosen = emit.node("argmax", [rows], { axis: 1, keep: false });
    const type = { dtype: "u32", shape: [rowsSize(SEQUENCES)] } as const;
    const before = emit.node("state", [], { name: TOKEN_STATE, ...type });
    const sequence = emit.node("segments", [this.#startsOf(this.#from)], { axis: this.#from });
    const next = emit.node("set", [before, sequence, chosen], { dim: 0 });
    const token: State = { name: TOKEN_STATE, type, init: { kind: "zeros" }, next };
    const probability = emit.node("neg", [emit.node("cross_entropy", [rows, chosen], {})], {});
    const [batch] = logits!.shape;
    const packing = (axis: string): GraphOutput["packing"] => ({ axis, batchDim: 0, tokenDim: 1 });
    const from = packing(this.#from);
    const counts = cached.map(({ axis, counts: name }): GraphOutput => {
      const { next: node } = this.#graph.states.find((s) => s.name === name)!; // every axis is counted
      return { name: countOutput(axis), role: "observe", node, shape: typeOf(node).shape, packing: null };
    });
    const outputs: readonly GraphOutput[] = [
      { name: TOKEN, role: "result", node: next, shape: [batch!, axisSize(SEQUENCES)], packing: packing(SEQUENCES) },
      { name: LOG_PROBABILITY, role: "observe", node: probability, shape: [batch!, axisSize(this.#from)], packing: from },
      this.#logits === "all"
        ? { ...logits!, name: LOGITS, role: "observe" }
        : { name: LOGITS, role: "observe", node: rows, shape: [batch!, axisSize(this.#from), logits!.shape[2]!], packing: from },
      ...counts,
    ];
    return complete({ ...this.#graph, axes: this.#axes, outputs, states: [...this.#graph.states, token] }, emit);
  }

  #lastRows(logits: Node): Node {
    if (this.#from === this.#root) return logits;
    const made = this.#emit.node("span", [this.#startsOf(this.#root)], { axis: LAST });
    return this.#emit.node("take", [logits, this.#emit.pick(made, 0)], { dim: 0 });
  }
  #startsOf(axis: string): Node {
    if (axis !== LAST) return this.#graph.starts.get(axis) ?? this.#emit.node("starts", [], { axis });
    return this.#emit.pick(this.#emit.node("span", [this.#startsOf(this.#root)], { axis: LAST }), 1);
  }
}

/** The starts of every axis that it mentions; the host knows those that no node makes. */
function complete(graph: Graph, emit: Emit): Graph {
  const makers = new Map(graph.starts);
  const sequence = (axis: string): boolean => graph.axes.some((a) => a.name === axis && a.role === "sequence");
  const last = (axis: string): Node => emit.pick(emit.node("span", [makers.get(parentOf(graph, axis))!], { axis }), 1);
  const starts = reachedStarts(graph, (axis) => {
    if (!sequence(axis)) return null;
    return makers.get(axis) ?? (axis === LAST ? last(axis) : emit.node("starts", [], { axis }));
  });
  return { ...graph, starts };
}

function parentOf(graph: Graph, name: string): string {
  const axis = graph.axes.find((a) => a.name === name);
  if (axis?.role !== "sequence" || axis.count.kind !== "span") throw new GenerationError(`${name} is no span`);
  return axis.count.parent;
}

/** With one token a sequence at most. */
const shortened = (graph: Graph, root: string): Graph => ({ ...graph, axes: graph.axes.map((a) => (a.name === root ? { ...a, bound: 1 } : a)) });

/** The graph that reads, in place of its input, the token chosen last of each sequence. */
function fedBack(graph: Graph, input: GraphInput, root: string): Graph {
  const emit = createEmit(ops, graph.axes);
  const token = emit.node("state", [], { name: TOKEN_STATE, dtype: "u32", shape: [rowsSize(SEQUENCES)] });
  const sequence = emit.node("segments", [graph.starts.get(root)!], { axis: root });
  const chosen = emit.node("gather", [token, sequence], {});
  const { dtype } = input.node.attrs;
  const tokens = dtype === "u32" ? chosen : emit.node("cast", [chosen], { dtype });
  return substituteNodes({ ...graph, inputs: [] }, new Map(graph.inputs.map(({ node }) => [node, tokens])));
}
