// How narrow the choice of a token was: where the margin exceeds the error of another computation, that one must choose
// alike.
import { adjustedLogits, draws, keptWeights, sampleRows, type SampleRow } from "../ops/sampling.js";
import type { Tensor } from "../ops/define.js";
import { sampleWord } from "../size/sampling.js";

/**
 * For each sequence of the inputs of `sample`, by how much adjusted logits may differ from one another before the token
 * could be another, in units of logits: the gap between the largest two, or, where a token is drawn, the least of what
 * keeps every filter's bound and both edges of the token's mass where they are (masses that differ by a share s are
 * logits that differ by s times the temperature). Infinity where nothing could change; 0 where equals are told apart by
 * their order alone.
 */
export const sampleMargins = (inputs: readonly Tensor[]): readonly number[] => sampleRows(inputs).map(marginOf);

function marginOf(row: SampleRow): number {
  const x = adjustedLogits(row);
  const sorted = x.toSorted((a, b) => b - a);
  if (x.some((v) => Number.isNaN(v) || v === Infinity)) return Infinity;
  if (!draws(x, row.settings)) return x.length < 2 || sorted[0] === -Infinity ? Infinity : sorted[0]! - sorted[1]!;
  const { temperature, topK, topP, minP } = row.settings;
  const margins: number[] = [];
  const k = Math.floor(topK);
  if (k > 0 && k < x.length) margins.push(distance(sorted[k - 1]!, sorted[k]!));
  const byCount = keptWeights(x, { ...row.settings, topP: 1, minP: 0 });
  if (topP < 1) margins.push(temperature * nucleusMargin(x, byCount, topP));
  const shortfall = Math.min(Math.log(minP), 0);
  if (minP > 0)
    for (const v of x) margins.push(v === sorted[0] ? Infinity : Math.abs(v - sorted[0]! - temperature * shortfall));
  margins.push(temperature * edgeMargin(row, keptWeights(x, row.settings)));
  return least(margins);
}

const distance = (a: number, b: number): number => (a === b ? 0 : a - b);
const least = (values: readonly number[]): number => values.reduce((m, v) => Math.min(m, v), Infinity);
const sumOf = (values: Float64Array): number => values.reduce((s, v) => s + v, 0);

/**
 * The share of the mass by which a bound of top-p is missed: of each value the mass of the larger ones is on one side
 * of the share.
 */
function nucleusMargin(x: Float64Array, weights: Float64Array, topP: number): number {
  const order = [...x.keys()].filter((i) => weights[i]! > 0).toSorted((a, b) => x[b]! - x[a]!);
  const total = sumOf(weights);
  let above = 0;
  let margin = Infinity;
  order.forEach((token, i) => {
    if (i > 0) margin = Math.min(margin, Math.abs(above / total - topP));
    above += weights[token]!;
  });
  return margin;
}

/** How far the draw is from the edges of its token's mass, as a share of all. */
function edgeMargin({ seed, position }: SampleRow, weights: Float64Array): number {
  const total = sumOf(weights);
  const goal = sampleWord(seed, position) / 2 ** 32;
  let sum = 0;
  let margin = Infinity;
  const last = weights.findLastIndex((w) => w > 0);
  for (let token = 0; token < last; token++) {
    if (weights[token] === 0) continue;
    sum += weights[token]!;
    margin = Math.min(margin, Math.abs(sum / total - goal));
  }
  return margin;
}
