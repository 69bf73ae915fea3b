// A part of a stored tensor: some indices of each axis, and whether the weight is its transpose. As a key it is a text,
// `h.attn.weight[0:768/768, 0:768/2304]^T`, which states the sizes of the stored tensor too.
import { countOf } from "./collections.js";
import { quotedName } from "./shown.js";

/** Indices of an axis of `size`: `run` that follow each other from start, from start + step, and so on. */
export interface PartAxis {
  readonly size: number;
  readonly start: number;
  readonly step: number;
  /** At most `step`; usually 1. */
  readonly run: number;
  /** The number of all indices, a multiple of `run`. */
  readonly count: number;
  /** Whether the axis has one index, and the part lacks the axis. */
  readonly isDropped: boolean;
}

export interface StoredPart {
  /** The key of the stored tensor. */
  readonly key: string;
  readonly axes: readonly PartAxis[];
  /** Whether the weight is the transpose; the part then has two axes. */
  readonly isTransposed: boolean;
}

/** The shape of the stored tensor. */
export const storedShape = ({ axes }: Pick<StoredPart, "axes">): readonly number[] => axes.map(({ size }) => size);

/** The shape of the weight that is the part. */
export function partShape({ axes, isTransposed }: Pick<StoredPart, "axes" | "isTransposed">): readonly number[] {
  const shape = axes.filter(({ isDropped }) => !isDropped).map(({ count }) => count);
  return isTransposed ? shape.toReversed() : shape;
}

/** The last index of an axis, plus 1. */
export const endOf = ({ start, step, run, count }: Omit<PartAxis, "size" | "isDropped">): number =>
  start + step * (count / run - 1) + run;

const rangeText = (axis: PartAxis): string =>
  `${axis.start}:${endOf(axis)}` +
  (axis.run > 1 ? `:${axis.step}:${axis.run}` : axis.step === 1 ? "" : `:${axis.step}`);

/** The indices as `names` would state them: `[:, 0:768]^T`. */
export function indicesText({ axes, isTransposed }: Pick<StoredPart, "axes" | "isTransposed">): string {
  const texts = axes.map((axis) => {
    if (axis.isDropped) return String(axis.start);
    if (axis.step === 1 && axis.count === axis.size) return ":";
    return rangeText(axis);
  });
  return `[${texts.join(", ")}]${isTransposed ? "^T" : ""}`;
}

/** The part as a key; `readPart` reads it. */
export function partKey({ key, axes, isTransposed }: StoredPart): string {
  const texts = axes.map((axis) => (axis.isDropped ? `${axis.start}/${axis.size}` : `${rangeText(axis)}/${axis.size}`));
  return `${key}[${texts.join(", ")}]${isTransposed ? "^T" : ""}`;
}

const AXIS = String.raw`\d+(?::\d+(?::\d+){0,2})?/\d+`;
const PART = new RegExp(String.raw`^([^]+)\[(${AXIS}(?:, ${AXIS})*)\](\^T)?$`);
const NUMBERS = /^(\d+)(?::(\d+)(?::(\d+)(?::(\d+))?)?)?\/(\d+)$/;

/** The part that a key states; null for the key of a whole tensor, and for indices outside the tensor. */
export function readPart(text: string): StoredPart | null {
  if (!text.endsWith("]") && !text.endsWith("]^T")) return null;
  const found = PART.exec(text);
  if (!found) return null;
  const axes = found[2]!.split(", ").map((axis): PartAxis => {
    const [, first, stop, steps, runs, size] = NUMBERS.exec(axis)!;
    const [start, step, run] = [Number(first), Number(steps ?? 1), Number(runs ?? 1)];
    const isDropped = stop === undefined;
    const count = isDropped ? 1 : run * Math.ceil((Number(stop) - start) / step);
    return { size: Number(size), start, step, run, count, isDropped };
  });
  const part: StoredPart = { key: found[1]!, axes, isTransposed: found[3] !== undefined };
  const fits = axes.every(
    (axis) =>
      Number.isSafeInteger(axis.size) &&
      axis.run >= 1 &&
      axis.run <= axis.step &&
      Number.isSafeInteger(endOf(axis)) &&
      axis.count >= 1 &&
      endOf(axis) <= axis.size,
  );
  const isWhole = Number.isSafeInteger(countOf(storedShape(part)));
  return fits && isWhole && (!part.isTransposed || partShape(part).length === 2) ? part : null;
}

/** A key as `names` states it, for messages: `"h.attn.weight"[:, 0:768]^T`. */
export function keyText(key: string): string {
  const part = readPart(key);
  return part === null ? quotedName(key) : `${quotedName(part.key)}${indicesText(part)}`;
}

/** The key of the stored tensor that has the weight under this key. */
export const storedKey = (key: string): string => readPart(key)?.key ?? key;

/** Whether two parts of one tensor have an element in common. */
export const overlap = (a: StoredPart, b: StoredPart): boolean =>
  a.axes.every((axis, i) => {
    const other = b.axes[i]!;
    const [many, few] = axis.step <= other.step ? [axis, other] : [other, axis];
    // The first run of `few` that ends after the start of `many`.
    const begin = Math.max(0, Math.floor((many.start - few.start - few.run) / few.step) + 1);
    // After `many.step` runs of `few` the distances of runs repeat. One more is checked: the first may begin
    // before `many`.
    for (let n = begin; n <= begin + many.step && n < few.count / few.run; n++) {
      const from = few.start + n * few.step;
      const next = Math.max(0, Math.floor((from - many.start - many.run) / many.step) + 1);
      if (next < many.count / many.run && many.start + next * many.step < from + few.run) return true;
    }
    return false;
  });
