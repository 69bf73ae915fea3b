// Caches the last compilation: each stage is computed once for a source, on first use.
import { once } from "../../../src/ground/base/once.js";
import { check, type Checked } from "../../../src/language/check/check.js";
import { programFor } from "../../../src/compiler/compile.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { passes, stages } from "../../../src/compiler/passes/index.js";
import type { Program } from "../../../src/runtime/program/program.js";
import type { Source } from "../source.js";

/** The name of a source in messages. */
export const FILE = "model.mod";

/** The graph after a pass, and the rules that fired in it. */
export interface Stage {
  readonly name: string;
  /** The purpose of the pass. */
  readonly doc: string;
  readonly graph: Graph;
  readonly fired: ReadonlyMap<string, number>;
}

export interface Compiled {
  readonly checked: Checked;
  /** The stages from the lowered graph to the optimized graph; empty if the source has errors. */
  readonly stages: () => readonly Stage[];
  /** The optimized graph, and its program for any device; null if the source has errors. */
  readonly graph: () => Graph | null;
  readonly program: () => Program | null;
}

let last: { readonly key: string; readonly compiled: Compiled } | null = null;

export function compiledOf({ text, set, phase }: Source): Compiled {
  const key = JSON.stringify([text, set, phase]);
  if (last?.key !== key) last = { key, compiled: begin({ text, set, phase }) };
  return last.compiled;
}

function begin({ text, set, phase }: Source): Compiled {
  const given = Object.assign(Object.create(null) as Record<string, string>, set); // allows parameters of any name
  const checked = check({ file: FILE, text }, { phase, set: given, read: () => null });
  const { model, sources } = checked;
  const all = once(() => (model ? stagesOf(lower(model)) : []));
  const graph = (): Graph | null => all().at(-1)?.graph ?? null;
  const program = once(() => {
    const optimized = graph();
    return model && optimized && programFor({ graph: optimized, model, sources });
  });
  return { checked, stages: all, graph, program };
}

function stagesOf(lowered: Graph): readonly Stage[] {
  const found: Stage[] = [
    {
      name: stages[0]!,
      doc: "the model as operators on packed rows, before any pass",
      graph: lowered,
      fired: new Map(),
    },
  ];
  for (const pass of passes) {
    const { name, doc } = pass;
    const fired = new Map<string, number>();
    const graph = pass.run(found.at(-1)!.graph, (rule) => void fired.set(rule, (fired.get(rule) ?? 0) + 1));
    found.push({ name, doc, graph, fired });
  }
  return found;
}
