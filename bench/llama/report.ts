// llama.md: modc beside llama.cpp.
import { spreadOf, ratioOf } from "../statistics.js";
import { milliseconds, table } from "../tables.js";
import type { Time, Way } from "./protocol.js";

/** What a way did, round by round. */
export interface Run {
  readonly device: string;
  readonly software: boolean;
  readonly tokens: readonly number[];
  readonly firsts: Time[];
  readonly each: Time[];
}

export interface Measured {
  readonly title: string;
  readonly bytes: number;
  readonly runs: ReadonlyMap<Way, Run>;
  readonly faults: ReadonlyMap<Way, string>;
}

export interface Circumstances {
  readonly date: Date;
  readonly rounds: number;
  readonly prompt: number;
  readonly count: number;
  /** Load average before and after. */
  readonly load: readonly [number, number];
}

const TITLES: Readonly<Record<Way, string>> = {
  modc: "modc",
  cpu: "llama.cpp, processor",
  vulkan: "llama.cpp, Vulkan",
};

export function report(measured: readonly Measured[], { date, rounds, prompt, count, load }: Circumstances): string {
  const devices = new Set(
    measured.flatMap(({ runs }) =>
      [...runs].map(([way, { device }]) => `${TITLES[way]}: ${device.split(", weights")[0]}`),
    ),
  );
  const faults = measured.flatMap(({ title, faults: own }) =>
    [...own].map(([way, fault]) => `- ${title}: ${TITLES[way]} fails: ${fault}`),
  );
  const sections = (["firsts", "each"] as const).map(
    (what) => `## ${what === "firsts" ? `A prompt of ${prompt} tokens, to the first token` : "Each token after it"}

${table(
  HEAD,
  measured.map((m) => rowOf(m, what)),
)}`,
  );
  const day = date.toISOString().slice(0, 10);
  const busy = load[0] > 1 ? " **The machine was busy with other work: these figures are provisional.**" : "";
  return `# modc beside llama.cpp

\`npm run bench -- llama\`, ${day}, llama.cpp as node-llama-cpp ships it.
The same GGUF file each. ${rounds} rounds in which each has its turn, behind a run that compiles: ${prompt} tokens are
read and ${count} added, the likeliest. Load average ${load[0].toFixed(1)} before, ${load[1].toFixed(1)} after.${busy}

${[...devices].map((d) => `- ${d}`).join("\n")}

Milliseconds by the clock, medians, and in brackets those of the processor, all threads together. *Ratio* is the time
of modc over that of llama.cpp, round by round, with the smallest and the largest: above 1, llama.cpp is faster. Where
a processor plays the GPU it is of the processor's time, which other work on the machine does not change, else of the
clock's. *Same tokens*: how many the two have in common before the first that differs; llama.cpp rounds activations to
eight bits where weights are quantized, and keys and values to f16, modc neither.

${[...sections, ...(faults.length > 0 ? [faults.join("\n")] : [])].join("\n\n")}
`;
}

const HEAD = [
  "file",
  "MB",
  "modc",
  "llama.cpp, processor",
  "ratio",
  "same tokens",
  "llama.cpp, Vulkan",
  "ratio",
  "same tokens",
] as const;

function rowOf({ title, bytes, runs }: Measured, what: "firsts" | "each"): readonly string[] {
  const own = runs.get("modc");
  const beside = (["cpu", "vulkan"] as const).flatMap((way) => {
    const run = runs.get(way);
    if (!run) return ["", "", ""];
    return [timeOf(run[what]), own ? ratio(own, run, what) : "", own ? String(common(own, run)) : ""];
  });
  return [title, (bytes / 1e6).toFixed(1), own ? timeOf(own[what]) : "", ...beside];
}

const clock = (times: readonly Time[]): readonly number[] => times.map((t) => t.clock);
const processor = (times: readonly Time[]): readonly number[] => times.map((t) => t.processor);

const timeOf = (times: readonly Time[]): string =>
  `${milliseconds(spreadOf(clock(times)).median)} (${milliseconds(spreadOf(processor(times)).median)})`;

function ratio(own: Run, other: Run, what: "firsts" | "each"): string {
  const by = own.software && other.software ? processor : clock;
  const { median, low, high } = ratioOf(by(own[what]), by(other[what]));
  return `**${median.toFixed(2)}** (${low.toFixed(2)}–${high.toFixed(2)})`;
}

function common({ tokens }: Run, other: Run): number {
  const at = tokens.findIndex((token, i) => token !== other.tokens[i]);
  return at < 0 ? tokens.length : at;
}
