// Margins of sampled tokens: a computation with an error below the margin must choose the same token.
import { adjustedLogits, draws, keptWeights, sampleRows, type SampleRow } from "../../src/compiler/ops/sampling.js";
import type { Tensor } from "../../src/compiler/ops/define.js";
import { sampleWord } from "../../src/ground/numerics/sampling.js";

/**
 * For each sequence, how far adjusted logits may differ before the sampled token could change, in units of logits.
 * Without a draw this is the gap between the two largest logits; with a draw, the smallest change that moves a filter's
 * bound or an edge of the token's probability interval past its threshold (a relative change s of mass is a change of s
 * times the temperature in logits). Infinity if no change matters; 0 if only the order decides between equal logits.
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
 * The distance of the top-p filter from a change, as a share of the mass: for each value, the mass of all larger values
 * is on one side of top-p.
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

/** The distance of the draw from the edges of its token's interval, as a share of the total mass. */
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
