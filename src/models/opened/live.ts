// The values of live parameters that a run's weights were trained to, as defaults of a model that is named itself.
import { check } from "../../language/check/check.js";
import type { LiveParameter } from "../../language/check/model.js";
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { openTrained } from "../runs/trained-node.js";

/** A model's source, which of its models is meant, and its parameters. */
export interface LiveOf {
  readonly source: SourceFile;
  readonly read: Read;
  readonly model?: string | undefined;
  readonly set?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** The live parameters of a model; none for a source with errors, which compilation reports. */
export function liveParameters({ source, read, model, set = {} }: LiveOf): readonly LiveParameter[] {
  const texts = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, String(value)]));
  for (const phase of ["infer", "train"] as const) {
    const found = check(source, { phase, read, set: texts, ...(model === undefined ? {} : { model }) }).model;
    if (found) return found.live;
  }
  return [];
}

/**
 * If the weights are a run or one of its checkpoints: the values of the live parameters that the model declares too, as
 * expressions for `set`. Throws SessionError as `openTrained` does.
 */
export function trainedLive(weights: unknown, model: LiveOf): Readonly<Record<string, string>> {
  const live = typeof weights === "string" ? (openTrained(weights)?.live ?? {}) : {};
  if (Object.keys(live).length === 0) return {};
  const declared = new Set(liveParameters(model).map(({ name }) => name));
  return Object.fromEntries(Object.entries(live).filter(([name]) => declared.has(name)));
}
