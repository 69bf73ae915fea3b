// The two programs of generation as graphs: one reads a chunk of a prompt, the other adds the token that was chosen
// before. Both keep what later runs need in the same states, and choose a token for each sequence from the logits of
// its last row.
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

/**
 * Results of both graphs: the token chosen for each sequence, u32[B, 1], and the logarithm of its probability, f32[B,
 * 1], 0 where its settings do not ask for it.
 */
export const TOKEN = "token";
export const LOG_PROBABILITY = "logprob";
/** Logits: those of each sequence's last row, f32[B, 1, V], or of all rows, f32[B, T, V]. */
export const LOGITS = "logits";
/** u32[axes, B]: of each axis the rows that each sequence has on it after the run. */
export const COUNTS = "counts";
/** The token chosen last for each sequence. */
export const TOKEN_STATE = "generate.token";
/**
 * What tokens are chosen by, a row for each sequence (`sample`): states that the host writes, and the set of tokens in
 * the text so far.
 */
export const SAMPLING_STATES = {
  settings: "sampling.settings",
  seeds: "sampling.seeds",
  bias: "sampling.bias",
  seen: "sampling.seen",
} as const;

export interface GenerationGraphs {
  /**
   * Reads `input`, any number of tokens of each sequence, 0 included; of such a sequence the token stays, and the
   * logits mean nothing.
   */
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

/**
 * From the graph of `forward` in phase generate. Throws GenerationError where it is no model of one token after
 * another.
 */
export function generationGraphs(graph: Graph, { logits = "last" }: GenerationOptions = {}): GenerationGraphs {
  const { input, result, vocabulary } = interfaceOf(graph);
  const starts = reachedStarts({ outputs: [result], states: [] }, (axis) => graph.starts.get(axis) ?? null);
  const cached = withCaches({ ...graph, outputs: [result], starts });
  const root = cached.axes[0]!.axis;
  const prompt = new Choosing(cached.graph, root, logits).withOutputs(cached.axes);
  const step = new Choosing(shortened(cached.graph, root), root, "last").withOutputs(cached.axes);
  return {
    prompt,
    step: fedBack(step, input, root),
    input: input.name,
    vocabulary,
    axes: cached.axes,
    layers: cached.layers,
  };
}

/** The one input and the one result of a language model. */
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

/** The choice of tokens behind a graph that gives logits. */
class Choosing {
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
    const [all] = this.#graph.outputs;
    const rows = this.#emit.node(
      "take",
      [all!.node, this.#emit.node("last", [this.#startsOf(this.#root)], { axis: SEQUENCES })],
      { dim: 0 },
    );
    const [batch, , vocabulary] = all!.shape;
    const [choice, sampling] = this.#sampled(rows, Number(vocabulary), cached[0]!);
    const token = this.#token(this.#emit.pick(choice, 0));
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
    ];
    const states = [...this.#graph.states, token, ...sampling];
    const starts = reachedStarts({ outputs, states }, (axis) => (this.#isSequence(axis) ? this.#startsOf(axis) : null));
    return { ...this.#graph, axes: this.#axes, outputs, states, starts };
  }

  /** Of each axis the rows of each sequence, in one value, for the caller reads one faster than several. */
  #counts(cached: readonly CachedAxis[]): Node {
    const rows = cached.map(({ counts }) => {
      const { next } = this.#graph.states.find((s) => s.name === counts)!; // every axis is counted
      return this.#emit.node("reshape", [next], { shape: [1, ...typeOf(next).shape] });
    });
    return rows.length === 1 ? rows[0]! : this.#emit.node("concat", rows, { axis: 0 });
  }

  /**
   * A token and its log-probability from each row of logits, and the states they are chosen by. Draws are numbered by
   * the length of the text.
   */
  #sampled(rows: Node, vocabulary: number, { counts }: CachedAxis): readonly [Node<"sample">, readonly State[]] {
    const { settings, seeds, bias, seen } = SAMPLING_STATES;
    const state = (name: string, dtype: "f32" | "u32", width: number): Node<"state"> =>
      this.#emit.node("state", [], { name, dtype, shape: [rowsSize(SEQUENCES), width] });
    const kept = [
      state(settings, "f32", SAMPLING_COLUMNS.length),
      state(seeds, "u32", 2),
      state(bias, "f32", vocabulary),
    ] as const;
    const before = state(seen, "u32", seenWords(vocabulary));
    const marked = this.#emit.node("mark", [before, this.#tokens(), this.#startsOf(this.#root)], {});
    const length = this.#graph.states.find((s) => s.name === counts)!.next; // every axis is counted
    const position = this.#emit.node(
      "gather",
      [length, this.#emit.node("segments", [this.#startsOf(SEQUENCES)], { axis: SEQUENCES })],
      {},
    );
    const states = [...kept, before].map((node): State => {
      const { name } = node.attrs;
      return { name, type: typeOf(node), init: { kind: "zeros" }, next: node === before ? marked : node };
    });
    return [this.#emit.node("sample", [rows, kept[0], kept[1], position, kept[2], marked], {}), states];
  }
  #tokens(): Node {
    const { node } = this.#graph.inputs[0]!; // there is one
    return node.attrs.dtype === "u32" ? node : this.#emit.node("cast", [node], { dtype: "u32" });
  }

  /** What was chosen for the sequences that had rows; the token of others stays. */
  #token(chosen: Node): State {
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

/** With one token a sequence at most. */
const shortened = (graph: Graph, root: string): Graph => ({
  ...graph,
  axes: graph.axes.map((a) => (a.name === root ? { ...a, bound: 1 } : a)),
});

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
