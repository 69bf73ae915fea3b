// Keeps ONNX tensors for each axis: the row count, the existing rows per sequence, the positions in the model's input,
// and the chosen rows of a parent axis.
import { invariant } from "../../../ground/base/invariant.js";
import type { Model } from "../../../language/check/model/model.js";
import { axisName } from "../../../language/check/model/types.js";
import { axisNamed, countingAxis, type SequenceAxis } from "../../../ground/size/axes.js";
import { isCut, type Rule } from "../../../ground/size/count-rules.js";
import { axisSize, type Size } from "../../../ground/size/size.js";
import type { Name } from "./graph.js";
import type { Shorthand } from "./shorthand.js";
import { Sizes, type Fraction } from "./sizes.js";

export interface Rows {
  /** i64[1]: the extent of dimensions along this axis; for a sequence axis the length of the longest sequence. */
  readonly length: Name;
  /**
   * i64[B]: each sequence's token count; the remaining rows are padding. Null if every sequence has `length` tokens.
   */
  readonly counts: Name | null;
  /**
   * For a route, i64[B, K]: the distinct chosen rows of its parent axis, existing rows first and in ascending order.
   */
  readonly index?: Name;
  /** For a route, bool[B, T]: the chosen rows of its parent axis, as a mask. */
  readonly mask?: Name;
  /** i64[B, 1]: the offset from row numbers to positions. */
  readonly start?: Name;
  /** i64[B, K] or i64[1, K]: the positions, if known in another way. */
  readonly positions?: Name;
}

export class AxisTable {
  readonly #rows: Map<string, Rows>;
  readonly #spans = new Map<string, readonly [from: Name, to: Name]>();
  readonly #shapes: Sizes;

  constructor(
    readonly at: Shorthand,
    private readonly model: Pick<Model, "axes">,
    private readonly live: (name: string) => Fraction,
    rows: ReadonlyMap<string, Rows> = new Map(),
  ) {
    this.#rows = new Map(rows);
    this.#shapes = new Sizes(at, (atom) =>
      atom.kind === "live"
        ? live(atom.name)
        : { num: atom.kind === "rows" ? this.#allRows(atom.axis) : this.rows(atom.axis).length, den: 1n },
    );
  }

  /** A copy with some axes replaced, for the computation of some rows only. */
  within(rows: ReadonlyMap<string, Rows>): AxisTable {
    return new AxisTable(this.at, this.model, this.live, new Map([...this.#rows, ...rows]));
  }

  define(axis: string, rows: Rows): void {
    this.#rows.set(axis, rows);
  }

  isDefined(axis: string): boolean {
    return this.#rows.has(axis);
  }

  /** The sequence axis of a dimension, or null. */
  sequenceOf(size: Size | undefined): string | null {
    const name = size === undefined ? null : axisName(size);
    return name !== null && axisNamed(this.model.axes, name)?.role === "sequence" ? name : null;
  }

  sequence(name: string): SequenceAxis {
    const axis = axisNamed(this.model.axes, name);
    invariant(axis?.role === "sequence", `${name} is no sequence axis`);
    return axis;
  }

  rows(axis: string): Rows {
    let rows = this.#rows.get(axis);
    if (!rows) {
      const { count } = this.sequence(axis);
      if (count.kind === "span") rows = this.#span(axis, count);
      else if (count.kind === "stride") rows = this.#stride(count);
      else if (count.kind === "fixed") rows = { length: this.size(count.tokens), counts: null };
      else if (count.kind === "join") rows = this.#join(count);
      invariant(rows, `axis ${axis} has not been made`);
      this.#rows.set(axis, rows);
    }
    return rows;
  }

  /** i64[1] or i64[B]: each sequence's token count. */
  counts(axis: string): Name {
    const { counts, length } = this.rows(axis);
    return counts ?? length;
  }

  /** bool[B, K]: which rows exist; null if all do. */
  exists(axis: string): Name | null {
    const { counts, length } = this.rows(axis);
    if (counts === null) return null;
    return this.at.less(this.at.unsqueeze(this.at.range(length), 0), this.at.unsqueeze(counts, 1));
  }

  /** i64[B, K] or i64[1, K]: the rows' positions in the model's input. */
  positions(axis: string): Name {
    const { at } = this;
    const rows = this.rows(axis);
    if (rows.positions !== undefined) return rows.positions;
    const { count } = this.sequence(axis);
    const root = !("parent" in count) || isCut(count);
    let positions: Name;
    if (root) {
      const numbers = at.unsqueeze(at.range(rows.length), 0);
      positions = rows.start === undefined ? numbers : at.add(numbers, rows.start);
    } else {
      invariant(rows.index !== undefined, `axis ${axis} is no route`);
      positions = this.#ofRoute(count.parent, rows.index);
    }
    this.#rows.set(axis, { ...rows, positions });
    return positions;
  }

  /** The positions [B, K] of rows chosen from a parent axis. */
  #ofRoute(parent: string, index: Name): Name {
    const { count } = this.sequence(parent);
    const before = this.rows(parent);
    if ("parent" in count && !isCut(count))
      return this.at.graph.node("GatherElements", [this.positions(parent), index], { axis: 1 });
    return before.start === undefined ? index : this.at.add(index, before.start);
  }

  /** A size for use in shapes; an axis counts with its full extent. Fractions are truncated. */
  size(size: Size): Name {
    return typeof size === "number" ? this.at.graph.ints(size) : this.#shapes.whole(size);
  }

  /** i64[n]: a shape. */
  dims(shape: readonly Size[]): Name {
    if (shape.every((size) => typeof size === "number")) return this.at.graph.ints(...shape);
    return this.at.concat(
      shape.map((size) => this.size(size)),
      0,
    );
  }

  /** Evaluates sizes with each sequence's own token count. */
  ofEach(): Sizes {
    return this.#counting((axis) => (this.#isSequence(axis) ? this.counts(axis) : this.rows(axis).length));
  }

  /** The k of each sequence, i64[1] or i64[B], clamped to at least 0 and at most the token count. */
  countOfTop(rule: Rule<"top">): Name {
    const by = countingAxis(this.model.axes, rule);
    const sizes = this.#counting((axis) => (axis === by ? this.counts(by) : this.rows(axis).length));
    const { at } = this;
    return at.min(at.max(sizes.floor(rule.k), at.graph.ints(0)), this.counts(rule.parent));
  }

  /** Whether sequences may differ in the number of tokens that a `top` chooses. */
  countsDiffer(rule: Rule<"top">): boolean {
    return [rule.parent, countingAxis(this.model.axes, rule)].some((axis) => this.rows(axis).counts !== null);
  }

  /** Expands i64[1] or i64[B] to i64[B]. */
  ofBatch(counts: Name): Name {
    return this.at.graph.node("Expand", [counts, this.#batch()]);
  }

  /** The first token of a token slice and the end (exclusive), each i64[1] or i64[B]. */
  span(axis: string): readonly [from: Name, to: Name] {
    this.rows(axis);
    return this.#spans.get(axis)!; // set together with its rows
  }

  #isSequence(axis: string): boolean {
    return axisNamed(this.model.axes, axis)?.role === "sequence";
  }

  #counting(axis: (name: string) => Name): Sizes {
    return new Sizes(this.at, (atom) =>
      atom.kind === "live"
        ? this.live(atom.name)
        : { num: atom.kind === "rows" ? this.#allRows(atom.axis) : axis(atom.axis), den: 1n },
    );
  }

  /** i64[1]: the token count summed over all sequences. */
  #allRows(axis: string): Name {
    const { counts, length } = this.rows(axis);
    if (counts !== null) return this.at.reduce("Sum", counts, [0], true);
    return this.at.mul(this.#batch(), length);
  }

  /** i64[1]: the number of sequences. */
  #batch(): Name {
    const batch = this.model.axes.find(({ role }) => role === "batch");
    invariant(batch, "sequences are those of a batch");
    return this.rows(batch.name).length;
  }

  #span(axis: string, { parent, start, stop }: Rule<"span">): Rows {
    const { at } = this;
    const n = this.counts(parent);
    const zero = at.graph.ints(0);
    const sizes = new Sizes(at, (atom) => (atom.kind === "live" ? this.live(atom.name) : { num: n, den: 1n }));
    const positionOf = (size: Size): Name => {
      const v = sizes.whole(size);
      const counted = at.where(at.less(v, zero), at.add(v, n), v);
      return at.max(at.min(counted, n), zero);
    };
    const from = positionOf(start);
    const to = stop === null ? n : positionOf(stop);
    this.#spans.set(axis, [from, to]);
    return this.#counted(at.max(at.sub(to, from), zero), this.rows(parent).counts !== null);
  }

  #stride({ parent, step }: Rule<"stride">): Rows {
    const { at } = this;
    const counts = at.div(at.add(this.counts(parent), at.graph.ints(Number(step) - 1)), this.size(step));
    return this.#counted(counts, this.rows(parent).counts !== null);
  }

  #join({ parts }: Rule<"join">): Rows {
    const counts = parts.map((part) => this.counts(part)).reduce((a, b) => this.at.add(a, b));
    return this.#counted(
      counts,
      parts.some((part) => this.rows(part).counts !== null),
    );
  }

  #counted(counts: Name, ragged: boolean): Rows {
    return ragged ? { length: this.at.reduce("Max", counts, [0], true), counts } : { length: counts, counts: null };
  }
}

/** A shape with one dimension replaced by an axis. */
export const along = (shape: readonly Size[], dim: number, axis: string): readonly Size[] =>
  shape.with(dim, axisSize(axis));
