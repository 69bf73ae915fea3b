// Stored tensors that are divided at random: into slices, by steps, into stacks, transposed. The values of each part
// are found element by element.
import type { Random } from "../../random.js";

export interface Stored {
  readonly key: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** The indices of an axis: `at` one, or from `start` on. */
interface Indices {
  readonly start: number;
  readonly step: number;
  readonly count: number;
  readonly isDropped: boolean;
}

/** A part of a tensor. */
export interface Leaf {
  /** Indices behind the key: `[0:4, 1::2]^T`, or nothing. */
  readonly text: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** A tensor of values that numbers of two bytes hold exactly. */
export function randomTensor(rng: Random, key: string, dtype: string): Stored {
  const shape = Array.from({ length: 1 + rng.below(3) }, () => 1 + rng.below(7));
  return { key, dtype, shape, values: Float32Array.from({ length: size(shape) }, () => rng.below(255) - 127) };
}

/** Divides a tensor into parts. */
export function divided(rng: Random, { shape, values }: Stored): readonly Leaf[] {
  const whole = shape.map((count): Indices => ({ start: 0, step: 1, count, isDropped: false }));
  const parts = split(rng, whole, 1 + rng.below(3));
  return parts.map((axes): Leaf => {
    const kept = axes.filter(({ isDropped }) => !isDropped).map(({ count }) => count);
    const isTransposed = kept.length === 2 && rng.below(2) === 0;
    const texts = axes.map((axis, i) => indexText(rng, axis, shape[i]!));
    while (texts.length > 1 && texts.at(-1) === ":" && rng.below(2) === 0) texts.pop();
    const isWhole = texts.every((text) => text === ":");
    const text = isWhole && rng.below(2) === 0 ? "" : `[${texts.join(", ")}]`;
    const found = gather(axes, shape, values);
    return {
      text: `${text}${isTransposed ? "^T" : ""}`,
      shape: isTransposed ? kept.toReversed() : kept,
      values: isTransposed ? transposed(found, kept[0]!, kept[1]!) : found,
    };
  });
}

/** Splits the longest axes again and again: in two, by a step, or into single indices that leave the axis out. */
function split(rng: Random, axes: readonly Indices[], times: number): readonly (readonly Indices[])[] {
  const open = axes.flatMap((axis, i) => (axis.count > 1 && !axis.isDropped ? [i] : []));
  if (times === 0 || open.length === 0) return [axes];
  const at = open[rng.below(open.length)]!;
  const { start, step, count } = axes[at]!;
  const withAxis = (axis: Omit<Indices, "isDropped">, isDropped = false): readonly Indices[] =>
    axes.with(at, { ...axis, isDropped });
  const kind = rng.below(3);
  let parts: readonly (readonly Indices[])[];
  if (kind === 0) {
    const cut = 1 + rng.below(count - 1);
    parts = [withAxis({ start, step, count: cut }), withAxis({ start: start + cut * step, step, count: count - cut })];
  } else if (kind === 1) {
    const by = 2 + rng.below(count - 1);
    parts = Array.from({ length: by }, (_, i) =>
      withAxis({ start: start + i * step, step: step * by, count: Math.ceil((count - i) / by) }),
    );
  } else {
    parts = Array.from({ length: count }, (_, i) => withAxis({ start: start + i * step, step: 1, count: 1 }, true));
  }
  return parts.flatMap((part) => split(rng, part, times - 1));
}

function indexText(rng: Random, { start, step, count, isDropped }: Indices, length: number): string {
  if (isDropped) return String(start);
  const end = start + step * (count - 1) + 1;
  const isLast = end + step > length;
  const by = step === 1 ? "" : `:${step}`;
  if (start === 0 && isLast && rng.below(2) === 0) return `:${by}`;
  if (isLast && rng.below(2) === 0) return `${start}:${by}`;
  // Any end up to that of the next index says the same.
  return `${start}:${end + rng.below(Math.min(step, length - end + 1))}${by}`;
}

function gather(axes: readonly Indices[], shape: readonly number[], values: Float32Array): Float32Array {
  const found: number[] = [];
  const walk = (axis: number, before: number): void => {
    if (axis === axes.length) {
      found.push(values[before]!);
      return;
    }
    const { start, step, count } = axes[axis]!;
    for (let n = 0; n < count; n++) walk(axis + 1, before * shape[axis]! + start + n * step);
  };
  walk(0, 0);
  return Float32Array.from(found);
}

const transposed = (values: Float32Array, rows: number, columns: number): Float32Array =>
  Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
