// Compares every operator of a graph, alone on the device, with the reference. If only the whole program differs, finds
// the first kernel that does.
import { printAttrs } from "../../compiler/ir/attrs.js";
import { producerOf, type Graph, type Node } from "../../compiler/ir/graph.js";
import { printType } from "../../compiler/ir/typing.js";
import type { Program, ProgramWork } from "../../runtime/program/program.js";
import { chosenFrom, mapRule, ruleKey } from "../../ground/size/count-rules.js";
import { printRational } from "../../ground/numerics/rational.js";
import { printSize } from "../../ground/size/size.js";
import { compareRun, type Allowed, type RunInputs, type Verdict } from "./compare.js";
import { computedNodes, endingIn, partOf, valuesOf, withCuts, type Part } from "./extract.js";
import { evaluateGraph, loadGraph, type Machine, type Weights } from "./machine.js";
import { bisect } from "./bisect.js";

/**
 * Tolerances for one operator, whose inputs are the reference's values: only its own rounding counts, and choices
 * differ only between equal scores.
 */
export const OPERATOR_ALLOWED: Allowed = { values: 3e-5, scores: 1e-4 };

export interface KernelFault {
  readonly node: Node;
  /** The kernel that computes the node, and all operators fused in the kernel, in order. */
  readonly kernel: string;
  readonly ops: readonly string[];
  /** The difference, in words. */
  readonly text: string;
  readonly part: Part;
}

export interface OperatorsChecked {
  /** The number of nodes in the graph, and of distinct kinds among them: operator, attributes and types. */
  readonly nodes: number;
  readonly kinds: number;
  /** The largest difference of any operator, as a share of its largest magnitude. */
  readonly difference: number;
  readonly fault: KernelFault | null;
}

export interface Trial {
  readonly machine: Machine;
  readonly graph: Graph;
  readonly given: RunInputs;
  readonly weights: Weights;
  /** Called before each operator runs. */
  readonly onProgress?: ((done: number, all: number) => void) | undefined;
}

/** Checks each kind of operator once, in order, up to the first that differs. `seen`: kinds already checked. */
export async function checkOperators(
  { machine, graph, given, weights, onProgress }: Trial,
  seen = new Set<string>(),
): Promise<OperatorsChecked> {
  const nodes = computedNodes(
    graph,
    graph.outputs.map((o) => o.node),
  );
  const kinds = new Map<string, Node>();
  const canonical = axisNames(graph);
  for (const node of nodes) {
    const kind = canonical(kindOf(node));
    if (!seen.has(kind) && !kinds.has(kind)) kinds.set(kind, node);
  }
  const parts = [...kinds.values()].map((node) => ({ node, ...partOf(graph, node, 1) }));
  const values = valuesOf(graph, distinct(parts.flatMap((p) => p.cuts)), given, weights);
  let difference = 0;
  for (const [done, found] of parts.entries()) {
    onProgress?.(done, parts.length);
    const part = withCuts(found, given, values);
    const { verdict, program } = await trial(machine, part, weights, OPERATOR_ALLOWED);
    for (const d of verdict.differences.values()) difference = Math.max(difference, d);
    if (!verdict.agrees)
      return { nodes: nodes.length, kinds: kinds.size, difference, fault: faultOf(found.node, program, verdict, part) };
  }
  for (const kind of kinds.keys()) seen.add(kind);
  return { nodes: nodes.length, kinds: kinds.size, difference, fault: null };
}

/** A key that is equal for nodes with equal kernels: operator, attributes, types. */
const kindOf = (node: Node): string =>
  `${node.op}${printAttrs(node.op, node.attrs)}(` +
  `${node.inputs.map((n) => `${n.op === "weight" ? "weight " : ""}${n.types.map(printType).join()}`).join("; ")})`;

/** Renames routed axes by the rule that creates them, so that the routes of two equal layers have equal text. */
function axisNames({ axes }: Graph): (text: string) => string {
  const names = new Map<string, string>();
  for (const axis of axes) {
    if (axis.role !== "sequence" || chosenFrom(axis.count) === null) continue;
    const rule = mapRule(axis.count, { size: printSize, ratio: printRational });
    names.set(axis.name, `<${ruleKey(rule, (name) => names.get(name) ?? name)}>`);
  }
  return (text) => text.replaceAll(/[A-Za-z_][\w.]*/g, (word) => names.get(word) ?? word);
}

const distinct = <T extends { readonly node: Node }>(cuts: readonly T[]): readonly T[] => [
  ...new Map(cuts.map((c) => [c.node, c])).values(),
];

/** Checks the whole program: its results, losses and routing choices. */
export async function checkWhole(
  whole: Trial,
): Promise<{ readonly verdict: Verdict; readonly fault: KernelFault | null }> {
  const { machine, graph, given, weights } = whole;
  const { verdict, program } = await trial(machine, { graph, given }, weights);
  return { verdict, fault: verdict.agrees ? null : await locate(whole, program, verdict) };
}

/** Finds the first kernel that differs, by programs that end in each candidate node. */
async function locate(
  { machine, graph, given, weights, onProgress }: Trial,
  program: Program,
  verdict: Verdict,
): Promise<KernelFault> {
  let trials = 0;
  const differs = async (node: Node): Promise<boolean> => {
    onProgress?.(++trials, Infinity);
    return !(await trial(machine, { graph: endingIn(graph, [node]), given }, weights)).verdict.agrees;
  };
  const whole: Part = { graph, given };
  for (const { node, name, role } of graph.outputs) {
    const base = producerOf(node);
    if (role === "observe" || (verdict.differences.get(name) ?? 0) <= 0 || !(await differs(base))) continue;
    const found = await bisect(graph, base, differs);
    for (let depth = 1; depth <= 64; depth *= 2) {
      const cut = partOf(graph, found, depth);
      const part = withCuts(cut, given, valuesOf(graph, cut.cuts, given, weights));
      const alone = await trial(machine, part, weights);
      if (!alone.verdict.agrees) return faultOf(found, alone.program, alone.verdict, part);
    }
    const part = { graph: endingIn(graph, [found]), given };
    const ending = await trial(machine, part, weights);
    return faultOf(found, ending.program, ending.verdict, part);
  }
  // Only the whole program differs: shared memory or the order of steps is at fault.
  return faultOf(graph.outputs[0]!.node, program, verdict, whole);
}

export async function trial(
  machine: Machine,
  { graph, given }: Part,
  weights: Weights,
  allowed?: Allowed,
): Promise<{ readonly verdict: Verdict; readonly program: Program }> {
  const loaded = await loadGraph(machine, graph, weights);
  try {
    const values = await loaded.run(given);
    return {
      verdict: await compareRun(
        loaded.program,
        given,
        values,
        (forced) => evaluateGraph(graph, given, weights, forced),
        allowed,
      ),
      program: loaded.program,
    };
  } finally {
    loaded.dispose();
  }
}

function faultOf(node: Node, program: Program, verdict: Verdict, part: Part): KernelFault {
  const { kernel, work } = lastWork(program, node);
  return { node, kernel, ops: work?.ops.map((o) => o.op) ?? [], text: verdict.faults.join("; "), part };
}

/** The kernel of the last step that computes an operator of the node's kind, else of the last step. */
function lastWork(program: Program, node: Node): { readonly kernel: string; readonly work: ProgramWork | null } {
  const dispatches = program.steps.flatMap((s) =>
    s.kind === "dispatch" && s.work !== null
      ? [{ kernel: program.kernels[s.kernel]!.name, work: program.works[s.work]! }]
      : [],
  );
  return (
    dispatches.findLast(({ work }) => work.ops.some((o) => o.op === node.op)) ??
    dispatches.at(-1) ?? { kernel: "none", work: null }
  );
}
