// The two graphs of generation: `prompt` reads a chunk of a prompt, `step` reads the token chosen last. Both share
// their cache states, and choose a token for each sequence from the logits of its last row.
import { createEmit, type Emit } from "../ir/build.js";
import { typeOf, type Graph, type GraphInput, type GraphOutput, type Node, type State } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { substituteNodes } from "../ir/replace.js";
import { ops } from "../ops/index.js";
import { SEQUENCES } from "../program/axes-of-generation.js";
import type { Axis } from "../size/axes.js";
import { SAMPLING_COLUMNS, seenWords } from "../size/sampling.js";
import { axisSize, equalSizes, rowsSize } from "../size/size.js";
import { GenerationError, withCaches, type CachedAxis, type CachedLayer } from "./caches.js";
import { observedChoices, type ObservedChoice } from "./observed-entries.js";

/**
 * Names of the results of both graphs: the chosen token of each sequence, u32[B, 1], and its log-probability, f32[B,
 * 1], which is 0 if not requested.
 */
export const TOKEN = "token";
export const LOG_PROBABILITY = "logprob";
/** The logits of each sequence's last row, f32[B, 1, V], or of all rows, f32[B, T, V]. */
export const LOGITS = "logits";
/** u32[axes, B]: the number of rows of each sequence on each axis after the run. */
export const COUNTS = "counts";
/** The state with the last chosen token of each sequence. */
export const TOKEN_STATE = "generate.token";
/**
 * States with the inputs of `sample`, one row for each sequence: settings, seeds and biases that the host writes, and
 * the set of tokens in the text so far.
 */
export const SAMPLING_STATES = {
  settings: "sampling.settings",
  seeds: "sampling.seeds",
  bias: "sampling.bias",
  seen: "sampling.seen",
} as const;

export interface GenerationGraphs {
  /**
   * Reads any number of tokens of each sequence from `input`. A sequence with 0 tokens keeps its chosen token, and its
   * logits are undefined.
   */
  readonly prompt: Graph;
  /** Reads the last chosen token of each sequence, or nothing of a sequence without rows. */
  readonly step: Graph;
  /** Name of the model's input. */
  readonly input: string;
  readonly vocabulary: number;
  readonly axes: readonly CachedAxis[];
  readonly layers: readonly CachedLayer[];
  /** Observed choices of entries, such as of experts. */
  readonly choices: readonly ObservedChoice[];
}

export interface GenerationOptions {
  /** all: the prompt graph returns the logits of every row. Default last: of the last row of each sequence. */
  readonly logits?: "last" | "all";
}

/**
 * Builds both graphs from the graph of `forward` in phase generate. Throws GenerationError if the model is not
 * autoregressive.
 */
export function generationGraphs(graph: Graph, { logits = "last" }: GenerationOptions = {}): GenerationGraphs {
  const { input, result, vocabulary } = interfaceOf(graph);
  const observed = observedChoices(graph);
  const outputs = [result, ...observed.outputs];
  const starts = reachedStarts({ outputs, states: [] }, (axis) => graph.starts.get(axis) ?? null);
  const cached = withCaches({ ...graph, outputs, starts });
  const root = cached.axes[0]!.axis;
  const prompt = new SamplingGraph(cached.graph, root, logits).withOutputs(cached.axes);
  const step = new SamplingGraph(oneTokenPerSequence(cached.graph, root), root, "last").withOutputs(cached.axes);
  return {
    prompt,
    step: readingLastToken(step, input, root),
    input: input.name,
    vocabulary,
    axes: cached.axes,
    layers: cached.layers,
    choices: observed.choices,
  };
}

/** The single input and the logits of a language model. */
function interfaceOf(graph: Graph): {
  readonly input: GraphInput;
  readonly result: GraphOutput;
  readonly vocabulary: number;
} {
  const [input, more] = graph.inputs;
  if (!input || more)
    throw new GenerationError(
      "a model that generates has one input, its tokens; this one has " +
        (graph.inputs.map((i) => i.name).join(", ") || "none"),
    );
  const { dtype } = input.node.attrs;
  if ((dtype !== "u32" && dtype !== "i32") || input.shape.length !== 2 || input.packing?.tokenDim !== 1)
    throw new GenerationError(`the input ${input.name} of a model that generates is u32[B, T], its tokens`);
  const results = graph.outputs.filter((o) => o.role === "result");
  const result = results.find((o) => o.name === LOGITS) ?? (results.length === 1 ? results[0] : undefined);
  if (!result)
    throw new GenerationError(
      "a model that generates gives logits: name one of its results so, which are " +
        results.map((o) => o.name).join(", "),
    );
  const vocabulary = result.shape.at(-1);
  const along =
    result.packing?.axis === input.packing.axis &&
    result.packing.tokenDim === 1 &&
    equalSizes(result.shape[0]!, input.shape[0]!);
  if (result.shape.length !== 3 || typeof vocabulary !== "number" || !along || typeOf(result.node).dtype !== "f32")
    throw new GenerationError(
      `the result ${result.name} of a model that generates is f32[B, T, vocabulary], logits of the token that ` +
        "comes next",
    );
  return { input, result, vocabulary };
}

/** Appends the sampling of tokens to a graph that computes logits. */
class SamplingGraph {
  readonly #graph: Graph;
  readonly #root: string;
  readonly #axes: readonly Axis[];
  readonly #emit: Emit;
  readonly #logits: "last" | "all";

  constructor(graph: Graph, root: string, logits: "last" | "all") {
    this.#graph = graph;
    this.#root = root;
    this.#logits = logits;
    this.#axes = [...graph.axes, { role: "sequence", name: SEQUENCES, bound: 1, count: { kind: "input" } }];
    this.#emit = createEmit(ops, this.#axes);
  }

  withOutputs(cached: readonly CachedAxis[]): Graph {
    const [all, ...observed] = this.#graph.outputs;
    const rows = this.#emit.node(
      "take",
      [all!.node, this.#emit.node("last", [this.#startsOf(this.#root)], { axis: SEQUENCES })],
      { dim: 0 },
    );
    const [batch, , vocabulary] = all!.shape;
    const [choice, sampling] = this.#sample(rows, Number(vocabulary), cached[0]!);
    const token = this.#tokenState(this.#emit.pick(choice, 0));
    const probability = this.#emit.pick(choice, 1);
    const packing = { axis: SEQUENCES, batchDim: 0, tokenDim: 1 };
    const counts = this.#counts(cached);
    const outputs: readonly GraphOutput[] = [
      { name: TOKEN, role: "result", node: token.next, shape: [batch!, axisSize(SEQUENCES)], packing },
      { name: LOG_PROBABILITY, role: "observe", node: probability, shape: [batch!, axisSize(SEQUENCES)], packing },
      this.#logits === "all"
        ? { ...all!, name: LOGITS, role: "observe" }
        : { name: LOGITS, role: "observe", node: rows, shape: [batch!, axisSize(SEQUENCES), vocabulary!], packing },
      { name: COUNTS, role: "observe", node: counts, shape: typeOf(counts).shape, packing: null },
      ...observed,
    ];
    const states = [...this.#graph.states, token, ...sampling];
    const starts = reachedStarts({ outputs, states }, (axis) => (this.#isSequence(axis) ? this.#startsOf(axis) : null));
    return { ...this.#graph, axes: this.#axes, outputs, states, starts };
  }

  /** The row counts of all axes in one value: the caller reads one buffer faster than several. */
  #counts(cached: readonly CachedAxis[]): Node {
    const rows = cached.map(({ counts }) => {
      const { next } = this.#graph.states.find((s) => s.name === counts)!; // `withCaches` adds a count for every axis
      return this.#emit.node("reshape", [next], { shape: [1, ...typeOf(next).shape] });
    });
    return rows.length === 1 ? rows[0]! : this.#emit.node("concat", rows, { axis: 0 });
  }

  /**
   * Samples a token and its log-probability from each row of logits; returns also the sampling states. The draw of a
   * token is numbered by the length of the text.
   */
  #sample(rows: Node, vocabulary: number, { counts }: CachedAxis): readonly [Node<"sample">, readonly State[]] {
    const { settings, seeds, bias, seen } = SAMPLING_STATES;
    const state = (name: string, dtype: "f32" | "u32", width: number): Node<"state"> =>
      this.#emit.node("state", [], { name, dtype, shape: [rowsSize(SEQUENCES), width] });
    const hostWritten = [
      state(settings, "f32", SAMPLING_COLUMNS.length),
      state(seeds, "u32", 2),
      state(bias, "f32", vocabulary),
    ] as const;
    const before = state(seen, "u32", seenWords(vocabulary));
    const marked = this.#emit.node("mark", [before, this.#tokens(), this.#startsOf(this.#root)], {});
    const length = this.#graph.states.find((s) => s.name === counts)!.next; // `withCaches` adds a count for every axis
    const position = this.#emit.node(
      "gather",
      [length, this.#emit.node("segments", [this.#startsOf(SEQUENCES)], { axis: SEQUENCES })],
      {},
    );
    const states = [...hostWritten, before].map((node): State => {
      const { name } = node.attrs;
      return { name, type: typeOf(node), init: { kind: "zeros" }, next: node === before ? marked : node };
    });
    return [
      this.#emit.node("sample", [rows, hostWritten[0], hostWritten[1], position, hostWritten[2], marked], {}),
      states,
    ];
  }
  #tokens(): Node {
    const { node } = this.#graph.inputs[0]!; // `interfaceOf` has checked that there is one
    return node.attrs.dtype === "u32" ? node : this.#emit.node("cast", [node], { dtype: "u32" });
  }

  /** The state of the chosen token: replaced for sequences with rows in this run, unchanged for others. */
  #tokenState(chosen: Node): State {
    const type = { dtype: "u32", shape: [rowsSize(SEQUENCES)] } as const;
    const before = this.#emit.node("state", [], { name: TOKEN_STATE, ...type });
    const sequence = this.#emit.node("segments", [this.#startsOf(SEQUENCES)], { axis: SEQUENCES });
    const rows = this.#emit.node("gather", [this.#emit.node("counts", [this.#startsOf(this.#root)], {}), sequence], {});
    const any = this.#emit.node(
      "gt",
      [rows, this.#emit.node("constant", [], { value: 0, dtype: "u32", shape: [] })],
      {},
    );
    return {
      name: TOKEN_STATE,
      type,
      init: { kind: "zeros" },
      next: this.#emit.node("where", [any, chosen, before], {}),
    };
  }

  #isSequence(name: string): boolean {
    return this.#axes.some((a) => a.name === name && a.role === "sequence");
  }
  #startsOf(axis: string): Node {
    return this.#graph.starts.get(axis) ?? this.#emit.node("starts", [], { axis });
  }
}

/** Bounds the input's axis by one token per sequence. */
const oneTokenPerSequence = (graph: Graph, root: string): Graph => ({
  ...graph,
  axes: graph.axes.map((a) => (a.name === root ? { ...a, bound: 1 } : a)),
});

/** Replaces the input of a graph by the last chosen token of each sequence. */
function readingLastToken(graph: Graph, input: GraphInput, root: string): Graph {
  const emit = createEmit(ops, graph.axes);
  const token = emit.node("state", [], { name: TOKEN_STATE, dtype: "u32", shape: [rowsSize(SEQUENCES)] });
  const sequence = emit.node("segments", [graph.starts.get(root)!], { axis: root });
  const chosen = emit.node("gather", [token, sequence], {});
  const { dtype } = input.node.attrs;
  const tokens = dtype === "u32" ? chosen : emit.node("cast", [chosen], { dtype });
  return substituteNodes({ ...graph, inputs: [] }, new Map(graph.inputs.map(({ node }) => [node, tokens])));
}
