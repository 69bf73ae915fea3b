// The live parameters of a model, and the values that a run trained of them.
import { check } from "../../language/check/check.js";
import type { LiveParameter } from "../../language/check/model/model.js";
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";

/** A source, the choice of a model in it, and the model's parameters. */
export interface LiveOf {
  readonly source: SourceFile;
  readonly read: Read;
  readonly model?: string | null | undefined;
  readonly set?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** The live parameters of a model; none for a source with errors, which compilation reports. */
export function liveParameters({ source, read, model, set = {} }: LiveOf): readonly LiveParameter[] {
  const texts = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, String(value)]));
  for (const phase of ["infer", "train"] as const) {
    const found = check(source, { phase, read, set: texts, ...(model && { model }) }).model;
    if (found) return found.live;
  }
  return [];
}

/** The values of a run's live parameters that a model declares too. */
export function declaredLive(live: Readonly<Record<string, string>>, model: LiveOf): Readonly<Record<string, string>> {
  const declared = new Set(liveParameters(model).map(({ name }) => name));
  return Object.fromEntries(Object.entries(live).filter(([name]) => declared.has(name)));
}
