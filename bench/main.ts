// Measures modc beside its peers and writes results.md, results.svg and results.json.
import { loadavg } from "node:os";
import { chart } from "./chart.js";
import { chosenCases, measureFirstRuns, measureGroup, say } from "./measure.js";
import { measureFirstTokens } from "./first/measure.js";
import { joinParts, processorName, readParts, valuesOf, writeParts, type Circumstances, type Part } from "./kept.js";
import { readOptions, usage, type Options } from "./options.js";
import { PeakMeter } from "./peak.js";
import { chosenGeneration, measureGeneration } from "./generating/measure.js";
import { killAll } from "./process.js";
import { replaceFile } from "./replace-file.js";
import { report } from "./report.js";
import { chosenTraining, measureTraining } from "./training/measure.js";

/** Of these the first run is measured. */
const FIRST = ["dense-512", "mod-512"];

async function main(options: Options): Promise<void> {
  say("the peak of the device");
  const meter = await PeakMeter.open();
  const { driver, name } = meter.device.info;
  const device = driver || name;
  /** The parts of this run. */
  let parts: readonly Part[] = [];
  const shown = (): string => report(parts, options);
  stopOnSignals(options, () => (parts.length > 0 ? shown() : ""));

  /** Measures, and keeps what was measured: what a later interrupt finds is complete. */
  async function part(measure: () => Promise<readonly Omit<Part, "at">[]>): Promise<void> {
    const [began, before] = [Date.now(), loadavg()[0]!];
    const measured = await measure();
    const at: Circumstances = {
      date: new Date(began).toISOString(),
      minutes: (Date.now() - began) / 60_000,
      load: [before, loadavg()[0]!],
      device,
      processor: processorName(),
      peak: meter.best,
    };
    parts = joinParts(
      parts,
      measured.map((m) => ({ ...m, at }) as Part), // section and value of each belong together
    );
    if (options.keep) writeParts(joinParts(readParts(), parts));
  }

  const groups = chosenCases(options);
  const withFirst = options.only === null || options.only.startsWith("first");
  const models = chosenTraining(options);
  const generators = chosenGeneration(options);
  if (groups.length + models.length + generators.length === 0 && !withFirst)
    throw new Error(`--only ${options.only}: nothing has a name that begins so`);
  for (const [i, group] of groups.entries()) {
    say(`group ${i + 1} of ${groups.length}`);
    await part(async () =>
      (await measureGroup(group, options, meter)).map((value) => ({ section: "blocks", id: value.case.id, value })),
    );
  }
  if (withFirst)
    for (const id of FIRST)
      await part(async () => [{ section: "first", id, value: await measureFirstRuns(id, options, meter) }]);
  if (withFirst)
    await part(async () => [{ section: "tokens", id: "tokens", value: await measureFirstTokens(options) }]);
  for (const model of models)
    await part(async () =>
      (await measureTraining(model, options, meter)).map((value) => ({
        section: "training",
        id: value.case.id,
        value,
      })),
    );
  for (const group of generators)
    await part(async () =>
      (await measureGeneration(group, options)).map((value) => ({ section: "generation", id: value.case.id, value })),
    );
  meter.close();
  process.stdout.write(shown());
  if (options.keep) writeReport(options);
}

/** Writes results.md and results.svg from all that results.json keeps. */
function writeReport(options: Options): void {
  const kept = readParts();
  replaceFile("results.md", report(kept, { ...options, only: null }));
  replaceFile("results.svg", chart(valuesOf(kept, "blocks")));
  say("wrote bench/results.md, bench/results.svg and bench/results.json");
}

/** Prints the parts that are measured. If they are kept, they are in the files too. */
function stopOnSignals(options: Options, soFar: () => string): void {
  const stop = (signal: NodeJS.Signals): void => {
    killAll();
    const text = soFar();
    process.stdout.write(text);
    const kept = options.keep && text !== "";
    if (kept) writeReport(options);
    const left = kept ? "has the parts that were measured" : "is as it was";
    process.stderr.write(`bench: stopped by ${signal}; results.md ${left}\n`);
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
}

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
