// The two graphs for generation: `prompt` reads a chunk of a prompt, `step` reads the last chosen token. Both share
// their cache states, and choose a token for each sequence from the logits of the sequence's last row.
import { createEmit, type Emit } from "../ir/build.js";
import { typeOf, type Graph, type GraphInput, type GraphOutput, type Node, type State } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { equalTypes } from "../ir/typing.js";
import { substituteNodes } from "../ir/replace.js";
import { ops } from "../ops/index.js";
import { SEQUENCES } from "../../runtime/program/axes-of-generation.js";
import type { Axis } from "../../ground/size/axes.js";
import { SAMPLING_COLUMNS, seenWords } from "../../ground/numerics/sampling.js";
import { axisSize, type Size } from "../../ground/size/size.js";
import type { Cached, CachedAxis, CachedLayer } from "./cached.js";
import { withCaches, type CacheKind } from "./caches.js";
import { withoutRoutes } from "./drafting.js";
import { GenerationError } from "./generation-error.js";
import { grownAxes, splitGiven } from "./given.js";
import { decoderOf, LOGITS } from "./language-model.js";
import { withLatentRows } from "./latent.js";
import { LOOP_CACHES, type LoopCaches } from "./loop-caches.js";
import { observedChoices, type ObservedChoice } from "./observed-entries.js";
import type { SequenceValues } from "./sequence-values.js";

/**
 * Names of the results of both graphs: the chosen token of each sequence, u32[B, 1], and its log-probability, f32[B,
 * 1], which is 0 if not requested.
 */
export const TOKEN = "token";
export const LOG_PROBABILITY = "logprob";
/** The logits of each sequence's last row, f32[B, 1, V], or of all rows, f32[B, T, V]. */
export { LOGITS };
/** Result of the prompt graph with paged caches: the logits of all rows, f32[B, T, V]. */
export const ALL_LOGITS = "logits.all";
/** u32[axes, B]: the number of rows of each sequence on each axis after the run. */
export const COUNTS = "counts";
/** Result of the prompt graph with paged caches: u32[B, rows], the positions of tokens that took axis i. */
export const takenName = (i: number): string => `taken.${i}`;
/** Result of the graph that verifies a draft: u32[B, T], the token chosen after each token read. */
export const TOKENS = "tokens";
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
  /** Reads the last chosen token of each sequence; skips sequences without rows. */
  readonly step: Graph;
  /** Computes the values of given inputs alone, and keeps them in states of the others; null without such inputs. */
  readonly given: Graph | null;
  /** Name of the model's input of tokens, and of further inputs with a value for each token. */
  readonly input: string;
  readonly beside: readonly string[];
  readonly vocabulary: number;
  readonly axes: readonly CachedAxis[];
  readonly layers: readonly CachedLayer[];
  /** Names of the states of recurrences, which have a row of fixed size for each sequence. */
  readonly recurrent: readonly string[];
  readonly loopCaches: LoopCaches;
  readonly caches: CacheKind;
  /** The observed choices of entries (experts). */
  readonly choices: readonly ObservedChoice[];
  /** Only with paged caches; null also if the model has no routes, or states that only routed blocks keep whole. */
  readonly draft: DraftGraphs | null;
}

/** Drafts tokens, and verifies the draft. */
export interface DraftGraphs {
  /** `step` of the model without its routed blocks; its tokens only write rows on the axis of all tokens. */
  readonly step: Graph;
  /**
   * Reads any number of tokens of each sequence from the input, and chooses a token after each: TOKENS. The states with
   * the chosen token and with the set of seen tokens stay unchanged.
   */
  readonly verify: Graph;
}

export interface GenerationOptions {
  /** all: the prompt graph returns the logits of every row. last, the default: only of each sequence's last row. */
  readonly logits?: "last" | "all";
  /**
   * The cache layout. rows, the default: contiguous, for one batch of sequences from start to end. pages: in pools of
   * pages that the host assigns to sequences, so that every run may have another set of sequences.
   */
  readonly caches?: CacheKind;
  /**
  /**
   * Paged caches only. False: every run has one sequence, the same until another takes its place; the programs then
   * have no slots and fewer kernels. Default true.
   */
  readonly slots?: boolean;
  /**
   * The keys and values kept for a token that passes through a block several times.
   * each, the default: keys and values of every call.
   * last: only the last call's. An earlier call sees rows of the current run as far as the run has computed them. Since
   * a prompt is one run, each loop in the prompt sees its own keys; a later token sees the last call's keys of all
   * earlier tokens.
   */
  readonly loopCaches?: LoopCaches;
  /**
   * on: keys and values that are products of a narrower row with a weight are kept as that row, if the row and the
   * columns that heads share have at most half of the numbers. Queries then go through the weight of the keys, in both
   * graphs. off, the default: keys and values are kept as the model computes them.
   */
  readonly latent?: "on" | "off";
}

/**
 * Builds both graphs from the graph of `forward` in phase generate. Throws GenerationError if the model is not
 * autoregressive.
 */
export function generationGraphs(
  written: Graph,
  { logits = "last", caches = "rows", loopCaches = "each", slots = true, latent = "off" }: GenerationOptions = {},
): GenerationGraphs {
  if (!["on", "off"].includes(latent))
    throw new GenerationError(`latent is ${JSON.stringify(latent)}: it is "on" or "off"`);
  const graph = latent === "on" ? withLatentRows(written) : written;
  if (!LOOP_CACHES.includes(loopCaches))
    throw new GenerationError(`loopCaches is ${JSON.stringify(loopCaches)}: it is "each" or "last"`);
  if (caches === "pages" && loopCaches === "last")
    throw new GenerationError(
      "caches of the last loop alone cannot use pages: a text would depend on the caches of other texts",
    );
  const { input, result, vocabulary } = decoderOf(graph, "a model that generates");
  const tokens = input.packing!.axis; // as a decoder's input has
  const others = graph.inputs.filter((other) => other !== input);
  if (caches === "pages" && others.length > 0)
    throw new GenerationError(
      "caches in pages are of models whose only input is their tokens, but this one has " +
        `${others.map((i) => i.name).join(", ")} too`,
    );
  const drafted = caches === "pages" ? withoutRoutes({ ...graph, outputs: [result] }) : null;
  const grown = grownAxes(graph.axes, tokens);
  const observed = observedChoices(graph, grown);
  const outputs = [result, ...observed.outputs];
  const starts = reachedStarts({ outputs, states: [] }, (axis) => graph.starts.get(axis) ?? null);
  const { rest, given } = splitGiven({ ...graph, inputs: [input, ...others], outputs, starts }, tokens);
  const cached = withCaches(rest, { tokens, caches, loopCaches, slots });
  const root = cached.axes[0]!.axis;
  const prompt = new SamplingGraph(cached, { logits, all: caches === "pages" }).withOutputs();
  const single = oneTokenPerSequence(withCaches(rest, { tokens, caches, loopCaches, slots, rows: "one" }));
  const step = new SamplingGraph(single, { logits: "last", all: false }).withOutputs();
  const draftStep = drafted && stepOfDraft(drafted, input, slots, single.graph);
  return {
    prompt,
    given,
    beside: rest.inputs.flatMap(({ name }) => (name === input.name ? [] : [name])),
    draft: draftStep && {
      step: draftStep,
      verify: new SamplingGraph(cached, { logits: "all", all: true }).verifying(),
    },
    step: readingLastToken(step, input, root, single.values),
    input: input.name,
    vocabulary,
    axes: cached.axes,
    layers: cached.layers,
    recurrent: cached.recurrent,
    loopCaches,
    caches,
    choices: observed.choices,
  };
}

/**
 * The step graph of a model without its routed blocks. `whole` is the step graph with them. Null if both graphs do not
 * agree about the types of the states.
 */
function stepOfDraft(graph: Graph, input: GraphInput, slots: boolean, whole: Graph): Graph | null {
  const tokens = input.packing!.axis;
  const cached = oneTokenPerSequence(withCaches(graph, { tokens, caches: "pages", slots, rows: "one" }));
  const root = cached.axes[0]!.axis;
  const typesOf = new Map(whole.states.map(({ name, type }) => [name, type]));
  const isOfWhole = ({ name, type }: State): boolean => {
    const known = typesOf.get(name);
    return known !== undefined && equalTypes(type, known);
  };
  if (!cached.graph.states.every(isOfWhole)) return null;
  const step = new SamplingGraph(cached, { logits: "last", all: false }).withOutputs();
  return readingLastToken(step, input, root, cached.values);
}

/** Appends the sampling of tokens to a graph that computes logits. */
class SamplingGraph {
  readonly #cached: Cached;
  readonly #graph: Graph;
  readonly #root: string;
  readonly #axes: readonly Axis[];
  readonly #emit: Emit;
  readonly #values: SequenceValues;
  readonly #logits: { readonly logits: "last" | "all"; readonly all: boolean };

  /** `all`: whether the logits of all rows are also a result. */
  constructor(cached: Cached, logits: { readonly logits: "last" | "all"; readonly all: boolean }) {
    const { graph } = cached;
    this.#cached = cached;
    this.#graph = graph;
    this.#root = cached.axes[0]!.axis;
    this.#values = cached.values;
    this.#logits = logits;
    const known = graph.axes.some((a) => a.name === SEQUENCES);
    this.#axes = known
      ? graph.axes
      : [...graph.axes, { role: "sequence", name: SEQUENCES, bound: 1, count: { kind: "input" } }];
    this.#emit = createEmit(ops, this.#axes);
  }

  withOutputs(): Graph {
    const [all, ...observed] = this.#graph.outputs;
    const rows = this.#emit.node(
      "take",
      [all!.node, this.#emit.node("last", [this.#startsOf(this.#root)], { axis: SEQUENCES })],
      { dim: 0 },
    );
    const [batch, , vocabulary] = all!.shape;
    const [choice, sampling] = this.#sample(rows, Number(vocabulary));
    const token = this.#chosen(this.#emit.pick(choice, 0));
    const probability = this.#emit.pick(choice, 1);
    const packing = { axis: SEQUENCES, batchDim: 0, tokenDim: 1 };
    const counts = this.#counts();
    const outputs: readonly GraphOutput[] = [
      { name: TOKEN, role: "result", node: token, shape: [batch!, axisSize(SEQUENCES)], packing },
      { name: LOG_PROBABILITY, role: "observe", node: probability, shape: [batch!, axisSize(SEQUENCES)], packing },
      this.#logits.logits === "all"
        ? { ...all!, name: LOGITS, role: "observe" }
        : { name: LOGITS, role: "observe", node: rows, shape: [batch!, axisSize(SEQUENCES), vocabulary!], packing },
      { name: COUNTS, role: "observe", node: counts, shape: typeOf(counts).shape, packing: null },
      ...(this.#logits.all ? [{ ...all!, name: ALL_LOGITS, role: "observe" } as const, ...this.#taken(batch!)] : []),
      ...observed,
    ];
    const tokenState = this.#values.rowState(this.#emit, TOKEN_STATE, token);
    const states = [...this.#graph.states, tokenState, ...sampling];
    const starts = reachedStarts({ outputs, states }, (axis) => (this.#isSequence(axis) ? this.#startsOf(axis) : null));
    return { ...this.#graph, axes: this.#axes, outputs, states, starts };
  }

  /** The graph that chooses a token after every row. */
  verifying(): Graph {
    const [all] = this.#graph.outputs;
    const [batch, , vocabulary] = all!.shape;
    const { settings, seeds, bias, seen } = SAMPLING_STATES;
    const sequence = this.#emit.node("segments", [this.#startsOf(this.#root)], { axis: this.#root });
    const values = [
      [settings, "f32", SAMPLING_COLUMNS.length],
      [seeds, "u32", 2],
      [bias, "f32", Number(vocabulary)],
      [seen, "u32", seenWords(Number(vocabulary))],
    ] as const;
    const ofSequences = values.map(([name, dtype, width]) => this.#values.rows(this.#emit, name, dtype, [width]));
    const [set, seed, biased, known] = ofSequences.map((rows) => this.#emit.node("gather", [rows, sequence], {}));
    const before = this.#values.counts(this.#emit, this.#cached.axes[0]!.counts);
    const position = this.#emit.node("append", [before, this.#startsOf(this.#root)], { axis: this.#root });
    const one = this.#emit.node("constant", [], { value: 1, dtype: "u32", shape: [] });
    const length = this.#emit.node("add", [position, one], {});
    const choice = this.#emit.node("sample", [all!.node, set!, seed!, length, biased!, known!], {});
    const packing = { axis: this.#root, batchDim: 0, tokenDim: 1 };
    const shape = [batch!, axisSize(this.#root)];
    const counts = this.#counts();
    const outputs: readonly GraphOutput[] = [
      { name: TOKENS, role: "result", node: this.#emit.pick(choice, 0), shape, packing },
      { name: LOG_PROBABILITY, role: "observe", node: this.#emit.pick(choice, 1), shape, packing },
      { ...all!, name: ALL_LOGITS, role: "observe" },
      { name: COUNTS, role: "observe", node: counts, shape: typeOf(counts).shape, packing: null },
      ...this.#taken(batch!),
    ];
    const cached = values.map(([name], i) => this.#values.keptState(this.#emit, name, ofSequences[i]!));
    const states = [...this.#graph.states, ...cached];
    const starts = reachedStarts({ outputs, states }, (axis) => (this.#isSequence(axis) ? this.#startsOf(axis) : null));
    return { ...this.#graph, axes: this.#axes, outputs, states, starts };
  }

  /** The positions of the tokens that took each route. */
  #taken(batch: Size): readonly GraphOutput[] {
    return this.#cached.positions.flatMap((node, i): GraphOutput[] => {
      const { axis } = this.#cached.axes[i]!;
      if (!node) return [];
      const packing = { axis, batchDim: 0, tokenDim: 1 };
      return [{ name: takenName(i), role: "observe", node, shape: [batch, axisSize(axis)], packing }];
    });
  }

  /** The row counts of all axes in one value: the caller reads one buffer faster than several. */
  #counts(): Node {
    const rows = this.#cached.counts.map((counts) =>
      this.#emit.node("reshape", [counts], { shape: [1, ...typeOf(counts).shape] }),
    );
    return rows.length === 1 ? rows[0]! : this.#emit.node("concat", rows, { axis: 0 });
  }

  /**
   * Samples a token and its log-probability from each row of logits; also returns the states that sampling reads. The
   * sequence's length numbers the random draw.
   */
  #sample(rows: Node, vocabulary: number): readonly [Node<"sample">, readonly State[]] {
    const { settings, seeds, bias, seen } = SAMPLING_STATES;
    const value = (name: string, dtype: "f32" | "u32", width: number): Node =>
      this.#values.rows(this.#emit, name, dtype, [width]);
    const hostWritten = [
      value(settings, "f32", SAMPLING_COLUMNS.length),
      value(seeds, "u32", 2),
      value(bias, "f32", vocabulary),
    ] as const;
    const before = value(seen, "u32", seenWords(vocabulary));
    const marked = this.#emit.node("mark", [before, this.#tokens(), this.#startsOf(this.#root)], {});
    const position = this.#emit.node(
      "gather",
      [this.#cached.counts[0]!, this.#emit.node("segments", [this.#startsOf(SEQUENCES)], { axis: SEQUENCES })],
      {},
    );
    const states = [
      ...[settings, seeds, bias].map((name, i) => this.#values.keptState(this.#emit, name, hostWritten[i]!)),
      this.#values.rowState(this.#emit, seen, marked),
    ];
    return [
      this.#emit.node("sample", [rows, hostWritten[0], hostWritten[1], position, hostWritten[2], marked], {}),
      states,
    ];
  }
  #tokens(): Node {
    const { node } = this.#graph.inputs[0]!; // `languageModel` has checked that there is one
    return node.attrs.dtype === "u32" ? node : this.#emit.node("cast", [node], { dtype: "u32" });
  }

  /** The chosen token of each sequence: new for sequences with rows in this run, unchanged for others. */
  #chosen(chosen: Node): Node {
    const before = this.#values.rows(this.#emit, TOKEN_STATE, "u32", []);
    const sequence = this.#emit.node("segments", [this.#startsOf(SEQUENCES)], { axis: SEQUENCES });
    const rows = this.#emit.node("gather", [this.#emit.node("counts", [this.#startsOf(this.#root)], {}), sequence], {});
    const any = this.#emit.node(
      "gt",
      [rows, this.#emit.node("constant", [], { value: 0, dtype: "u32", shape: [] })],
      {},
    );
    return this.#emit.node("where", [any, chosen, before], {});
  }

  #isSequence(name: string): boolean {
    return this.#axes.some((a) => a.name === name && a.role === "sequence");
  }
  #startsOf(axis: string): Node {
    return this.#graph.starts.get(axis) ?? this.#emit.node("starts", [], { axis });
  }
}

/** Bounds the input's axis by one token per sequence. */
function oneTokenPerSequence(cached: Cached): Cached {
  const root = cached.axes[0]!.axis;
  const axes = cached.graph.axes.map((a) => (a.name === root ? { ...a, bound: 1 } : a));
  return { ...cached, graph: { ...cached.graph, axes } };
}

/** Replaces the input of a graph by the last chosen token of each sequence. */
function readingLastToken(graph: Graph, input: GraphInput, root: string, values: SequenceValues): Graph {
  const emit = createEmit(ops, graph.axes);
  const token = values.rows(emit, TOKEN_STATE, "u32", []);
  const sequence = emit.node("segments", [graph.starts.get(root)!], { axis: root });
  const chosen = emit.node("gather", [token, sequence], {});
  const { dtype } = input.node.attrs;
  const tokens = dtype === "u32" ? chosen : emit.node("cast", [chosen], { dtype });
  const [tokenInput, ...others] = graph.inputs;
  return substituteNodes({ ...graph, inputs: others }, new Map([[tokenInput!.node, tokens]]));
}
