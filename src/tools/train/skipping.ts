// Compares the shares of tokens that routed layers compute under each rule, and finds predictors that have not learned
// to skip.
import type { TrainSettings } from "./options.js";
import type { Evaluation, Rule } from "./types.js";

type Shares = Evaluation["shares"];

/** Mean share of tokens that routed layers compute; null if no layer is routed. */
export function meanShare(shares: Shares): number | null {
  const values = Object.values(shares);
  return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
}

/** The shares of a validation, by rule. */
export const sharesOf = ({
  byRule,
}: {
  readonly byRule: { readonly [R in Rule]?: Pick<Evaluation, "shares"> };
}): { readonly [R in Rule]?: Shares } =>
  Object.fromEntries(Object.entries(byRule).map(([rule, { shares }]) => [rule, shares]));

/**
 * Whether a validation counts: its predictors skip. Predictors that compute tokens they should skip lower the loss by
 * extra computation alone.
 */
export const skips = (validation: Parameters<typeof sharesOf>[0]): boolean =>
  unskipping(sharesOf(validation)).length === 0;

/** A route that under the causal rule skips less than half of the tokens that it skips under top-k. */
export interface Unskipping {
  readonly path: string;
  readonly causal: number;
  readonly topK: number;
}

/** The smallest share of skipped tokens for which a warning is given. */
const NOTABLE = 0.05;

/**
 * Routes of a validation whose predictors compute tokens that they should skip; empty if only one rule was evaluated.
 */
export function unskipping(shares: { readonly [R in Rule]?: Shares }): readonly Unskipping[] {
  const { "top-k": byTopK, causal: byCausal } = shares;
  if (!byTopK || !byCausal) return [];
  return Object.entries(byCausal).flatMap(([path, causal]) => {
    const topK = byTopK[path] ?? 1;
    return 1 - topK >= NOTABLE && 1 - causal < (1 - topK) / 2 ? [{ path, causal, topK }] : [];
  });
}

/** The settings on which the remedy depends. */
export interface SkippingSettings extends Pick<TrainSettings, "only" | "lr"> {
  /** Absent in logs that are older than the setting: predictors learned at `lr`. */
  readonly predictorLr?: number;
}

/** The learning rate at which predictors learn fast if nothing else learns. */
const FAST = 1e-2;

/**
 * The remedy for predictors that do not skip: predictors learn fast if nothing else learns, since their inputs then
 * stay the same.
 */
function remedy({ only, lr, predictorLr = lr }: SkippingSettings): string {
  const alone =
    only !== "" && only.split(",").every((pattern) => /(?:^|\.)(?:router|guess)(?:\.|$)/.test(pattern.trim()));
  const faster = predictorLr < FAST ? " --predictor-lr 1e-2" : "";
  if (alone) return `train longer${faster === "" ? "" : `, or at a higher learning rate:${faster}`}`;
  const how = faster === "" ? "alone" : "alone at a higher learning rate";
  return `train longer, or train them ${how}: --only router,guess${faster}`;
}

/** The warning as a sentence; null if there are no such routes. */
export function unskippingText(found: readonly Unskipping[], settings: SkippingSettings): string | null {
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
  const what = found.every(({ causal }) => causal > 0.995)
    ? "keep every token"
    : "keep most tokens that they should skip";
  return `predictors still ${what}: ${each.join("; ")}${more}; ${remedy(settings)}`;
}
