// The texts of records that are scored, with the targets that training has.
import { targetedTexts, type Row, type TextOptions } from "../record.js";
import type { RecordPlan } from "../record-plan.js";
import type { DataRow } from "../rows-node.js";
import type { ScoredText } from "./passes.js";
import { expectFits, type TextLimits } from "./texts.js";

export interface RecordLimits extends TextLimits, Omit<TextOptions, "plan" | "context" | "tokenizer"> {
  /** Texts are cut after so many tokens; null: not. */
  readonly cut: number | null;
}

export interface ScoredRecord extends Pick<DataRow, "place" | "values"> {
  /** `tokens`: of a record with one text; `chosen` and `rejected`: of a preference. */
  readonly texts: ReadonlyMap<string, ScoredText>;
}

/** The plan by which records fill an objective with these texts. */
const planOf = (...names: readonly string[]): RecordPlan => ({
  inputs: names.flatMap((of, axis) => [
    { kind: "tokens", name: of, axis },
    { kind: "targets", name: of === "tokens" ? "targets" : `${of}_targets`, of, axis },
  ]),
  axes: names.map((name) => ({ name, bound: null })),
  byTargets: names.length === 1,
});

const [SINGLE, PREFERENCE] = [planOf("tokens"), planOf("chosen", "rejected")];

/**
 * The texts of a record: `chosen` and `rejected` of a preference, else the text that an objective of tokens and targets
 * reads. A token is scored if it is a target in training. Throws TrainError with the place.
 */
export async function recordOf(row: Row, limits: RecordLimits): Promise<ScoredRecord> {
  const { place, values, columns } = row;
  const isPreference = ["chosen", "rejected"].some((column) => columns.includes(column));
  const plan = isPreference ? PREFERENCE : SINGLE;
  const texts = await targetedTexts(row, { ...limits, plan, context: limits.cut ?? Infinity });
  for (const [name, { tokens, targets }] of texts) {
    expectFits(place, name, tokens, limits);
    expectFits(place, `${name}'s targets`, [...targets], limits);
  }
  return { place, values, texts };
}
