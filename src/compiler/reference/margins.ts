// Margins of routing choices: a computation with an error below the margin must make the same choice.
import type { Tensor } from "../ops/define.js";
import { tensor } from "../ops/tensors.js";
import { compareScores } from "../ops/routing.js";

/**
 * For each sequence, how far scores may change before the choice of `top` or `above` could change. For `top` this is
 * the gap between the lowest chosen score and the highest rejected one, for `above` the smallest distance of a score
 * from its threshold. Infinity if no change matters: k chooses all or none, or one side is NaN, which a small error
 * cannot turn into a number. If the score is a `mask` as a number, the margins of the mask count.
 */
export function marginsOf(
  op: "top" | "above",
  inputs: readonly Tensor[],
  chosen: { readonly index: Tensor; readonly starts: Tensor },
  mask: Tensor | null,
): Float64Array {
  const [score, threshold] = inputs;
  const parents = inputs[op === "top" ? 1 : 2]!.data;
  const margins = new Float64Array(parents.length - 1).fill(Infinity);
  const isChosen = new Uint8Array(score!.data.length);
  for (const row of chosen.index.data) isChosen[row] = 1;
  for (let b = 0; b < margins.length; b++)
    margins[b] =
      op === "top"
        ? gap(score!.data, isChosen, parents[b]!, parents[b + 1]!)
        : mask
          ? leastOf(mask.data, parents[b]!, parents[b + 1]!)
          : distance(score!.data, threshold!, parents[b]!, parents[b + 1]!);
  return margins;
}

/** For each row of entries, the gap between the lowest chosen score and the highest rejected one. */
export function entryMargins(score: Tensor, chosen: Tensor): Float64Array {
  const [among, k] = [score.shape.at(-1)!, chosen.shape.at(-1)!];
  const isChosen = new Uint8Array(score.data.length);
  chosen.data.forEach((entry, i) => {
    isChosen[Math.floor(i / k) * among + entry] = 1;
  });
  return Float64Array.from({ length: score.data.length / among }, (_, row) =>
    gap(score.data, isChosen, row * among, (row + 1) * among),
  );
}

/**
 * For each element of the mask of `top_rows`: how far scores may change before its column's choice among the rows of
 * its sequence could change.
 */
export function columnMargins([score, parents]: readonly Tensor[], mask: Tensor): Tensor {
  const among = mask.shape[1]!;
  const margins = tensor("f32", mask.shape);
  for (let e = 0; e < among; e++) {
    const [column, isChosen] = [score!.data, mask.data].map((data) => data.filter((_, i) => i % among === e));
    for (let b = 0; b + 1 < parents!.data.length; b++) {
      const [first, end] = [parents!.data[b]!, parents!.data[b + 1]!];
      const margin = gap(column!, isChosen!, first, end);
      for (let row = first; row < end; row++) margins.data[row * among + e] = margin;
    }
  }
  return margins;
}

/** The least margin of each row of a mask. */
export function leastOfRows({ data, shape }: Tensor): Float64Array {
  const width = shape.at(-1)!;
  return Float64Array.from({ length: data.length / width }, (_, row) => leastOf(data, row * width, (row + 1) * width));
}

const leastOf = (margins: Float64Array, first: number, end: number): number =>
  margins.subarray(first, end).reduce((least, margin) => Math.min(least, margin), Infinity);

function gap(score: Float64Array, isChosen: ArrayLike<number>, first: number, end: number): number {
  let worst = -1;
  let best = -1;
  for (let row = first; row < end; row++)
    if (isChosen[row]) worst = worst < 0 || compareScores(score, worst, row) < 0 ? row : worst;
    else best = best < 0 || compareScores(score, row, best) < 0 ? row : best;
  if (worst < 0 || best < 0) return Infinity;
  return scoreDistance(score[worst]!, score[best]!);
}

function distance(score: Float64Array, threshold: Tensor, first: number, end: number): number {
  let least = Infinity;
  for (let row = first; row < end; row++)
    least = Math.min(least, scoreDistance(score[row]!, threshold.data[threshold.shape.length === 0 ? 0 : row]!));
  return least;
}

/** The distance between two scores; 0 for equal infinities. */
export const scoreDistance = (a: number, b: number): number =>
  Number.isNaN(a) || Number.isNaN(b) ? Infinity : a === b ? 0 : Math.abs(a - b);
