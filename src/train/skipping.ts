// How much routed layers compute under each rule, and whether their predictors have learned to skip.
import type { Evaluation, Rule } from "./types.js";

type Shares = Evaluation["shares"];

/** Of all routed layers together, the share of tokens they compute; null where none is routed. */
export function meanShare(shares: Shares): number | null {
  const own = Object.values(shares);
  return own.length === 0 ? null : own.reduce((a, b) => a + b, 0) / own.length;
}

/** Of a validation, by rule. */
export const sharesOf = ({
  byRule,
}: {
  readonly byRule: { readonly [R in Rule]?: Evaluation };
}): { readonly [R in Rule]?: Shares } =>
  Object.fromEntries(Object.entries(byRule).map(([rule, { shares }]) => [rule, shares]));

/** A route that skips under the causal rule less than half of what it skips by top-k. */
export interface Unskipping {
  readonly path: string;
  readonly causal: number;
  readonly topK: number;
}

/** A share of tokens that is worth telling of. */
const NOTABLE = 0.05;

/**
 * Those of which a validation shows that their predictors keep what they should skip; none where only one rule was run.
 */
export function unskipping(shares: { readonly [R in Rule]?: Shares }): readonly Unskipping[] {
  const { "top-k": byTopK, causal: byCausal } = shares;
  if (!byTopK || !byCausal) return [];
  return Object.entries(byCausal).flatMap(([path, causal]) => {
    const topK = byTopK[path] ?? 1;
    return 1 - topK >= NOTABLE && 1 - causal < (1 - topK) / 2 ? [{ path, causal, topK }] : [];
  });
}

/** As a sentence; null where there are none. */
export function unskippingText(found: readonly Unskipping[]): string | null {
  if (found.length === 0) return null;
  const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
  const each = found.slice(0, 4).map(({ path, causal, topK }, i) => {
    const first = i === 0;
    const kept =
      `${path}${first ? " keeps" : ""} ` +
      `${percent(causal)}${first ? " of the tokens by the causal rule, as the model generates," : ""}`;
    return `${kept}${first ? "" : ","} where top-k keeps ${percent(topK)}`;
  });
  const more = found.length > each.length ? `; and so do ${found.length - each.length} more` : "";
  const what = found.every(({ causal }) => causal > 0.995) ? "keep every token" : "keep most of what they should skip";
  return `predictors still ${what}: ${each.join("; ")}${more}`;
}
