// Graphs of the examples, and of sources in a test, as they are lowered: before any pass.
import { readFileSync } from "node:fs";
import { check } from "../../../src/language/check/check.js";
import type { Entry, Model, Phase } from "../../../src/language/check/model/model.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";

export interface Lowered {
  readonly model: Model;
  readonly graph: Graph;
}

/** The objective in train, unless it says otherwise; fails with the diagnostics. */
export function lowered(
  source: string,
  options: { readonly phase?: Phase; readonly entry?: Entry; readonly set?: Readonly<Record<string, string>> } = {},
): Lowered {
  const { phase = "train", entry = "objective", set = {} } = options;
  const checked = check({ file: "model.mod", text: source }, { phase, entry, set, read: () => null });
  if (!checked.model) throw new Error(formatDiagnostics(checked.diagnostics, { sources: checked.sources }));
  return { model: checked.model, graph: lower(checked.model) };
}

export const exampleSource = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}`, import.meta.url), "utf8");

export const exampleGraph = (name: string, phase: Phase = "train"): Graph =>
  lowered(exampleSource(name), { phase }).graph;
