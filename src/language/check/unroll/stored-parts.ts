// Weights that are parts of stored tensors, by `names` with indices. The sizes of a stored tensor follow
// from its parts, which must be the whole tensor without a number in common.
import { countOf } from "../../../ground/base/collections.js";
import {
  endOf,
  indicesText,
  overlap,
  partKey,
  type PartAxis,
  type StoredPart,
} from "../../../ground/base/stored-part.js";
import type { Expr, StoredIndex, StoredKey } from "../../syntax/ast.js";
import { environment, evaluate, integerOf } from "../eval/evaluate.js";
import type { Checker } from "../model/checker.js";
import { MAX_RANK } from "../model/limits.js";
import type { Instance } from "../names/bindings.js";

/** A weight and one of its keys, as an entry gives it. */
interface Given {
  readonly path: string;
  readonly shape: readonly number[];
  /** The key without indices. */
  readonly key: string;
  /** Which of the entry's keys it is. */
  readonly at: number;
  /** The key in the entry; null for a weight that no entry matches. */
  readonly stored: StoredKey | null;
  /** What the placeholders of the entry stand for. */
  readonly segments: ReadonlyMap<string, string>;
}

/** Indices of an axis: one, or a range, whose `count` is null if it has no end. */
type Range = Omit<PartAxis, "size" | "count"> & { readonly count: number | null };

/** The indices of an axis of a tensor whose sizes are not known yet. */
type Axis = Omit<PartAxis, "size"> & {
  /** Whether the range has no end. */
  readonly isOpen: boolean;
};

interface Part extends Given {
  readonly stored: StoredKey;
  readonly axes: readonly Axis[];
}

/** Most parts that are named in a message. */
const MOST_NAMED = 4;

export class StoredParts {
  readonly #parts = new Map<string, Part[]>();
  /** The weights that are whole tensors, by key. */
  readonly #whole = new Map<string, Given>();
  /** The indices of entries, which are the same for every weight; null after a report. */
  readonly #ranges = new Map<StoredIndex, Range | null>();

  #isFaulty = false;

  constructor(
    private readonly checker: Checker,
    private readonly model: Instance,
  ) {}

  /** Whether an index or a part was reported. */
  get isFaulty(): boolean {
    return this.#isFaulty;
  }

  add(given: Given): void {
    const { key, stored } = given;
    if (stored === null || (stored.indices === null && !stored.transposed)) {
      this.#whole.set(key, given);
      return;
    }
    const axes = this.#axes({ ...given, stored });
    this.#isFaulty ||= axes === null;
    if (axes === null) return;
    const part = { ...given, stored, axes };
    const others = this.#parts.get(key);
    if (others) others.push(part);
    else this.#parts.set(key, [part]);
  }

  /** The keys that state parts, for each weight by their place in its entry. Reports tensors that are not whole. */
  named(): ReadonlyMap<string, ReadonlyMap<number, string>> {
    const found = new Map<string, Map<number, string>>();
    for (const [key, parts] of this.#parts) {
      const sized = this.#isFaulty ? null : this.#sized(key, parts);
      this.#isFaulty ||= sized === null;
      if (sized === null) break;
      sized.forEach((part, i) => {
        const { path, at } = parts[i]!;
        found.set(path, (found.get(path) ?? new Map<number, string>()).set(at, partKey(part)));
      });
    }
    return found;
  }

  /** The axes of a part; null after a report. */
  #axes(given: Given & { readonly stored: StoredKey }): readonly Axis[] | null {
    const { path, shape, stored } = given;
    const misfit = (has: string): null => {
      const part = stored.indices === null ? `"${stored.key.value}"^T` : `the part of "${stored.key.value}"`;
      this.checker.report("part-shape", { path, part, has, shape }, stored.span);
      return null;
    };
    if (stored.transposed && shape.length !== 2) return misfit("has two axes");
    const sizes = stored.transposed ? shape.toReversed() : shape;
    const indices = stored.indices ?? [];
    if (indices.length > MAX_RANK) this.checker.abort("indices of a stored tensor", MAX_RANK, stored.span);
    const ranges: Range[] = [];
    for (const index of indices) {
      const range = this.#range(index, given.segments);
      if (range === null) return null;
      ranges.push(range);
    }
    const named = ranges.filter(({ isDropped }) => !isDropped).length;
    for (let i = named; i < sizes.length; i++) ranges.push(WHOLE);
    const kept = Math.max(named, sizes.length);
    if (kept !== sizes.length) return misfit(`has ${kept} ${kept === 1 ? "axis" : "axes"}`);
    let axis = 0;
    const axes = ranges.map((range): Axis => {
      const size = range.isDropped ? 1 : sizes[axis++]!;
      return { ...range, count: range.count ?? size, isOpen: range.count === null };
    });
    const counts = axes.filter(({ isDropped }) => !isDropped).map(({ count }) => count);
    const fits = counts.every((count, i) => count === sizes[i]);
    return fits ? axes : misfit(`is [${(stored.transposed ? counts.toReversed() : counts).join(", ")}]`);
  }

  #range(index: StoredIndex, segments: ReadonlyMap<string, string>): Range | null {
    if (index.kind === "segment") {
      const text = segments.get(index.name);
      if (text === undefined) return null; // reported as unbound
      const start = Number(text);
      if (/^\d+$/.test(text) && Number.isSafeInteger(start)) return { start, step: 1, count: 1, isDropped: true };
      return this.#refused(index, `{${index.name}}`, `here it is "${text}"`);
    }
    const known = this.#ranges.get(index);
    if (known !== undefined) return known;
    const range = this.#evaluated(index);
    this.#ranges.set(index, range);
    return range;
  }

  #evaluated(index: Exclude<StoredIndex, { kind: "segment" }>): Range | null {
    const orElse = (expr: Expr | null, otherwise: number, what: string): number | null =>
      expr === null ? otherwise : this.#natural(expr, what);
    switch (index.kind) {
      case "at": {
        const start = this.#natural(index.value, "an index");
        return start === null ? null : { start, step: 1, count: 1, isDropped: true };
      }
      case "slice": {
        const start = orElse(index.start, 0, "the start of a range");
        const step = orElse(index.step, 1, "the step of a range");
        const stop = orElse(index.stop, -1, "the end of a range");
        if (start === null || step === null || stop === null) return null;
        if (step === 0) return this.#refused(index, "a step of 0", "a step is at least 1");
        if (index.stop === null) return { start, step, count: null, isDropped: false };
        if (stop <= start) return this.#refused(index, `${start}:${stop}`, "the range is empty");
        return { start, step, count: Math.ceil((stop - start) / step), isDropped: false };
      }
      case "rest":
        return this.#refused(index, "`...`", "every axis needs its own index");
      case "new-axis":
        return this.#refused(index, "`None`", "it adds an axis that is not stored");
      default:
        return index satisfies never;
    }
  }

  #natural(expr: Expr, what: string): number | null {
    const env = environment(this.checker, this.model.memberScope, "a key of `names`");
    const n = integerOf(evaluate(expr, env), what, expr.span, env);
    if (n === null || n >= 0) return n;
    this.checker.report("part-index", { found: String(n), why: `${what} is at least 0` }, expr.span);
    return null;
  }

  #refused(index: StoredIndex, found: string, why: string): null {
    this.checker.report("part-index", { found, why }, index.span);
    return null;
  }

  /** The parts with the sizes of the stored tensor; null after a report. */
  #sized(key: string, parts: readonly Part[]): readonly StoredPart[] | null {
    const [first] = parts;
    const refused = (why: string, part = first!): null => {
      this.checker.report("partial-key", { key, why }, part.stored.span);
      return null;
    };
    const rank = first!.axes.length;
    const other = parts.find(({ axes }) => axes.length !== rank);
    if (other !== undefined)
      return refused(`${reads(first!)} with ${rank} indices, ${reads(other)} with ${other.axes.length}`, other);
    const sizes = first!.axes.map((_, i) => parts.reduce((most, { axes }) => Math.max(most, endOf(axes[i]!)), 0));
    const sized = parts.map(({ axes, stored }): StoredPart => ({
      key,
      axes: axes.map((axis, i) => ({ ...axis, size: sizes[i]! })),
      isTransposed: stored.transposed,
    }));
    const text = (i: number): string => `"${parts[i]!.path}" reads ${indicesText(sized[i]!)}`;
    const short = parts.findIndex(({ axes }) => axes.some((a, i) => a.isOpen && endOf(a) + a.step <= sizes[i]!));
    const shape = `[${sizes.join(", ")}]`;
    if (short >= 0) return refused(`it is ${shape}, and ${text(short)}, which does not reach the end`, parts[short]);
    const whole = this.#whole.get(key);
    if (whole !== undefined) return refused(`"${whole.path}" reads all of it, and ${text(0)}`);
    const total = countOf(sizes);
    const sum = sized.reduce((n, part) => n + countOf(part.axes.map(({ count }) => count)), 0);
    const twice = this.#firstOverlap(sized, parts);
    if (twice !== null) return refused(`${text(twice[0])}, and ${text(twice[1])}`, parts[twice[1]]);
    if (sum === total) return sized;
    const named = parts.slice(0, MOST_NAMED).map((_, i) => text(i));
    const more = parts.length > MOST_NAMED ? `, and ${parts.length - MOST_NAMED} more weights` : "";
    return refused(`of its ${total} numbers, ${shape}, ${sum} are read: ${named.join(", ")}${more}`);
  }

  /** Two parts that have a number in common. */
  #firstOverlap(sized: readonly StoredPart[], parts: readonly Part[]): readonly [number, number] | null {
    // Parts with different indices of an axis that all leave out have nothing in common: only the others are compared.
    const groups = new Map<string, number[]>();
    const dropped = sized[0]!.axes.map((_, i) => sized.every(({ axes }) => axes[i]!.isDropped));
    sized.forEach(({ axes }, i) => {
      const at = axes.flatMap(({ start }, a) => (dropped[a] ? [start] : [])).join(",");
      const group = groups.get(at);
      if (group) group.push(i);
      else groups.set(at, [i]);
    });
    for (const group of groups.values())
      for (const [n, b] of group.entries()) {
        this.checker.spend(Math.ceil(n / 8), parts[b]!.stored.span);
        const a = group.slice(0, n).find((i) => overlap(sized[i]!, sized[b]!));
        if (a !== undefined) return [a, b];
      }
    return null;
  }
}

const WHOLE: Range = { start: 0, step: 1, count: null, isDropped: false };

const reads = ({ path }: Part): string => `"${path}" reads it`;
