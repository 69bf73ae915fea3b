// Margins of routing choices: a computation with an error below the margin must make the same choice.
import type { Tensor, EvaluateContext } from "../ops/define.js";
import { tensor } from "../ops/tensors.js";
import { compareScores } from "../ops/routing.js";
import { countOf } from "../../ground/base/collections.js";
import { isOp, isView, typeOf, type Node } from "../ir/graph.js";
import { isFloat } from "../../ground/base/dtype.js";
import { ops } from "../ops/index.js";
import { map } from "../ops/pointwise-kinds.js";
import type { OpName } from "../ir/vocabulary.js";

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
const scoreDistance = (a: number, b: number): number =>
  Number.isNaN(a) || Number.isNaN(b) ? Infinity : a === b ? 0 : Math.abs(a - b);

/** The boolean scores of choices, also as numbers, and the booleans from which they are computed. */
export function masksOfRoutes(nodes: readonly Node[]): ReadonlySet<Node> {
  const masks = new Set<Node>();
  for (const node of nodes.toReversed()) {
    if (isOp(node, "above") && isMaskAsNumber(node.inputs[0])) masks.add(node.inputs[0]);
    if (isOp(node, "those_entries")) masks.add(node.inputs[0]);
    if (masks.has(node)) for (const input of node.inputs) if (isTruth(input)) masks.add(input);
  }
  return masks;
}

const isMaskAsNumber = (node: Node): node is Node<"cast"> => isOp(node, "cast") && isTruth(node.inputs[0]);
const isTruth = (node: Node): boolean => node.types.length === 1 && typeOf(node).dtype === "bool";

/**
 * The margin of each element of a boolean: for a comparison, the distance of its operands; for `and` and `or`, the
 * margin of the operands that decide. Choices have their own margins, and integers do not change slightly: Infinity.
 * `marginOf` returns an input's margins.
 */
export function maskMargins<K extends OpName>(
  node: Node<K>,
  inputs: readonly Tensor[],
  result: Tensor,
  marginOf: (input: Node) => Tensor | null,
  context: EvaluateContext,
): Tensor {
  const margins = node.inputs.map((input, i) => marginOf(input) ?? filled(inputs[i]!.shape, Infinity));
  const [a, b] = inputs;
  const [first, second] = margins;
  if (first && isOp(node, "pick")) return first;
  if (a && b && COMPARISONS.has(node.op)) return isFloat(a.dtype) ? paired(a, b, scoreDistance) : filled(result.shape);
  if (first && (isOp(node, "not") || isOp(node, "cast"))) return first;
  if (isOp(node, "route_mask")) return filled(result.shape);
  if (a && b && first && second && (isOp(node, "and") || isOp(node, "or"))) {
    // If an operand decides alone (false for `and`, true for `or`), its margin is positive, else negative.
    const decides = isOp(node, "and") ? 0 : 1;
    const signed = (value: Tensor, margin: Tensor): Tensor => paired(value, margin, (v, m) => (v === decides ? m : -m));
    return paired(signed(a, first), signed(b, second), (x, y) => Math.abs(Math.max(x, y)));
  }
  if (first && isView(node)) return ops[node.op].evaluate([first, ...inputs.slice(1)], node.attrs, context)[0]!;
  // Any other boolean result has the least margin of its inputs.
  return filled(
    result.shape,
    margins.reduce((least, { data }) => data.reduce((x, y) => Math.min(x, y), least), Infinity),
  );
}

const COMPARISONS: ReadonlySet<OpName> = new Set(["eq", "ne", "lt", "le", "gt", "ge"]);

const filled = (shape: readonly number[], value = Infinity): Tensor =>
  tensor("f32", shape, new Float64Array(countOf(shape)).fill(value));

/** f of the elements that broadcasting pairs. */
const paired = (a: Tensor, b: Tensor, f: (x: number, y: number) => number): Tensor => map("f32", [a, b], f);
