// Caches: a graph of phase generate that reads whole sequences becomes one that continues them, with what earlier runs
// left in states.
//
// Each axis along which keys lie gets a longer one, its capacity, with as many rows for every sequence, and a state
// that counts those in use. An attention keeps keys and values there: the new rows are set behind the old ones, in
// place, and queries see all of them by their positions in the model's input. Rows not in use have the largest number
// for a position, which no query sees. All else must read its own tokens only, as its record says (`tokens`); what does
// not is refused.
import { exactly } from "../base/collections.js";
import { ModcError } from "../base/errors.js";
import { createEmit, type Emit } from "../ir/build.js";
import { isOp, mapInputs, nodesOf, typeOf, type Graph, type Node, type Origin, type State } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { Along } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { capacityOf } from "../program/axes-of-generation.js";
import { alongSequences, tokensOf } from "../ops/traits.js";
import type { Axis, SequenceAxis } from "../size/axes.js";
import { axisSize, rowsSize, substitute, type Size } from "../size/size.js";

/** A graph that no generation can be made of: the message says why. */
export class GenerationError extends ModcError<"generation"> {
  override readonly name = "GenerationError";

  constructor(message: string) {
    super("generation", message);
  }
}

/** An axis of the tokens of one run, and what is kept of those of earlier runs. */
export interface CachedAxis {
  readonly axis: string;
  /** Along which caches lie, `capacity` rows for each sequence; null where no attention has keys on it. */
  readonly capacity: string | null;
  /** State, u32[B]: the rows that each sequence has. */
  readonly counts: string;
  /** State, u32[rows(capacity)]: the position of each row in the model's input; null where that is its place. */
  readonly positions: string | null;
  /** The call that chose it; "" for the axis of the input. */
  readonly path: string;
}

/** What one attention keeps. States `keys` and `values` are [rows(capacity), heads, width]. */
export interface CachedLayer {
  readonly path: string;
  readonly axis: string;
  readonly keys: string;
  readonly values: string;
}

export interface Cached {
  readonly graph: Graph;
  /** The axis of the input first. */
  readonly axes: readonly CachedAxis[];
  readonly layers: readonly CachedLayer[];
}

/** The position of a row that is not in use. */
export const NOWHERE = 0xffffffff;

/**
 * The graph whose runs continue each other. Throws GenerationError where the tokens of a sequence do not come from one
 * input.
 */
export function withCaches(graph: Graph): Cached {
  return new Caching(graph).result();
}

/** What is said of an operator that looks beyond its token, and for which there is no rule above. */
const refusal = ({ op, origin }: Node, tokens: "earlier" | "all"): string =>
  `${op}${origin?.path ? ` of ${origin.path}` : ""} reads ${tokens === "all" ? "all" : "earlier"} tokens of a ` +
  "sequence, " +
  "and nothing says what generation keeps of them";

class Caching {
  readonly #graph: Graph;
  readonly #nodes: readonly Node[];
  readonly #root: SequenceAxis;
  /** Axes along which keys lie. */
  readonly #keyed: ReadonlySet<string>;
  readonly #axes: readonly Axis[];
  readonly #along: Along;
  readonly #emit: Emit;
  readonly #rewrittenNodes = new Map<Node, Node>();
  readonly #states = new Map<string, State>();
  readonly #counted = new Map<string, CachedAxis>();
  readonly #layers: CachedLayer[] = [];
  /** What keeps a key or value, by the axis it lies along. */
  readonly #kept = new Map<string, Node>();

  constructor(graph: Graph) {
    this.#graph = graph;
    this.#nodes = nodesOf(graph);
    this.#root = rootOf(graph);
    this.#along = alongSequences(graph.axes);
    this.#keyed = new Set(this.#nodes.flatMap((n) => (isOp(n, "attention") ? [axisOf(n.inputs[1])] : [])));
    const capacities = [...new Set([this.#root.name, ...this.#keyed])].map((name): Axis => {
      const { bound } = this.#sequence(name);
      return { role: "sequence", name: capacityOf(name), bound, count: { kind: "input" } };
    });
    this.#axes = [...graph.axes, ...capacities];
    this.#emit = createEmit(ops, this.#axes);
  }

  result(): Cached {
    for (const node of this.#nodes) this.#rewrittenNodes.set(node, this.#rewritten(node));
    // Every route is counted, whether or not an attention lies on it: the caller is told how many tokens each layer
    // computed.
    for (const axis of this.#graph.axes)
      if (axis.role === "sequence" && (axis === this.#root || this.#graph.starts.has(axis.name)))
        this.#countsOf(axis.name);
    const of = (node: Node): Node => this.#rewrittenNodes.get(node)!;
    const graph: Graph = {
      ...this.#graph,
      axes: this.#axes,
      // an input stays one
      inputs: this.#graph.inputs.map((i) => ({
        ...i,
        node: (this.#rewrittenNodes.get(i.node) ?? i.node) as Node<"input">,
      })),
      outputs: this.#graph.outputs.map((o) => ({ ...o, node: of(o.node) })),
      states: [...this.#states.values()],
      starts: new Map([
        ...[...this.#graph.starts].map(([axis, node]) => [axis, of(node)] as const),
        ...this.#capacities().map((name) => [name, this.#startsOf(name)] as const),
      ]),
    };
    const root = this.#counted.get(this.#root.name)!;
    return { graph, axes: [root, ...[...this.#counted.values()].filter((a) => a !== root)], layers: this.#layers };
  }

  #rewritten(node: Node): Node {
    const { origin } = node;
    const inputs = node.inputs.map((n) => this.#rewrittenNodes.get(n)!);
    if (isOp(node, "positions"))
      return this.#emit.node("append", [this.#countsOf(node.attrs.axis), inputs[0]!], node.attrs, origin);
    if (isOp(node, "rope_table"))
      return this.#emit.node(
        "rope_table",
        [],
        { ...node.attrs, positions: this.#overAll(node.attrs.positions) },
        origin,
      );
    if (isOp(node, "attention") && node.attrs.causal) {
      const [q, k, v, startsQ, , positionsQ, positionsK] = mapInputs(node, (n) => this.#rewrittenNodes.get(n)!);
      const axis = axisOf(node.inputs[1]);
      const capacity = this.#startsOf(capacityOf(axis));
      const positions = this.#keyPositions(axis, positionsK, origin);
      const [keys, values] = this.#keep(node, axis, k, v);
      return this.#emit.node(
        "attention",
        [q, keys, values, startsQ, capacity, positionsQ, positions],
        node.attrs,
        origin,
      );
    }
    const tokens = tokensOf(node, this.#along);
    if (tokens !== "own") throw new GenerationError(refusal(node, tokens));
    return this.#emit.node(node.op, inputs, node.attrs, origin);
  }

  /** Keys and values of all tokens so far, [heads, rows(capacity), width]. */
  #keep(node: Node<"attention">, axis: string, k: Node, v: Node): readonly [Node, Node] {
    const path = node.origin?.path ?? "";
    const taken = this.#layers.filter((l) => l.path === path).length;
    const name = `cache.${path === "" ? "" : `${path}.`}${taken === 0 ? "" : `${taken}.`}`;
    const [keys, values] = [
      this.#keptIn(`${name}keys`, axis, k, node.origin),
      this.#keptIn(`${name}values`, axis, v, node.origin),
    ];
    this.#layers.push({ path, axis, keys: keys.state, values: values.state });
    return [keys.node, values.node];
  }

  /** x[heads, rows(axis), width] set behind what a state holds; where two attentions read the same, it is kept once. */
  #keptIn(name: string, axis: string, x: Node, origin: Origin | null): { readonly node: Node; readonly state: string } {
    const { dtype, shape } = typeOf(x);
    const [heads, , width] = exactly(3, shape);
    const rows = this.#emit.node("permute", [x], { order: [1, 0, 2] }, origin);
    const known = [...this.#states.values()].find((s) => isOp(s.next, "set") && s.next.inputs[2] === rows);
    const next =
      known?.next ??
      this.#setInState(name, axis, { dtype, shape: [rowsSize(capacityOf(axis)), heads, width] }, rows, origin);
    return { node: this.#emit.node("permute", [next], { order: [1, 0, 2] }, origin), state: known?.name ?? name };
  }
  #setInState(
    name: string,
    axis: string,
    type: State["type"],
    rows: Node,
    origin: Origin | null,
    init: State["init"] = { kind: "zeros" },
  ): Node {
    const before = this.#emit.node("state", [], { name, dtype: type.dtype, shape: type.shape }, origin);
    const index = this.#emit.node(
      "append",
      [this.#countsOf(axis), this.#startsOf(axis), this.#startsOf(capacityOf(axis))],
      { axis },
      origin,
    );
    const next = this.#emit.node("set", [before, index, rows], { dim: 0 }, origin);
    this.#states.set(name, { name, type, init, next });
    return next;
  }

  /**
   * u32[rows(capacity)]. On the axis of the input a row's place is its position, so those not in use come after every
   * query.
   */
  #keyPositions(axis: string, positions: Node, origin: Origin | null): Node {
    if (axis === this.#root.name)
      return this.#emit.node("positions", [this.#startsOf(capacityOf(axis))], { axis: capacityOf(axis) }, origin);
    let made = this.#kept.get(axis);
    if (!made) {
      const type = { dtype: "u32", shape: [rowsSize(capacityOf(axis))] } as const;
      made = this.#setInState(positionsState(axis), axis, type, positions, origin, { kind: "filled", value: NOWHERE });
      this.#kept.set(axis, made);
    }
    return made;
  }

  /** u32[B]: the rows that each sequence has before this run. */
  #countsOf(name: string): Node {
    const axis = this.#sequence(name);
    const [batch] = this.#graph.axes.filter((a) => a.role === "batch").map((a) => axisSize(a.name));
    const type = { dtype: "u32", shape: [batch!] } as const; // `rootOf` has found one
    const counts = `generate.count.${name}`;
    const before = this.#emit.node("state", [], { name: counts, ...type });
    if (this.#counted.has(name)) return before;
    const keyed = this.#keyed.has(name);
    this.#counted.set(name, {
      axis: name,
      capacity: keyed || axis === this.#root ? capacityOf(name) : null,
      counts,
      positions: keyed && axis !== this.#root ? positionsState(name) : null,
      path: axis === this.#root ? "" : (this.#graph.starts.get(name)?.origin?.path ?? ""),
    });
    const added = this.#emit.node("counts", [this.#startsOf(name)], {});
    this.#states.set(counts, {
      name: counts,
      type,
      init: { kind: "zeros" },
      next: this.#emit.node("add", [before, added], {}),
    });
    return before;
  }

  #startsOf(axis: string): Node {
    const before = this.#graph.starts.get(axis);
    return (before && this.#rewrittenNodes.get(before)) ?? this.#emit.node("starts", [], { axis });
  }
  #capacities(): readonly string[] {
    return this.#axes.slice(this.#graph.axes.length).map((a) => a.name);
  }
  /** Of a size along the input's axis that along all the tokens there will be. */
  #overAll(size: Size): Size {
    return typeof size === "number"
      ? size
      : substitute(size, (atom) =>
          atom.kind === "axis" && atom.axis === this.#root.name ? axisSize(capacityOf(atom.axis)) : null,
        );
  }
  #sequence(name: string): SequenceAxis {
    const axis = this.#graph.axes.find((a) => a.name === name);
    if (axis?.role !== "sequence") throw new GenerationError(`${name} is no axis of tokens`);
    return axis;
  }
}

const positionsState = (axis: string): string => `cache.positions.${axis}`;

function axisOf(heads: Node): string {
  const axis = packedAxis(typeOf(heads).shape[1]!);
  if (axis === null) throw new GenerationError("the rows of an attention lie along no axis");
  return axis;
}

/** The axis of the tokens; all others must be chosen from it. */
function rootOf(graph: Graph): SequenceAxis {
  if (!graph.axes.some((a) => a.role === "batch")) throw new GenerationError("the model has no batch of sequences");
  const roots = graph.axes.filter((a): a is SequenceAxis => a.role === "sequence" && a.count.kind === "input");
  const [root, second] = roots;
  if (!root) throw new GenerationError("the model's inputs have no axis of tokens");
  if (second)
    throw new GenerationError(
      `the model reads sequences along ${root.name} and ${second.name}: only tokens of one axis can be generated`,
    );
  for (const axis of graph.axes)
    if (axis.role === "sequence" && axis !== root && axis.count.kind !== "above" && graph.starts.has(axis.name))
      throw new GenerationError(
        `the axis ${axis.name} is made by ${axis.count.kind}, which looks at the whole sequence`,
      );
  return root;
}
