// `modc verify`: checks on the user's model and device that programs compute the model, and that the causal rule keeps
// its laws.
import { existsSync } from "node:fs";
import { compileGeneration, GenerationError } from "../../../compiler/compile-generation.js";
import { type SourceFile, type Span, lineAndColumn } from "../../../language/diagnostics/span.js";
import type { Graph } from "../../../compiler/ir/graph.js";
import { printGraph } from "../../../compiler/ir/print.js";
import { lower } from "../../../compiler/lower/lower.js";
import { optimize, passes as usualPasses, type Pass } from "../../../compiler/passes/index.js";
import { checkAs, graphsOf } from "../../../compiler/recipes.js";
import type { Program } from "../../../runtime/program/program.js";
import { checkLive } from "../../../runtime/run/extents.js";
import { openDevice, type Device } from "../../../runtime/index.js";
import { roomFor } from "../../../runtime/run/memory.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { sequenceAxes, type Axis } from "../../../ground/size/axes.js";
import type { Lengths } from "../../../ground/size/lengths.js";
import { nonDegenerateWeights, loadGraph, type Machine, type Weights } from "../../verify/machine.js";
import { checkReproduction, parseReproduction } from "../../verify/reproduction.js";
import { checkSteps, measureSteps, type StepsApart } from "../../verify/steps.js";
import { finding, verifyModel, type Finding, type RuleGraph, type VerifyTarget } from "../../verify/verify.js";
import { Agreement, routesOfTokens } from "../train/agreement.js";
import { furtherInputs } from "./further-inputs.js";
import { wantedDevice } from "../source/device.js";
import type { EvaluationFlags } from "../train/evaluated-rule.js";
import { evaluateRules, expectEvaluable, byRule } from "../train/evaluation.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";
import { readWeights } from "../run/execute.js";
import { chosenExtents, printExtents } from "../source/extents.js";
import { readText, writeText } from "../source/files.js";
import { expectOfKind } from "../source/outputs.js";
import { compileFile, compileOptions, type Finished } from "../source/frontend.js";
import { madeInputs } from "../run/inputs.js";
import { expectWeights } from "../source/model-file.js";
import { out, outJson, Progress, say } from "../terminal/terminal.js";
import { tuningsOn } from "../source/tunings.js";
import { percent } from "../terminal/units.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";
import { expectNone } from "../tree/usage.js";

type VerifyFlags = Flags<typeof runningCommands.verify>;

/** Hooks for tests, which inject faults. */
export interface VerifyTrial {
  readonly passes?: readonly Pass[];
  readonly amend?: (program: Program) => Program;
}

/** Default sequences and tokens: enough for every tile, and for a prefix that ends before the last token. */
const USUAL = { batch: 3, tokens: 64 } as const;
/** Default number of windows of the text of `--data`. */
const USUAL_WINDOWS = 16;

/** Options of the text that a model is tried on, and all that a fault's file says itself. */
const OF_TEXTS = ["tokenizer", "field", "validation", "windows"] as const;
const OF_MODELS = [
  ...(["weights", "batch", "length", "at", "data", "output", "loopCaches", "latent", "seed", "set", "model"] as const),
  ...OF_TEXTS,
] as const;

export async function verify(opened: OpenedModel, flags: VerifyFlags, trial: VerifyTrial = {}): Promise<ExitCode> {
  const isFault = opened.kind === "program";
  if (isFault) expectNone(flags, OF_MODELS, "on a saved fault, which contains all of it");
  if (flags.data === undefined) expectNone(flags, OF_TEXTS, "without --data");
  const compiled = isFault ? null : await compileFile(opened, { ...flags, phase: "infer" });
  if (compiled) await opened.weights?.fitted(compiled.program);
  if (compiled && flags.data !== undefined) await expectEvaluable(opened, { ...flags, data: flags.data });
  const device = await openDevice({ ...wantedDevice(flags), spare: false });
  const tell = new Telling(flags);
  try {
    const machine: Machine = { device, tunings: tuningsOn(device, flags) ?? undefined, amend: trial.amend };
    if (!compiled) return await verifyAgain(opened.path, machine, tell);
    const model = await verified(opened, flags, compiled, machine, trial);
    say(`${model.name} on ${device.info.name}, ${printExtents(model.extents)}`);
    const holds = await verifyModel(model.subject, tell);
    if (holds) await verifySteps(opened, flags, model, device, tell);
    if (flags.data !== undefined) await tellOfText(opened, { ...flags, data: flags.data }, model, tell);
    return tell.end(model.name, device);
  } finally {
    tell.clear();
    device.destroy();
  }
}

interface Verified {
  readonly name: string;
  readonly subject: VerifyTarget;
  readonly extents: ReadonlyMap<string, number>;
  readonly weights: Weights;
}

/** The model under its rules, with weights and inputs. */
async function verified(
  opened: OpenedModel,
  flags: VerifyFlags,
  compiled: Finished,
  machine: Machine,
  trial: VerifyTrial,
): Promise<Verified> {
  const { program, model, graph, sources } = compiled;
  const seed = flags.seed ?? 0;
  const weights =
    opened.weights === null
      ? nonDegenerateWeights(program.weights, seed)
      : await readWeights({ program, weights: opened.weights, seed });
  expectWeights(opened);
  if (opened.weights === null)
    say(
      `note: no --weights: they are random, from seed ${seed}, so that every part of the model affects its ` +
        "results",
    );
  const axes = parseAxes(program);
  const open = chosenExtents(axes, flags, USUAL.tokens);
  const extents = flags.batch === undefined ? withBatch(axes, open) : open;
  const live = checkLive(program, undefined, null);
  const tooLarge = roomFor(compiled.forTarget(machine.device.target, machine.tunings), machine.device.info.limits, {
    extents,
    lengths: new Map(),
    live,
  });
  if (tooLarge) throw tooLarge;
  return {
    name: model.name,
    extents,
    weights,
    subject: {
      rules: await rulesOf(opened, flags, lower(model), graph),
      machine,
      weights,
      place: placer(sources),
      ...(trial.passes ? { passes: trial.passes } : {}),
      inputs: (draw, unequal) => {
        const { inputs } = madeInputs(program, { extents, lengths: new Map(), live }, draw);
        return { inputs, lengths: unequal ? unequalLengths(axes, extents) : null };
      },
    },
  };
}

const withBatch = (axes: readonly Axis[], extents: ReadonlyMap<string, number>): ReadonlyMap<string, number> =>
  new Map(
    [...extents].map(([name, n]) => [name, axes.some((a) => a.name === name && a.role === "batch") ? USUAL.batch : n]),
  );

/** Unequal lengths along each sequence axis: the longest, and shorter ones; null for a model without sequences. */
function unequalLengths(axes: readonly Axis[], extents: ReadonlyMap<string, number>): Lengths | null {
  const batch = axes.find((a) => a.role === "batch");
  const along = sequenceAxes(axes);
  if (!batch || along.length === 0) return null;
  const lengths = (longest: number, factor: number): readonly number[] =>
    Array.from({ length: extents.get(batch.name)! }, (_, b) => Math.max(1, Math.floor(longest / (1 + b * factor))));
  const [only, ...others] = along;
  if (others.length === 0) return lengths(extents.get(only!)!, 0.5);
  return Object.fromEntries(along.map((axis, i) => [axis, lengths(extents.get(axis)!, 0.5 / (i + 1))]));
}

/** The model's graphs under both rules; a single graph if they are equal, or if the model has only one rule. */
async function rulesOf(
  { source, read }: OpenedModel,
  flags: VerifyFlags,
  top: Graph,
  optimized: Graph,
): Promise<readonly RuleGraph[]> {
  const { set = {}, model: name } = flags;
  const { model, diagnostics } = checkAs(source, { program: "step", set, read, model: name });
  if (!model) {
    say(
      "note: the model has no causal rule: " +
        (diagnostics.find((d) => d.severity === "error")?.message ?? "it does not compile for phase generate"),
    );
    return [{ rule: "top-k", graph: top }];
  }
  const graphs = graphsOf(model);
  const causal = graphs.lowered();
  const text = (graph: Graph): string => printGraph(graph, { place: null });
  const same = text(graphs.optimized("infer")) === text(optimized);
  return same
    ? [{ rule: "causal", graph: causal }]
    : [
        { rule: "causal", graph: causal },
        { rule: "top-k", graph: top },
      ];
}

/** Checks generation with caches, if the model can generate. */
async function verifySteps(
  opened: OpenedModel,
  flags: VerifyFlags,
  { subject, extents, weights }: Verified,
  device: Device,
  tell: Telling,
): Promise<void> {
  const causal = subject.rules.find((r) => r.rule === "causal");
  if (!causal) return tell.onFinding(finding("steps", null, "skipped", "generation steps need the causal rule"));
  tell.onProgress("prompts and steps");
  let compiled;
  try {
    compiled = compileGeneration(opened.source.text, {
      ...compileOptions(opened, { ...flags, phase: "generate" }),
      target: device.target,
      ...(flags.loopCaches && { loopCaches: flags.loopCaches }),
      ...(flags.latent && { latent: flags.latent }),
    });
  } catch (fault) {
    if (!(fault instanceof GenerationError) || flags.loopCaches === "last") throw fault;
    return tell.onFinding(finding("steps", "causal", "skipped", fault.message));
  }
  const { generation } = compiled;
  if (!generation) return;
  const plain = await loadGraph(subject.machine, optimize(causal.graph), weights);
  try {
    const longest = Math.min(extents.get(generation.tokenAxis) ?? USUAL.tokens, generation.context ?? Infinity);
    const { inputs } = subject.inputs(4, false);
    const { shape, data } = inputs.get(generation.input)!;
    const prompts = PROMPTS.map((part, b) =>
      Array.from(data)
        .slice((b % shape[0]!) * shape[1]!)
        .slice(0, Math.max(1, Math.floor(longest * part))),
    );
    const tokens = Math.max(1, Math.min(24, Math.floor(longest / 3)));
    const further = furtherInputs(generation, inputs, { extents, prompts: PROMPTS.length });
    const of = { machine: subject.machine, generation, weights, whole: plain, prompts, tokens, ...further };
    const steps = (added: number): string =>
      `prompts of ${prompts.map((p) => p.length).join(", ")} tokens and ${added} steps`;
    if (generation.loopCaches) return tell.onFinding(approximateSteps(await measureSteps(of), steps));
    const { tokens: added, difference, faults } = await checkSteps(of);
    const text = steps(added);
    tell.onFinding(
      faults.length === 0
        ? finding(
            "steps",
            "causal",
            "holds",
            `${text} equal the whole sequence: log-probabilities differ by at most ` + difference.toExponential(1),
          )
        : finding(
            "steps",
            "causal",
            "fails",
            `${text} differ from the whole sequence in ${faults.length} places: ${faults[0]!}`,
          ),
    );
  } finally {
    plain.dispose();
  }
}

/** Lengths of prompts as shares of the longest text: one token, a chunk, more than a chunk. */
const PROMPTS = [0, 0.1, 0.5] as const;

/**
 * Reports the loss of both rules on a text, and their agreement. `--batch` and `--length` apply to the random inputs,
 * not to the text.
 */
async function tellOfText(
  opened: OpenedModel,
  { batch: _batch, length: _length, ...flags }: EvaluationFlags,
  { subject }: Verified,
  tell: Telling,
): Promise<void> {
  const agreement = new Agreement(new Set(subject.rules.flatMap(({ graph }) => routesOfTokens(graph))));
  const evaluated = await evaluateRules(
    opened,
    { ...flags, windows: flags.windows ?? USUAL_WINDOWS },
    agreement.observe,
  );
  for (const { path, agrees, recall, top, causal } of agreement.layers())
    tell.onFinding(
      finding(
        "agreement",
        null,
        "told",
        `${path}: both rules agree on ${percent(agrees, 1)} of the tokens; top-k computes ${percent(top, 1)}, ` +
          `of which the predictor finds ${percent(recall, 1)}; the predictor computes ${percent(causal, 1)}`,
      ),
    );
  for (const [rule, { loss, tokens }] of evaluated.rules)
    tell.onFinding(
      finding(
        "perplexity",
        subject.rules.length > 1 ? rule : null,
        "told",
        `perplexity ${Math.exp(loss).toPrecision(4)}${byRule(rule, evaluated.model.run)}, on ${tokens} tokens`,
      ),
    );
}

/** Runs a reproduction file of an earlier run. */
async function verifyAgain(file: string, machine: Machine, tell: Telling): Promise<ExitCode> {
  const reproduction = parseReproduction(readText(file));
  const difference = await checkReproduction(machine, reproduction, usualPasses);
  const { kind, name } = reproduction.fault;
  const text =
    difference === null
      ? `the ${kind} ${name} agrees with the reference`
      : `the ${kind} ${name} still differs: ${difference}`;
  const check = kind === "pass" ? "passes" : "operators";
  tell.onFinding(finding(check, null, difference === null ? "holds" : "fails", text));
  return tell.end(reproduction.graph.name, machine.device);
}

/** The file of the first fault, if no other is named. */
const USUAL_OUTPUT = "modc-fault.json";

/** Prints findings as they arrive, or all at the end as JSON; writes the reproduction file of the first fault. */
class Telling {
  readonly #findings: Finding[] = [];
  readonly #progress = new Progress();

  constructor(readonly flags: VerifyFlags) {}

  onFinding(finding: Finding): void {
    this.clear();
    this.#findings.push(finding);
    if (!this.flags.json) out(lineOf(finding));
    if (!finding.fault) return;
    const path = this.flags.output ?? USUAL_OUTPUT;
    if (existsSync(path)) expectOfKind("fault", path);
    writeText(path, finding.fault.reproduction);
    say(`${path} has the smallest case that shows the fault; run it again: modc verify ${path}`);
  }
  onProgress(stage: string, detail?: string): void {
    this.#progress.report(stage, detail);
  }
  clear(): void {
    this.#progress.clear();
  }
  end(model: string, { info }: Device): ExitCode {
    this.clear();
    const holds = this.#findings.every((f) => f.state !== "fails");
    if (this.flags.json)
      outJson({
        model,
        device: { name: info.name, software: info.software },
        holds,
        findings: this.#findings.map(({ fault, ...rest }) => ({
          ...rest,
          fault: fault === null ? null : { kind: fault.kind, name: fault.name, place: fault.place },
        })),
      });
    else out(holds ? "everything holds" : "something is wrong");
    return holds ? EXIT.fine : EXIT.check;
  }
}

const MARKS: Readonly<Record<Finding["state"], string>> = {
  holds: "holds  ",
  fails: "FAILS  ",
  told: "note   ",
  skipped: "skipped",
};

const lineOf = ({ state, check: what, rule, text, fault }: Finding): string =>
  `${MARKS[state]}  ${what.padEnd(10)}  ${(rule ?? "").padEnd(6)}  ${text}${fault?.place ? ` (${fault.place})` : ""}`;

/** `moby.mod:3:4` */
const placer =
  (sources: readonly SourceFile[]) =>
  ({ file, start }: Span): string => {
    const { line, column } = lineAndColumn(sources.find((s) => s.file === file)?.text ?? "", start);
    return `${file}:${line}:${column}`;
  };

/**
 * The finding on steps whose caches are an approximation by design. `steps`: what was generated, in words, from the
 * number of tokens.
 */
function approximateSteps(measured: StepsApart, steps: (tokens: number) => string): Finding {
  const { tokens, isExactBehindPrompts, faults, greedy, likeliest, behindPrompts, largest, mean } = measured;
  const cost =
    `with ${steps(tokens)} log-probabilities differ by ${behindPrompts.toExponential(1)} at most after a prompt, ` +
    `later by ${mean.toExponential(1)} on average and ${largest.toExponential(1)} at most; of ${greedy} greedy ` +
    `tokens the whole sequence ranks ${percent(likeliest, greedy)} first`;
  if (faults.length > 0)
    return finding(
      "steps",
      "causal",
      "fails",
      `${steps(tokens)} differ from the whole sequence in ${faults.length} places: ${faults[0]!}`,
    );
  return isExactBehindPrompts
    ? finding(
        "steps",
        "causal",
        "holds",
        "the first token after a prompt equals the whole sequence's; later tokens need not, because caches " +
          `of the last loop alone are an approximation: ${cost}`,
      )
    : finding(
        "steps",
        "causal",
        "told",
        "generation need not equal the whole sequence: caches of the last loop alone are an " +
          `approximation; ${cost}`,
      );
}
