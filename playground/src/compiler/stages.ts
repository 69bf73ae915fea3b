// The graph as text after each pass, and what the pass changed.
import { placer } from "../../../src/language/diagnostics/span.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import type { Source } from "../source.js";
import { diffLines, type DiffLine } from "./diff.js";
import { compiledOf, type Stage } from "./memo.js";

export interface StageText {
  /** The name of the stage, and the names of all stages. */
  readonly stage: string;
  readonly stages: readonly string[];
  readonly lines: readonly DiffLine[];
  /** The purpose of the pass. */
  readonly doc: string;
  /** Rules that fired, with their counts. */
  readonly fired: readonly { readonly rule: string; readonly times: number }[];
  /** False if there were too many changes to compare lines. */
  readonly compared: boolean;
}

/** The limit on changed lines for a comparison: comparing more takes long and is not useful. */
const MOST_CHANGES = 3000;

/** The text of a stage; the empty name selects the last. Null if the source has errors. Throws for an unknown stage. */
export function stageOf(source: Source, name: string): StageText | null {
  const { checked, stages } = compiledOf(source);
  const all = stages();
  if (all.length === 0) return null;
  const index = name === "" ? all.length - 1 : all.findIndex((s) => s.name === name);
  const stage = all[index];
  if (!stage) throw new RangeError(`there is no pass ${JSON.stringify(name)}`);
  const place = placer(checked.sources);
  const print = ({ graph }: Stage): readonly string[] => printGraph(graph, { place }).trimEnd().split("\n");
  const after = print(stage);
  const compared = index === 0 ? null : diffLines(print(all[index - 1]!), after, withoutNumbers, MOST_CHANGES);
  return {
    stage: stage.name,
    stages: all.map((s) => s.name),
    lines: compared ?? after.map((text) => ({ text, change: "same" })),
    doc: stage.doc,
    fired: [...stage.fired].map(([rule, times]) => ({ rule, times })),
    compared: index === 0 || compared !== null,
  };
}

/** Each pass renumbers the nodes, so lines are compared without numbers. */
const withoutNumbers = (line: string): string => line.replaceAll(/%\d+/g, "%");
