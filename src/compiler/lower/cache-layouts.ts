// Memory layouts for caches: contiguous rows for the sequences of a run, or rows of many sequences in pools of pages.
import type { Emit } from "../ir/build.js";
import { isOp, typeOf, type GraphInput, type Node, type Origin } from "../ir/graph.js";
import { inputsFor } from "../ir/typing.js";
import { capacityOf, PAGE, pagesOf, poolOf } from "../../runtime/program/axes-of-generation.js";
import type { AttentionNode } from "../ops/pairs.js";
import type { Axis } from "../../ground/size/axes.js";
import { axisSize, rowsSize, type Size } from "../../ground/size/size.js";

/** The nodes of a run for an axis of keys. */
export interface RunRows {
  readonly axis: string;
  /** Starts of the run's rows and of the axis `capacityOf(axis)`. */
  readonly starts: Node;
  readonly capacityStarts: Node;
  /** u32[B]: rows of each sequence before the run and after the run. */
  readonly before: Node;
  readonly after: Node;
}

/** A cached attention. Keys and values have their rows first: [rows of the cache, heads, width]. */
export interface CachedAttention {
  readonly q: Node;
  readonly keys: Node;
  readonly values: Node;
  /** The inputs from the eighth on; those of keys have a row for each row of the cache: [rows of the cache(, heads)]. */
  readonly operands: readonly Node[];
  readonly startsQ: Node;
  readonly positionsQ: Node;
  /** The attention before caches. */
  readonly of: AttentionNode;
  readonly origin: Origin | null;
}

export interface CacheLayout {
  /** Axes for the caches of an axis. The axis has keys (`keyed`) or is the input's axis. */
  axes(axis: string, bound: number | null, keyed: boolean): readonly Axis[];
  /** Host inputs for all axes passed to `axes`. */
  readonly inputs: readonly GraphInput[];
  rows(axis: string): Size;
  /** u32[rows(axis)]: the cache rows to which the run's rows are written. */
  places(emit: Emit, run: RunRows, origin: Origin | null): Node;
  /**
   * The attention over the cache. `positions`: the positions of the cache rows; null: a row's index in its sequence.
   */
  attention(emit: Emit, run: RunRows, positions: Node | null, attention: CachedAttention): Node;
}

const heads = (emit: Emit, x: Node, origin: Origin | null): Node =>
  emit.node("permute", [x], { order: [1, 0, 2] }, origin);

/** The attention over these inputs, of the same form and attributes as before. */
function attentionOver(emit: Emit, { of, origin }: CachedAttention, inputs: readonly Node[]): Node {
  return isOp(of, "pair_attention")
    ? emit.node("pair_attention", inputsFor("pair_attention", inputs), of.attrs, origin)
    : emit.node("attention", inputsFor("attention", inputs), of.attrs, origin);
}

/** Whether operand i of an attention has a row for each key. */
const isOfKeys = (of: AttentionNode, i: number): boolean =>
  !isOp(of, "pair_attention") || of.attrs.pair.operands[i] === "key";

/** An operand of keys with its rows last, as attention reads it. */
const rowsLast = (emit: Emit, x: Node, origin: Origin | null): Node =>
  typeOf(x).shape.length === 1 ? x : emit.node("permute", [x], { order: [1, 0] }, origin);

/** Contiguous layout: every sequence has as many rows as the axis `capacityOf(axis)`, with unused rows at the end. */
export const sideBySide: CacheLayout = {
  axes: (axis, bound) => [{ role: "sequence", name: capacityOf(axis), bound, count: { kind: "input" } }],
  inputs: [],
  rows: (axis) => rowsSize(capacityOf(axis)),
  places: (emit, { axis, starts, capacityStarts, before }, origin) =>
    emit.node("append", [before, starts, capacityStarts], { axis }, origin),
  attention(emit, { axis, capacityStarts }, positions, attention) {
    const { q, keys, values, operands, of, origin, ...rows } = attention;
    const capacity = capacityOf(axis);
    // The index of a row is its position, so unused rows come after every query.
    const rowPositions = positions ?? emit.node("positions", [capacityStarts], { axis: capacity }, origin);
    const common = [q, heads(emit, keys, origin), heads(emit, values, origin), rows.startsQ, capacityStarts];
    const rest = operands.map((x, i) => (isOfKeys(of, i) ? rowsLast(emit, x, origin) : x));
    return attentionOver(emit, attention, [...common, rows.positionsQ, rowPositions, ...rest]);
  },
};

/** The input u32[B, pages] with each sequence's pages in the pool of an axis. */
export const pagesInput = (axis: string): string => `generate.pages.${axis}`;

/** A pool of pages for each axis; the host assigns pages to sequences. */
export class PagedLayout implements CacheLayout {
  readonly #emit: Emit;
  readonly #batch: string;
  readonly #inputs = new Map<string, GraphInput>();

  /** `emit`: for a graph that has the batch axis. */
  constructor(emit: Emit, batch: string) {
    this.#emit = emit;
    this.#batch = batch;
  }

  axes(axis: string, bound: number | null, keyed: boolean): readonly Axis[] {
    const pageBound = bound === null ? null : PAGE * Math.ceil(bound / PAGE);
    const pool = [poolOf(axis), pagesOf(axis)].map((name): Axis => ({ role: "free", name, bound: null }));
    return [
      { role: "sequence", name: capacityOf(axis), bound: pageBound, count: { kind: "input" } },
      ...(keyed ? pool : []),
    ];
  }

  get inputs(): readonly GraphInput[] {
    return [...this.#inputs.values()];
  }

  rows(axis: string): Size {
    return axisSize(poolOf(axis));
  }

  places(emit: Emit, { axis, starts, before }: RunRows, origin: Origin | null): Node {
    return emit.node("paged_append", [before, starts, this.#pages(axis)], { axis, page: PAGE }, origin);
  }

  attention(
    emit: Emit,
    { axis, capacityStarts, after }: RunRows,
    positions: Node | null,
    attention: CachedAttention,
  ): Node {
    const { q, keys, values, operands, of, origin, ...rows } = attention;
    const capacity = capacityOf(axis);
    const table = emit.node(
      "paged_keys",
      inputsFor("paged_keys", [capacityStarts, after, this.#pages(axis), ...(positions ? [positions] : [])]),
      { axis: capacity, page: PAGE },
    );
    const [k, v] = [heads(emit, keys, origin), heads(emit, values, origin)];
    if (isOp(of, "attention") && operands.length === 0)
      return emit.node(
        "paged_attention",
        inputsFor("paged_attention", [q, k, v, rows.startsQ, capacityStarts, rows.positionsQ, table]),
        of.attrs,
        origin,
      );
    const column = (start: number): Node =>
      emit.node("reshape", [emit.node("slice", [table], { axis: 1, start, stop: start + 1 })], {
        shape: [rowsSize(capacity)],
      });
    // No kernel reads weighted keys or pairs through a page table, so their rows are gathered first.
    const gathered = (x: Node, dim: number): Node => emit.node("take", [x, column(1)], { dim }, origin);
    const common = [q, gathered(k, 1), gathered(v, 1), rows.startsQ, capacityStarts, rows.positionsQ, column(0)];
    const rest = operands.map((x, i) => (isOfKeys(of, i) ? rowsLast(emit, gathered(x, 0), origin) : x));
    return attentionOver(emit, attention, [...common, ...rest]);
  }

  #pages(axis: string): Node<"input"> {
    let input = this.#inputs.get(axis);
    if (!input) {
      const [name, shape] = [pagesInput(axis), [axisSize(this.#batch), axisSize(pagesOf(axis))]];
      const node = this.#emit.node("input", [], { name, dtype: "u32", shape });
      input = { name, node, shape, packing: null, least: 0, below: null };
      this.#inputs.set(axis, input);
    }
    return input.node;
  }
}
