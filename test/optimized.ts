// The optimized graph of a source, for tests that look at the reference alone: nothing is scheduled, no kernel written.
import type { Model } from "../src/language/check/model/model.js";
import type { CompileOptions } from "../src/compiler/compile.js";
import { formatDiagnostics } from "../src/language/diagnostics/format.js";
import type { Graph } from "../src/compiler/ir/graph.js";
import { checkAs, chosenProgram, graphsOf } from "../src/compiler/recipes.js";

export interface Optimized {
  readonly graph: Graph;
  readonly model: Model;
}

/** The graph that `compile` schedules, verified after each pass by default; fails with the diagnostics. */
export function optimized(source: string, options: CompileOptions = {}): Optimized {
  const { model, diagnostics, sources } = checkAs({ file: options.file ?? "model.mod", text: source }, options);
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return {
    graph: graphsOf(model).optimized(chosenProgram(options, model), { verify: options.verify ?? true }),
    model,
  };
}
