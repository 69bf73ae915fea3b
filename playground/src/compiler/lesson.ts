// What a model learns in the page: one text, or records with several texts and made values.
import { recordInputs, Unfillable } from "../../../src/language/check/model/record-inputs.js";
import { textInputsOf } from "../../../src/language/check/model/text-inputs.js";
import type { Source } from "../source.js";
import { compiledOf } from "./memo.js";

export interface Lesson {
  /** Inputs of tokens that each record has a text for; null: one text has the tokens of all records. */
  readonly texts: readonly string[] | null;
  /** Inputs that the page makes values for. */
  readonly made: readonly string[];
}

/** Null if the source has no objective, or one that no record fills. */
export function lessonOf(source: Source): Lesson | null {
  const { model } = compiledOf({ ...source, phase: "train" }).checked;
  if (!model) return null;
  if (textInputsOf(model)) return { texts: null, made: [] };
  try {
    const { inputs } = recordInputs(model);
    const named = (kind: string): readonly string[] => inputs.flatMap((i) => (i.kind === kind ? [i.name] : []));
    return { texts: named("tokens"), made: named("record") };
  } catch (error) {
    if (error instanceof Unfillable) return null;
    throw error;
  }
}
