// The optimized graph of a source, for tests that look at the reference alone: nothing is scheduled, no kernel written.
import { check } from "../src/language/check/check.js";
import type { Model } from "../src/language/check/model.js";
import { checkOptions, recipeOf, type CompileOptions } from "../src/compiler/compile.js";
import { formatDiagnostics } from "../src/language/diagnostics/format.js";
import type { Graph } from "../src/compiler/ir/graph.js";
import { optimize } from "../src/compiler/passes/index.js";
import { materialOf } from "../src/compiler/recipes.js";

export interface Optimized {
  readonly graph: Graph;
  readonly model: Model;
}

/** The graph that `compile` schedules, verified after each pass by default; fails with the diagnostics. */
export function optimized(source: string, options: CompileOptions = {}): Optimized {
  const { model, diagnostics, sources } = check(
    { file: options.file ?? "model.mod", text: source },
    checkOptions(options),
  );
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return {
    graph: optimize(recipeOf(options, model).graph(materialOf(model)), { verify: options.verify ?? true }),
    model,
  };
}
