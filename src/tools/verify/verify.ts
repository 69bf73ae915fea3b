// Checks on a device that a model computes what its source specifies: every operator, the passes, the whole program,
// and the laws of the causal rule.
import type { Span } from "../../language/diagnostics/span.js";
import { isOp, nodesOf, type Graph } from "../../compiler/ir/graph.js";
import { passes as usual, type Pass } from "../../compiler/passes/index.js";
import type { RunInputs } from "./compare.js";
import { checkCausality, checkRows } from "./laws.js";
import { loadGraph, type Machine, type Weights } from "./machine.js";
import { checkOperators, checkWhole, type KernelFault } from "./operators.js";
import { checkPasses, type PassFault } from "./passes.js";
import { printReproduction } from "./reproduction.js";

export type RuleName = "top-k" | "causal";

/** The model's graph under one routing rule, before any pass. */
export interface RuleGraph {
  readonly rule: RuleName;
  readonly graph: Graph;
}

export interface VerifyTarget {
  readonly rules: readonly RuleGraph[];
  readonly machine: Machine;
  readonly weights: Weights;
  /** Random inputs; `draw` numbers the random stream, `unequal` asks for sequences of unequal lengths. */
  readonly inputs: (draw: number, unequal: boolean) => RunInputs;
  /** The source location of a span, for messages. */
  readonly place: (span: Span) => string;
  /** Passes to check in place of the default ones. */
  readonly passes?: readonly Pass[];
}

/** `holds` and `fails` are verdicts; `told` is information without a verdict; `skipped`: the check could not run. */
export type State = "holds" | "fails" | "told" | "skipped";

export interface Finding {
  readonly check: "passes" | "operators" | "program" | "causality" | "rows" | "steps" | "agreement" | "perplexity";
  readonly rule: RuleName | null;
  readonly state: State;
  readonly text: string;
  /** For a failure: the pass or kernel at fault, its source location, and the text of the reproduction file. */
  readonly fault: {
    readonly kind: "pass" | "kernel";
    readonly name: string;
    readonly place: string | null;
    readonly reproduction: string;
  } | null;
}

export const finding = (
  check: Finding["check"],
  rule: Finding["rule"],
  state: Finding["state"],
  text: string,
  fault: Finding["fault"] = null,
): Finding => ({ check, rule, state, text, fault });

export interface VerifyReporter {
  onFinding(finding: Finding): void;
  /** `stage` names the running check, `detail` its progress. */
  onProgress(stage: string, detail?: string): void;
}

/** Runs all checks that need only the model, in sequence. Returns whether all hold. */
export async function verifyModel(target: VerifyTarget, reporter: VerifyReporter): Promise<boolean> {
  let holds = true;
  const seen = new Set<string>();
  for (const { rule, graph } of target.rules) {
    const optimized = await verifyPasses(target, rule, graph, tell);
    if (optimized === null || !(await verifyDevice(target, rule, optimized, { tell, watch: reporter, seen }))) continue;
    await verifyLaws(target, rule, optimized, tell, reporter);
  }
  return holds;

  function tell(finding: Finding): void {
    if (finding.state === "fails") holds = false;
    reporter.onFinding(finding);
  }
}

type Tell = (finding: Finding) => void;

/** Checks the passes. Returns the optimized graph, or null if a pass is at fault. */
async function verifyPasses(
  { weights, inputs, place, passes = usual }: VerifyTarget,
  rule: RuleName,
  graph: Graph,
  tell: Tell,
): Promise<Graph | null> {
  const { optimized, difference, fault } = await checkPasses(graph, passes, inputs(0, true), weights);
  if (!fault) {
    tell(
      finding(
        "passes",
        rule,
        "holds",
        `${passes.length} passes preserve the graph's results: largest difference ${share(difference)}`,
      ),
    );
    return optimized;
  }
  tell(finding("passes", rule, "fails", passText(fault), faultOf("pass", fault.pass, fault, weights, place)));
  return null;
}

interface ReportContext {
  readonly tell: Tell;
  readonly watch: VerifyReporter;
  readonly seen: Set<string>;
}

async function verifyDevice(
  { machine, weights, inputs, place }: VerifyTarget,
  rule: RuleName,
  graph: Graph,
  { tell, watch, seen }: ReportContext,
): Promise<boolean> {
  const given = inputs(0, true);
  const known = seen.size;
  const of = { machine, graph, given, weights };
  const found = await checkOperators(
    { ...of, onProgress: (done, all) => watch.onProgress("running operators one by one", `${done}/${all}`) },
    seen,
  );
  if (found.fault) {
    tell(kernelFinding("operators", rule, found.fault, weights, place));
    return false;
  }
  const kinds = known > 0 ? `${found.kinds} more kinds` : `${found.kinds} kinds`;
  tell(
    finding(
      "operators",
      rule,
      "holds",
      `${found.nodes} operators of ${kinds} agree with the reference one by one: largest difference ` +
        share(found.difference),
    ),
  );
  const { verdict, fault } = await checkWhole({
    ...of,
    onProgress: (trials) => watch.onProgress("looking for the kernel at fault", `trial ${trials}`),
  });
  if (fault) {
    tell(kernelFinding("program", rule, fault, weights, place));
    return false;
  }
  const ties =
    verdict.ties === 0
      ? ""
      : `; ${verdict.ties} near-tie${verdict.ties === 1 ? "" : "s"} decided differently and followed`;
  tell(
    finding(
      "program",
      rule,
      "holds",
      "the whole program agrees with the reference: largest difference " +
        `${share(Math.max(0, ...verdict.differences.values()))}${ties}`,
    ),
  );
  return true;
}

/** The reason why later tokens may change earlier ones in a model without the causal rule. */
function whyAhead(graph: Graph, rules: readonly RuleGraph[]): string {
  if (!rules.some(({ rule }) => rule === "causal")) return "the model reads whole sequences, without a causal rule";
  return nodesOf(graph).some((node) => isOp(node, "top") || isOp(node, "top_rows"))
    ? "a choice by top sees the whole sequence; generation uses the causal rule"
    : "it reads whole sequences; generation uses the causal rule";
}

async function verifyLaws(
  { machine, weights, inputs, rules }: VerifyTarget,
  rule: RuleName,
  graph: Graph,
  tell: Tell,
  watch: VerifyReporter,
): Promise<void> {
  watch.onProgress("changing later tokens");
  const loaded = await loadGraph(machine, graph, weights);
  try {
    const { cases, failing, difference } = await checkCausality(loaded, inputs(1, false), inputs(2, false));
    const list = cases.join(", ");
    if (cases.length === 0) tell(finding("causality", rule, "skipped", "there are no later tokens"));
    else if (failing.length === 0)
      tell(
        finding(
          "causality",
          rule,
          "holds",
          `later tokens do not change earlier results, for prefixes of ${list} tokens: ` +
            (difference === 0 ? "the same bits" : `largest difference ${share(difference)}`),
        ),
      );
    else if (rule === "top-k")
      tell(
        finding(
          "causality",
          rule,
          "told",
          `later tokens change earlier results, for ${failing.length} of ${cases.length} prefixes ` +
            `(${failing.join(", ")}): ${whyAhead(graph, rules)}`,
        ),
      );
    else
      tell(
        finding(
          "causality",
          rule,
          "fails",
          `later tokens change earlier results, for prefixes of ${failing.join(", ")} tokens by ` + share(difference),
        ),
      );
    watch.onProgress("sequences one by one");
    const ragged = inputs(3, true);
    const rows = await checkRows(loaded, ragged);
    const unequal = ragged.lengths === null ? "" : " of unequal lengths";
    if (rows.failing.length === 0)
      tell(
        finding(
          "rows",
          rule,
          "holds",
          `${rows.cases.length === 1 ? "1 sequence has" : `${rows.cases.length} sequences${unequal} have`} ` +
            `the same results as alone: ` +
            (rows.difference === 0 ? "the same bits" : `largest difference ${share(rows.difference)}`),
        ),
      );
    else
      tell(
        finding(
          "rows",
          rule,
          "fails",
          `sequences ${rows.failing.join(", ")} have different results in a batch and alone, by ` +
            share(rows.difference),
        ),
      );
  } finally {
    loaded.dispose();
  }
}

/** A difference as a share of the largest magnitude. */
export const share = (difference: number): string => `${difference.toExponential(1)} of the largest magnitude`;

const passText = ({ pass, difference, node }: PassFault): string =>
  `the pass ${pass} changes the graph's results, by ${share(difference)}, first at ${node.op}`;

function kernelFinding(
  check: "operators" | "program",
  rule: RuleName,
  fault: KernelFault,
  weights: Weights,
  place: VerifyTarget["place"],
): Finding {
  const { kernel, ops, text } = fault;
  const among = ops.length > 1 ? `, which computes ${ops.join(", ")}` : "";
  const at = `is the first to disagree with the reference, at ${fault.node.op}`;
  const message = `the kernel ${kernel}${among} ${at}: ${text}`;
  return finding(check, rule, "fails", message, faultOf("kernel", kernel, fault, weights, place));
}

/** `layers.1.mlp, moby.mod:3:4` */
const placeOf = ({ node: { origin } }: PassFault | KernelFault, place: VerifyTarget["place"]): string | null =>
  origin === null ? null : `${origin.path === "" ? "" : `${origin.path}, `}${place(origin.span)}`;

const faultOf = (
  kind: "pass" | "kernel",
  name: string,
  fault: PassFault | KernelFault,
  weights: Weights,
  place: VerifyTarget["place"],
): Finding["fault"] => ({
  kind,
  name,
  place: placeOf(fault, place),
  reproduction: printReproduction({ kind, name }, fault.part, weights),
});
