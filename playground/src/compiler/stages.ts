// The graph as text after each pass, and what the pass changed.
import { placer } from "../../../src/diagnostics/span.js";
import { printGraph } from "../../../src/ir/print.js";
import type { Source } from "../source.js";
import { diffLines, type DiffLine } from "./diff.js";
import { compiledOf, type Stage } from "./memo.js";

export interface StageText {
  /** Its name, and those of all. */
  readonly stage: string;
  readonly stages: readonly string[];
  readonly lines: readonly DiffLine[];
  /** What the pass is for. */
  readonly doc: string;
  /** Rules that fired, and how often. */
  readonly fired: readonly { readonly rule: string; readonly times: number }[];
  /** False where so much changed that lines were not compared. */
  readonly compared: boolean;
}

/** Beyond so many changed lines a comparison takes long and tells little. */
const MOST_CHANGES = 3000;

/** Null where the source has errors. Throws for a stage that there is none of; the empty name is that of the last. */
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

/** Nodes are numbered anew after each pass: a line is the same where all but the numbers is. */
const withoutNumbers = (line: string): string => line.replaceAll(/%\d+/g, "%");
