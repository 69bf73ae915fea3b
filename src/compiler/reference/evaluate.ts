// The reference evaluator: runs a graph in 64-bit floats, node by node. It defines the semantics of every compiled
// program.
import { invariant } from "../../ground/base/invariant.js";
import { isOp, definedAxis, nodesOf, type Graph, type GraphOutput, type Node } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import { printType } from "../ir/typing.js";
import type { OpName } from "../ir/vocabulary.js";
import type { EvaluateContext, Tensor } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { shapeOf, tensor } from "../ops/tensors.js";
import { resolveSizes, type RunSizes, type Sizes } from "../../ground/size/axes.js";
import type { Lengths } from "../../ground/size/lengths.js";
import { chosenFrom, isCut } from "../../ground/size/count-rules.js";
import type { DType } from "../../ground/base/dtype.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { checkRange, InputError, runSizes, toTensor, type GivenInput } from "./inputs.js";
import { columnMargins, entryMargins, leastOfRows, marginsOf, maskMargins, masksOfRoutes } from "./margins.js";
import { packRows, unpackRows } from "./pack.js";
import { atomsOf } from "../../ground/size/size.js";

export interface EvaluateOptions {
  /** Inputs by name, in the caller's shape: padded sequences; the padding is ignored. */
  readonly inputs: ReadonlyMap<string, GivenInput>;
  /** Weights by path, with values in row-major order, whatever their dtype. */
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>;
  /** Extents of axes that no input has. */
  readonly extents?: ReadonlyMap<string, number>;
  /** Number of tokens of each sequence, 0 to T. Default: T for all sequences. */
  readonly lengths?: Lengths;
  /** Live parameters. Default: their declared defaults. */
  readonly live?: ReadonlyMap<string, Rational>;
  /** Seed of random values; default 0. */
  readonly seed?: number;
  /** Values of states before the run. Default: their initial values. */
  readonly states?: ReadonlyMap<string, Tensor>;
  /**
   * Another run's choices by the axis that they define, in packed rows (`packRoute`), to be used instead of the
   * computed choices.
   */
  readonly forced?: ReadonlyMap<string, Choice>;
  /**
   * Another run's choices of entries by name, u32[rows, …, k] in packed rows, to be used instead of the computed
   * choices.
   */
  readonly forcedEntries?: ReadonlyMap<string, Tensor>;
}

/** Another run's choices that a run must use. */
export type Forced = Pick<EvaluateOptions, "forced" | "forcedEntries">;

/** The packed rows of the parent that a route contains, and the starts of its axis. */
export interface Choice {
  readonly index: Tensor;
  readonly starts: Tensor;
}

/** The result of one `top` or `above`. */
export interface Route {
  readonly axis: string;
  readonly parent: string;
  /** The choice that the run used: the forced choice, or `chosen`. */
  readonly used: Choice;
  /** The choice that the scores imply. */
  readonly chosen: Choice;
  /** For each sequence, the smallest change of a score that could change the choice. Infinity if no change can. */
  readonly margins: Float64Array;
}

/** The result of a `top_entries` or `those_entries` with a name. */
export interface Entries {
  /** The entries that the run used: the forced entries, or `chosen`. */
  readonly used: Tensor;
  /** The entries that the scores imply. */
  readonly chosen: Tensor;
  /**
   * For each row of entries, the smallest change of a score that could change the choice. Infinity if no change can.
   */
  readonly margins: Float64Array;
}

export interface Evaluation {
  /** Outputs by name, in the caller's shape; padded with zeros. */
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Values of the states after the run. */
  readonly states: ReadonlyMap<string, Tensor>;
  /** Routes by the axis that they define. */
  readonly routes: ReadonlyMap<string, Route>;
  /** Choices of entries by their names. */
  readonly entries: ReadonlyMap<string, Entries>;
}

/** Runs a graph. Throws InputError if inputs, weights or lengths do not fit it. */
export function evaluate(graph: Graph, options: EvaluateOptions): Evaluation {
  const steps = new Run(graph, options).steps();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Milliseconds between two pauses; an operation in progress is finished first. */
const MAX_TURN_MS = 50;

/** `evaluate` with a pause at intervals between operations, for example to let the user interrupt it. */
export async function evaluateInTurns(
  graph: Graph,
  options: EvaluateOptions,
  pause: () => Promise<void>,
): Promise<Evaluation> {
  const steps = new Run(graph, options).steps();
  for (let last = performance.now(); ;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() - last < MAX_TURN_MS) continue;
    await pause();
    last = performance.now();
  }
}

class Run {
  readonly #graph: Graph;
  readonly #nodes: readonly Node[];
  readonly #options: EvaluateOptions;
  readonly #run: RunSizes;
  readonly #inputs = new Map<string, Tensor>();
  /** Counts of `top` and `above` axes computed so far, and the sizes that depend on them. */
  readonly #known = new Map<string, Uint32Array>();
  #sizes: Sizes;
  readonly #values = new Map<Node, readonly Tensor[]>();
  readonly #routes = new Map<string, Route>();
  readonly #entries = new Map<string, Entries>();
  /** Boolean values from which route scores are computed, and the margins computed so far. */
  readonly #masks: ReadonlySet<Node>;
  readonly #margins = new Map<Node, Tensor>();

  constructor(graph: Graph, options: EvaluateOptions) {
    this.#graph = graph;
    this.#nodes = evaluationOrder(graph);
    this.#masks = masksOfRoutes(this.#nodes);
    this.#options = options;
    const callerTensors = new Map(
      graph.inputs.map((input) => [input.name, givenInput(options, input.name, input.node.attrs.dtype)]),
    );
    for (const name of options.inputs.keys())
      if (!callerTensors.has(name)) throw new InputError(`there is no input ${name}`);
    const live = new Map(graph.live.map((l) => [l.name, options.live?.get(l.name) ?? l.default]));
    this.#run = runSizes(graph, callerTensors, {
      lengths: options.lengths ?? null,
      live,
      extents: options.extents ?? new Map(),
    });
    this.#sizes = this.#resolve();
    for (const input of graph.inputs) {
      const { packing, name } = input;
      const packed = packing
        ? packRows(callerTensors.get(name)!, packing, this.#sizes.sequence(packing.axis).starts())
        : callerTensors.get(name)!;
      checkRange(input, packed);
      this.#inputs.set(name, packed);
    }
  }

  #resolve(): Sizes {
    return resolveSizes(this.#graph.axes, this.#run, "bound", this.#known);
  }

  /** Evaluates one node at each step. */
  *steps(): Generator<void, Evaluation> {
    const uses = usesOf(this.#graph, this.#nodes);
    for (const node of this.#nodes) {
      this.#values.set(node, this.#evaluate(node));
      for (const input of node.inputs) {
        const readersLeft = uses.get(input)! - 1;
        uses.set(input, readersLeft);
        // Free a value after its last use, so that deep models fit in memory.
        if (readersLeft > 0) continue;
        this.#values.delete(input);
        this.#margins.delete(input);
      }
      yield;
    }
    return {
      outputs: new Map(this.#graph.outputs.map((o) => [o.name, this.#output(o)])),
      states: new Map(this.#graph.states.map((s) => [s.name, this.#one(s.next)])),
      routes: this.#routes,
      entries: this.#entries,
    };
  }

  #evaluate(node: Node): readonly Tensor[] {
    const inputs = node.op === "pick" ? this.#results(node.inputs[0]) : node.inputs.map((n) => this.#one(n));
    const context = this.#context(this.#options);
    const results = evaluateNode(node, inputs, context);
    if (isOp(node, "top") || isOp(node, "above")) this.#recordCounts(node, inputs, results);
    if (isOp(node, "top_entries") || isOp(node, "those_entries")) this.#recordEntries(node, inputs, results[0]!);
    if (isOp(node, "top_rows")) this.#margins.set(node, columnMargins(inputs, results[0]!));
    if (this.#masks.has(node)) {
      const margins = maskMargins(node, inputs, results[0]!, (n) => this.#margins.get(n) ?? null, context);
      this.#margins.set(node, margins);
    }
    this.#expectTypes(node, results);
    return results;
  }

  /** Checks that the results of a node have its inferred types. */
  #expectTypes({ op, types }: Node, results: readonly Tensor[]): void {
    invariant(results.length === types.length, `${op} gave ${results.length} results of ${types.length}`);
    types.forEach((type, i) => {
      const { dtype, shape } = results[i]!;
      const fits =
        dtype === type.dtype &&
        shape.length === type.shape.length &&
        type.shape.every((s, d) => this.#sizes.number(s) === shape[d]);
      invariant(fits, `result ${i} of ${op} is ${dtype}[${shape.join(", ")}], inferred ${printType(type)}`);
    });
  }

  /** Records the counts of the axis that a `top` or `above` defines; by the places of tokens nothing is chosen. */
  #recordCounts(node: Node<"top"> | Node<"above">, inputs: readonly Tensor[], results: readonly Tensor[]): void {
    const { axis: name } = node.attrs;
    const axis = this.#graph.axes.find((a) => a.name === name);
    if (axis?.role === "sequence" && isCut(axis.count)) return;
    const parent = axis?.role === "sequence" ? chosenFrom(axis.count) : null;
    invariant(parent !== null, `${name} is made by a choice`);
    const used: Choice = { index: results[0]!, starts: results[1]! };
    const [index, starts] = this.#options.forced?.has(name) ? evaluateNode(node, inputs, this.#context({})) : results;
    const chosen: Choice = { index: index!, starts: starts! };
    this.#routes.set(name, {
      axis: name,
      parent,
      used,
      chosen,
      margins: marginsOf(node.op, inputs, chosen, this.#margins.get(node.inputs[0]) ?? null),
    });
    this.#known.set(name, countsOf(used.starts));
    this.#sizes = this.#resolve();
  }

  #recordEntries(node: Node<"top_entries"> | Node<"those_entries">, inputs: readonly Tensor[], used: Tensor): void {
    const { choice } = node.attrs;
    if (choice === "") return;
    const chosen = this.#options.forcedEntries?.has(choice) ? evaluateNode(node, inputs, this.#context({}))[0]! : used;
    const mask = this.#margins.get(node.inputs[0]);
    const margins = mask ? leastOfRows(mask) : entryMargins(inputs[0]!, chosen);
    this.#entries.set(choice, { used, chosen, margins });
  }

  #context({ forced, forcedEntries }: Forced): EvaluateContext {
    return {
      axes: this.#graph.axes,
      sizes: this.#sizes,
      live: this.#run.live,
      seed: this.#options.seed ?? 0,
      source: (kind, name, type) =>
        kind === "input"
          ? this.#inputs.get(name)!
          : kind === "state"
            ? this.#state(name, type)
            : this.#weight(name, type),
      forced: (axis) => forced?.get(axis) ?? null,
      forcedEntries: (choice) => forcedEntries?.get(choice) ?? null,
    };
  }

  #weight(path: string, type: TensorType): Tensor {
    const weight = this.#options.weights.get(path);
    if (!weight) throw new InputError(`there is no weight ${path}`);
    const shape = shapeOf(type.shape, this.#context({}));
    if (weight.shape.length !== shape.length || weight.shape.some((s, d) => s !== shape[d]))
      throw new InputError(`weight ${path}: expected [${shape.join(", ")}], found [${weight.shape.join(", ")}]`);
    return toTensor(path, weight, type.dtype);
  }

  #state(name: string, type: TensorType): Tensor {
    const initialState = this.#options.states?.get(name);
    if (initialState) return initialState;
    const state = this.#graph.states.find((s) => s.name === name);
    invariant(state, `state ${name} is declared`);
    const { init } = state;
    if (init.kind === "weight") return this.#weight(init.path, type);
    const begins = tensor(type.dtype, shapeOf(type.shape, this.#context({})));
    if (init.kind === "filled") begins.data.fill(init.value);
    return begins;
  }

  #results(node: Node): readonly Tensor[] {
    const values = this.#values.get(node);
    invariant(values, `${node.op} has been evaluated`);
    return values;
  }

  #one(node: Node): Tensor {
    const [value] = this.#results(node);
    return value!;
  }

  #output({ node, packing }: GraphOutput): Tensor {
    const value = this.#one(node);
    if (!packing) return value;
    const counts = this.#sizes.sequence(packing.axis);
    return unpackRows(value, packing, counts.starts(), counts.longest);
  }
}

const evaluateNode = <K extends OpName>(
  node: Node<K>,
  inputs: readonly Tensor[],
  context: EvaluateContext,
): readonly Tensor[] => ops[node.op].evaluate(inputs, node.attrs, context);

function givenInput({ inputs }: EvaluateOptions, name: string, dtype: DType): Tensor {
  const value = inputs.get(name);
  if (value === undefined) throw new InputError(`input ${name} is missing`);
  return toTensor(`input ${name}`, value, dtype);
}

const countsOf = ({ data }: Tensor): Uint32Array =>
  new Uint32Array(data.length - 1).map((_, b) => data[b + 1]! - data[b]!);

/** The number of readers of each node; results of the graph have one more, so that they are never freed. */
function usesOf(graph: Graph, nodes: readonly Node[]): Map<Node, number> {
  const uses = new Map<Node, number>();
  const use = (node: Node): void => void uses.set(node, (uses.get(node) ?? 0) + 1);
  for (const node of nodes) node.inputs.forEach(use);
  for (const o of graph.outputs) use(o.node);
  for (const s of graph.states) use(s.next);
  return uses;
}

/**
 * The nodes of a graph, inputs before readers. A value whose size depends on a choice, such as a fill, comes after the
 * choice, since its count is unknown before.
 */
function evaluationOrder(graph: Graph): readonly Node[] {
  const order: Node[] = [];
  const done = new Set<Node>();
  const isReady = (node: Node): boolean =>
    node.inputs.every((input) => done.has(input)) &&
    axesMade(node).every((axis) => {
      const start = graph.starts.get(axis);
      return start === undefined || done.has(start);
    });
  let waiting: readonly Node[] = [];
  for (const node of nodesOf(graph)) {
    waiting = [...waiting, node];
    for (let before = -1; before !== waiting.length && waiting.length > 0;) {
      before = waiting.length;
      waiting = waiting.filter((next) => {
        if (!isReady(next)) return true;
        order.push(next);
        done.add(next);
        return false;
      });
    }
  }
  invariant(waiting.length === 0, "every node can be evaluated");
  return order;
}

/** Axes in the sizes of a node's results that none of its inputs has and that the node does not define. */
function axesMade(node: Node): readonly string[] {
  const { inputs, types } = node;
  const axes = axesOf(types);
  if (axes.length === 0) return axes;
  const known = new Set([...inputs.flatMap((input) => axesOf(input.types)), definedAxis(node)?.axis]);
  return axes.filter((axis) => !known.has(axis));
}

const axesOf = (types: Node["types"]): readonly string[] =>
  types.flatMap(({ shape }) => shape.flatMap((size) => [...atomsOf(size)].flatMap((a) => ("axis" in a ? a.axis : []))));
