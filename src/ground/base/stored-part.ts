// A part of a stored tensor: some indices of each axis, and whether the weight is its transpose. As a key it is a text,
// `h.attn.weight[0:768/768, 0:768/2304]^T`, which states the sizes of the stored tensor too.
import { countOf } from "./collections.js";

/** The indices start, start + step, … of an axis of `size`. */
export interface PartAxis {
  readonly size: number;
  readonly start: number;
  readonly step: number;
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
export const endOf = ({ start, step, count }: Omit<PartAxis, "size" | "isDropped">): number =>
  start + step * (count - 1) + 1;

/** The indices as `names` would state them: `[:, 0:768]^T`. */
export function indicesText({ axes, isTransposed }: Pick<StoredPart, "axes" | "isTransposed">): string {
  const texts = axes.map((axis) => {
    if (axis.isDropped) return String(axis.start);
    if (axis.step === 1 && axis.count === axis.size) return ":";
    return `${axis.start}:${endOf(axis)}${axis.step === 1 ? "" : `:${axis.step}`}`;
  });
  return `[${texts.join(", ")}]${isTransposed ? "^T" : ""}`;
}

/** The part as a key; `readPart` reads it. */
export function partKey({ key, axes, isTransposed }: StoredPart): string {
  const texts = axes.map((axis) =>
    axis.isDropped
      ? `${axis.start}/${axis.size}`
      : `${axis.start}:${endOf(axis)}${axis.step === 1 ? "" : `:${axis.step}`}/${axis.size}`,
  );
  return `${key}[${texts.join(", ")}]${isTransposed ? "^T" : ""}`;
}

const AXIS = String.raw`\d+(?::\d+(?::\d+)?)?/\d+`;
const PART = new RegExp(String.raw`^([^]+)\[(${AXIS}(?:, ${AXIS})*)\](\^T)?$`);
const NUMBERS = /^(\d+)(?::(\d+)(?::(\d+))?)?\/(\d+)$/;

/** The part that a key states; null for the key of a whole tensor, and for indices outside the tensor. */
export function readPart(text: string): StoredPart | null {
  if (!text.endsWith("]") && !text.endsWith("]^T")) return null;
  const found = PART.exec(text);
  if (!found) return null;
  const axes = found[2]!.split(", ").map((axis): PartAxis => {
    const [, start, stop, step, size] = NUMBERS.exec(axis)!;
    const [first, each] = [Number(start), Number(step ?? 1)];
    const isDropped = stop === undefined;
    const count = isDropped ? 1 : Math.ceil((Number(stop) - first) / each);
    return { size: Number(size), start: first, step: each, count, isDropped };
  });
  const part: StoredPart = { key: found[1]!, axes, isTransposed: found[3] !== undefined };
  const fits = axes.every(
    (axis) =>
      Number.isSafeInteger(axis.size) &&
      Number.isSafeInteger(endOf(axis)) &&
      axis.count >= 1 &&
      endOf(axis) <= axis.size,
  );
  const isWhole = Number.isSafeInteger(countOf(storedShape(part)));
  return fits && isWhole && (!part.isTransposed || partShape(part).length === 2) ? part : null;
}

/** Whether two parts of one tensor have an element in common. */
export const overlap = (a: StoredPart, b: StoredPart): boolean =>
  a.axes.every((axis, i) => {
    const other = b.axes[i]!;
    // Of two steps, the larger repeats the remainders of the smaller after as many indices as the smaller has.
    const [many, few] = axis.step <= other.step ? [axis, other] : [other, axis];
    const from = Math.max(many.start, few.start);
    const first = few.start + Math.ceil((from - few.start) / few.step) * few.step;
    const last = Math.min(endOf(many), endOf(few)) - 1;
    for (let n = 0, at = first; n < many.step && at <= last; n++, at += few.step)
      if ((at - many.start) % many.step === 0) return true;
    return false;
  });
