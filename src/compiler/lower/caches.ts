// Adds key-value caches: turns a graph that reads whole sequences into one that continues the sequences of earlier
// runs, with the earlier results in states.
//
// For each axis of attention keys there is a capacity axis, with an equal number of rows for every sequence, and a
// state with the number of rows in use. Each attention stores its keys and values along the capacity axis: new rows are
// written after the existing ones, in place, and queries attend to all of them by their positions in the model's input.
// Unused rows have the largest possible position, so that the causal mask hides them. Every operator except attention
// may read only its own token; an operator that reads other tokens, according to its record (`tokens`), is refused.
import { exactly } from "../../ground/base/collections.js";
import { createEmit, type Emit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type Node, type Origin, type State } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { Along } from "../ops/define.js";
import { ops } from "../ops/index.js";
import { UNUSED_POSITION } from "../ops/paged.js";
import { FIRST_OPERAND, isAttention, keyOperands, type AttentionNode } from "../ops/pairs.js";
import { capacityOf } from "../../runtime/program/axes-of-generation.js";
import { partOfKeys } from "../ops/part-of-keys.js";
import { alongSequences, tokensOf } from "../ops/traits.js";
import type { Axis, SequenceAxis } from "../../ground/size/axes.js";
import { axisSize, substitute, type Size } from "../../ground/size/size.js";
import { PagedLayout, sideBySide, type CacheLayout, type RunRows } from "./cache-layouts.js";
import type { Cached, CachedAxis, CachedLayer } from "./cached.js";
import { GenerationError, unsupported } from "./generation-error.js";
import { choicesOf, grownAxes, steadyNodes } from "./given.js";
import { axisOf, rootOf } from "./token-axes.js";
import { withKeysOfMasks } from "./keys-of-masks.js";
import { loopedAttentions, loopedRecurrences, loopMessage, type LoopCaches } from "./loop-caches.js";
import { isRecurrence, keptShifts, RecurrentStates, SEQUENCE_ROWS } from "./recurrent-states.js";
import { InSlots, inOrder, type SequenceValues } from "./sequence-values.js";

/**
 * The memory layout for caches. rows: contiguous rows for the sequences of a run. pages: pools of pages that the host
 * assigns to sequences; a run may contain any of the sequences.
 */
export type CacheKind = "rows" | "pages";

export interface CacheOptions {
  /** The axis of the tokens, which grows. */
  readonly tokens: string;
  readonly caches: CacheKind;
  readonly loopCaches?: LoopCaches;
  /** With caches in pages, whether the sequences of a run are found by slots. Without them there is one sequence. */
  readonly slots?: boolean;
  /** How many rows a sequence has in a run: any number, the default, or at most one. */
  readonly rows?: "any" | "one";
}

/**
 * Converts the graph into one in which each run continues the sequences of the run before. Throws GenerationError if
 * the tokens of a sequence do not come from one input, or if the model does not support `loopCaches`.
 */
export function withCaches(graph: Graph, options: CacheOptions): Cached {
  const all = { loopCaches: "each", slots: true, rows: "any", ...options } as const;
  return new CacheRewriter(withKeysOfMasks(graph), all).result();
}

/** A destination in a cache: rows along the cache of `axis`, at `index`. */
interface Place {
  readonly axis: string;
  readonly index: Node;
}

class CacheRewriter {
  readonly #graph: Graph;
  readonly #nodes: readonly Node[];
  readonly #root: SequenceAxis;
  /** For attentions that share a cache of the root axis with other calls of their block: the cache's name. */
  readonly #looped: ReadonlyMap<AttentionNode, string>;
  /** Axes on which some attention has its cache. */
  readonly #keyAxes: ReadonlySet<string>;
  readonly #axes: readonly Axis[];
  readonly #layout: CacheLayout;
  readonly #values: SequenceValues;
  /** The sequence axes that grow. Others are of given inputs, whose values are in states. */
  readonly #grown: ReadonlySet<string>;
  /** Nodes that depend on no sequence that grows. */
  readonly #steady: ReadonlySet<Node>;
  readonly #along: Along;
  readonly #emit: Emit;
  readonly #recurrences: RecurrentStates;
  readonly #rewrittenNodes = new Map<Node, Node>();
  readonly #states = new Map<string, State>();
  readonly #cachedAxes = new Map<string, CachedAxis>();
  /** u32[B]: the rows of each sequence after the run, by axis. */
  readonly #after = new Map<string, Node>();
  readonly #layers: CachedLayer[] = [];
  /** Name prefixes of shared caches for which a call has already written rows. */
  readonly #begun = new Set<string>();
  /** u32[rows(axis)]: the positions of the run's keys, by routed axis. */
  readonly #positions = new Map<string, Node>();
  /** The next value of the state of key positions, by axis. */
  readonly #positionStates = new Map<string, Node>();

  constructor(graph: Graph, { tokens, caches, loopCaches, slots, rows }: Required<CacheOptions>) {
    this.#graph = graph;
    this.#nodes = nodesOf(graph);
    this.#root = rootOf(graph, tokens);
    this.#grown = grownAxes(graph.axes, tokens);
    this.#steady = steadyNodes(this.#nodes, this.#grown);
    this.#along = alongSequences(graph.axes.filter(({ name }) => this.#grown.has(name)));
    this.#looped = loopCaches === "last" ? loopedAttentions(this.#nodes, this.#root.name, axisOf) : new Map();
    this.#keyAxes = new Set(
      this.#nodes.flatMap((n) => (isAttention(n) && this.#growsAlong(n) ? [this.#cacheAxis(n)] : [])),
    );
    const batch = graph.axes.find((a) => a.role === "batch")!.name; // `rootOf` has checked that there is one
    const emit = createEmit(ops, graph.axes);
    const paged = caches === "pages";
    this.#layout = paged ? new PagedLayout(emit, batch) : sideBySide;
    this.#values = paged && slots ? new InSlots(emit, batch) : inOrder(batch);
    const capacities = [...new Set([this.#root.name, ...this.#keyAxes])].flatMap((name) =>
      this.#layout.axes(name, this.#sequence(name).bound, this.#keyAxes.has(name)),
    );
    const recurrence = this.#nodes.find(isRecurrence);
    const added = this.#values.axes.length === 0 && recurrence ? [SEQUENCE_ROWS] : this.#values.axes;
    this.#axes = [...graph.axes, ...capacities, ...added];
    this.#emit = createEmit(ops, this.#axes);
    const looped = loopCaches === "last" ? loopedRecurrences(this.#nodes, this.#root.name) : new Map<never, never>();
    const single = rows === "one" ? choicesOf(graph.axes, this.#root.name) : new Set();
    this.#recurrences = new RecurrentStates(this.#emit, this.#values, looped, keptShifts(this.#nodes, looped), (axis) =>
      single.has(axis),
    );
  }

  result(): Cached {
    for (const node of this.#nodes) this.#rewrittenNodes.set(node, this.#rewritten(node));
    // Counts the rows of every route, even of one without attention: the summary reports the number of tokens that each
    // layer computed.
    for (const axis of this.#graph.axes)
      if (this.#grown.has(axis.name) && (axis === this.#root || this.#graph.starts.has(axis.name)))
        this.#countsOf(axis.name);
    const of = (node: Node): Node => this.#rewrittenNodes.get(node)!;
    const graph: Graph = {
      ...this.#graph,
      axes: this.#axes,
      // an input is never replaced by another operator
      inputs: [
        ...this.#graph.inputs.map((i) => ({
          ...i,
          node: (this.#rewrittenNodes.get(i.node) ?? i.node) as Node<"input">,
        })),
        ...this.#values.inputs,
        ...this.#layout.inputs,
      ],
      outputs: this.#graph.outputs.map((o) => ({ ...o, node: of(o.node) })),
      states: [
        ...this.#graph.states.map((s) => ({ ...s, next: of(s.next) })),
        ...this.#states.values(),
        ...this.#recurrences.states.values(),
      ],
      starts: new Map([
        ...[...this.#graph.starts].map(([axis, node]) => [axis, of(node)] as const),
        ...this.#capacities().map((name) => [name, this.#startsOf(name)] as const),
        ...this.#values.starts,
      ]),
    };
    const root = this.#cachedAxes.get(this.#root.name)!;
    const axes = [root, ...[...this.#cachedAxes.values()].filter((a) => a !== root)];
    const counts = axes.map(({ axis }) => this.#after.get(axis)!); // `#countsOf` sets both
    const positions = axes.map(({ axis }) => (axis === this.#root.name ? null : this.#positionsOf(axis)));
    const recurrent = [...this.#recurrences.states.keys()];
    return { graph, axes, layers: this.#layers, recurrent, counts, positions, values: this.#values };
  }

  #rewritten(node: Node): Node {
    const { origin } = node;
    const inputs = node.inputs.map((n) => this.#rewrittenNodes.get(n)!);
    if (this.#steady.has(node)) return this.#emit.node(node.op, inputs, node.attrs, origin);
    if (isOp(node, "positions"))
      return this.#emit.node("append", [this.#countsOf(node.attrs.axis), inputs[0]!], node.attrs, origin);
    if (isOp(node, "rope_table"))
      return this.#emit.node(
        "rope_table",
        [],
        { ...node.attrs, positions: this.#overCapacity(node.attrs.positions) },
        origin,
      );
    if (isAttention(node) && node.attrs.causal) return this.#attention(node);
    if (isRecurrence(node)) return this.#recurrences.continued(node, inputs);
    const isOfGiven = isAttention(node) && !this.#growsAlong(node);
    const tokens = isOfGiven ? "own" : tokensOf(node, this.#along);
    if (tokens !== "own") throw unsupported(node, tokens);
    return this.#emit.node(node.op, inputs, node.attrs, origin);
  }

  #attention(node: AttentionNode): Node {
    const { origin } = node;
    const [q, k, v, startsQ, , positionsQ, ownPositions] = node.inputs.map((n) => this.#rewrittenNodes.get(n)!);
    const axis = this.#cacheAxis(node);
    const positions = axis === this.#root.name ? null : this.#keyPositions(axis, ownPositions!, origin);
    const cached = this.#appendRowsOfKeys(node, { axis, index: this.#places(node) }, k!, v!);
    // Operands of pairs that do not lie on the keys are of this run's queries, or tables.
    const operands = node.inputs
      .slice(FIRST_OPERAND)
      .map((n) => cached.operands.get(n) ?? this.#rewrittenNodes.get(n)!);
    const { keys, values } = cached;
    const rows = { q: q!, keys, values, startsQ: startsQ!, positionsQ: positionsQ!, operands, origin };
    return this.#layout.attention(this.#emit, this.#runRows(axis), positions, { ...rows, of: node });
  }

  /**
   * Writes the new keys and values, and what else is read of keys, into the cache. Returns these for all tokens so far:
   * [rows of the cache, heads, width], and by their operand [rows of the cache] or [rows of the cache, heads].
   */
  #appendRowsOfKeys(
    node: AttentionNode,
    place: Place,
    k: Node,
    v: Node,
  ): { readonly keys: Node; readonly values: Node; readonly operands: ReadonlyMap<Node, Node> } {
    const path = node.origin?.path ?? "";
    const taken = this.#layers.filter((l) => l.path === path).length;
    const looped = this.#looped.get(node);
    const layerName = looped ?? [path, ...(taken === 0 ? [] : [taken])].filter((part) => part !== "").join(".");
    const name = `cache.${layerName === "" ? "" : `${layerName}.`}`;
    const keys = this.#appendToState(`${name}keys`, place, k, node.origin);
    const columns = partOfKeys(node);
    const values = columns
      ? { ...keys, node: this.#emit.node("slice", [keys.node], { axis: 2, ...columns }, node.origin) }
      : this.#appendToState(`${name}values`, place, v, node.origin);
    const operands = keyOperands(node).map((operand, i) => {
      const rows = this.#rewrittenNodes.get(operand)!;
      const { dtype, shape } = typeOf(rows);
      const rowsFirst = shape.length === 1 ? rows : this.#emit.node("permute", [rows], { order: [1, 0] }, node.origin);
      const type = { dtype, shape: [this.#layout.rows(place.axis), ...shape.slice(0, -1)] };
      const state = isOp(node, "attention") ? "weights" : `operand${i}`;
      return { operand, ...this.#appendRows(`${name}${state}`, place, type, rowsFirst, node.origin) };
    });
    if (looped !== undefined) this.#begun.add(name);
    const states = { keys: keys.state, values: values.state, operands: operands.map(({ state }) => state) };
    this.#layers.push({ path, axis: axisOf(node.inputs[1]), ...states });
    return { keys: keys.node, values: values.node, operands: new Map(operands.map((o) => [o.operand, o.node])) };
  }

  /** Writes x[heads, rows(axis), width] after the rows in the state. Two attentions with the same x share one state. */
  #appendToState(
    name: string,
    place: Place,
    x: Node,
    origin: Origin | null,
  ): { readonly node: Node; readonly state: string } {
    const { dtype, shape } = typeOf(x);
    const [heads, , width] = exactly(3, shape);
    const rows = this.#emit.node("permute", [x], { order: [1, 0, 2] }, origin);
    const type = { dtype, shape: [this.#layout.rows(place.axis), heads, width] };
    return this.#appendRows(name, place, type, rows, origin);
  }
  /** Writes rows into a state, behind its rows or over the rows of an earlier call. Equal rows share a state. */
  #appendRows(
    name: string,
    place: Place,
    type: State["type"],
    rows: Node,
    origin: Origin | null,
  ): { readonly node: Node; readonly state: string } {
    const isLate = !this.#states.has(name) && this.#begun.has(name.slice(0, name.lastIndexOf(".") + 1));
    const known = [...this.#states.values()].find((s) => isOp(s.next, "set") && s.next.inputs[2] === rows);
    if (!known && isLate)
      throw new GenerationError(loopMessage(origin, "are those of another layer in an earlier call"));
    return known
      ? { node: known.next, state: known.name }
      : { node: this.#setInState(name, place, type, rows, origin), state: name };
  }
  #setInState(
    name: string,
    { index }: Place,
    type: State["type"],
    rows: Node,
    origin: Origin | null,
    init: State["init"] = { kind: "zeros" },
  ): Node {
    const before =
      this.#states.get(name)?.next ??
      this.#emit.node("state", [], { name, dtype: type.dtype, shape: type.shape }, origin);
    const next = this.#emit.node("set", [before, index, rows], { dim: 0 }, origin);
    this.#states.set(name, { name, type, init, next });
    return next;
  }

  /** Whether the keys of an attention are on an axis that grows. */
  #growsAlong(node: AttentionNode): boolean {
    return this.#grown.has(axisOf(node.inputs[1]));
  }

  /** The axis of an attention's cache. */
  #cacheAxis(node: AttentionNode): string {
    return this.#looped.has(node) ? this.#root.name : axisOf(node.inputs[1]);
  }
  /** u32[rows of the keys]: the cache row for each key of an attention. */
  #places(node: AttentionNode): Node {
    const positionsK = node.inputs[6];
    return this.#looped.has(node)
      ? this.#placesAt(positionsK, node)
      : this.#layout.places(this.#emit, this.#runRows(axisOf(node.inputs[1])), node.origin);
  }
  /**
   * The cache rows of tokens with these positions, in the cache of all tokens. Follows the `take` operators of the
   * positions.
   */
  #placesAt(positions: Node, node: AttentionNode): Node {
    if (isOp(positions, "positions") && positions.attrs.axis === this.#root.name)
      return this.#layout.places(this.#emit, this.#runRows(this.#root.name), node.origin);
    if (!isOp(positions, "take"))
      throw new GenerationError(loopMessage(node.origin, "lie on an axis that is no route"));
    const [from, index] = positions.inputs;
    const chosen = this.#rewrittenNodes.get(index)!;
    return this.#emit.node("take", [this.#placesAt(from, node), chosen], positions.attrs, node.origin);
  }

  /** The nodes of the run for an axis of keys. */
  #runRows(axis: string): RunRows {
    const before = this.#countsOf(axis);
    return {
      axis,
      starts: this.#startsOf(axis),
      capacityStarts: this.#startsOf(capacityOf(axis)),
      before,
      after: this.#after.get(axis)!,
    };
  }

  /** u32[rows of the cache]: the position of each cache row. */
  #keyPositions(axis: string, positions: Node, origin: Origin | null): Node {
    let positionState = this.#positionStates.get(axis);
    if (!positionState) {
      const type = { dtype: "u32", shape: [this.#layout.rows(axis)] } as const;
      this.#positions.set(axis, positions);
      const index = this.#layout.places(this.#emit, this.#runRows(axis), origin);
      positionState = this.#setInState(positionsState(axis), { axis, index }, type, positions, origin, {
        kind: "filled",
        value: UNUSED_POSITION,
      });
      this.#positionStates.set(axis, positionState);
    }
    return positionState;
  }

  /**
   * u32[rows(axis)]: the positions of the run's rows in their sequence, also for routes without keys; null if unknown.
   */
  #positionsOf(axis: string): Node | null {
    if (axis === this.#root.name)
      return this.#emit.node("append", [this.#countsOf(axis), this.#startsOf(axis)], { axis });
    const known = this.#positions.get(axis);
    if (known) return known;
    const rowsOf = (node: Node): string | null => packedAxis(typeOf(node).shape[0] ?? 1);
    const take = this.#nodes.find((n) => isOp(n, "take") && n.attrs.dim === 0 && rowsOf(n) === axis);
    const parent = take && rowsOf(take.inputs[0]);
    const from = parent && this.#cachedAxes.has(parent) ? this.#positionsOf(parent) : null;
    if (!take || !from) return null;
    const positions = this.#emit.node("take", [from, this.#rewrittenNodes.get(take.inputs[1])!], { dim: 0 });
    this.#positions.set(axis, positions);
    return positions;
  }

  /** u32[B]: the number of rows of each sequence before this run. */
  #countsOf(name: string): Node {
    const axis = this.#sequence(name);
    const counts = `generate.count.${name}`;
    const before = this.#values.counts(this.#emit, counts);
    if (this.#cachedAxes.has(name)) return before;
    const keyed = this.#keyAxes.has(name);
    this.#cachedAxes.set(name, {
      axis: name,
      capacity: keyed || axis === this.#root ? capacityOf(name) : null,
      counts,
      positions: keyed && axis !== this.#root ? positionsState(name) : null,
      path: axis === this.#root ? "" : (this.#graph.starts.get(name)?.origin?.path ?? ""),
    });
    const added = this.#emit.node("counts", [this.#startsOf(name)], {});
    const after = this.#emit.node("add", [before, added], {});
    this.#after.set(name, after);
    this.#states.set(counts, this.#values.countState(this.#emit, counts, after));
    return before;
  }

  #startsOf(axis: string): Node {
    const before = this.#graph.starts.get(axis);
    return (before && this.#rewrittenNodes.get(before)) ?? this.#emit.node("starts", [], { axis });
  }
  #capacities(): readonly string[] {
    return [...new Set([this.#root.name, ...this.#keyAxes])].map(capacityOf);
  }
  /** Replaces the input's axis in a size by its capacity axis. */
  #overCapacity(size: Size): Size {
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
