// Measures modc beside its peers and writes results.md and results.svg.
import { loadavg } from "node:os";
import { chart } from "./chart.js";
import { chosenCases, measureFirstRuns, measureGroup, say, type FirstRuns, type Measured } from "./measure.js";
import { measureFirstTokens, type FirstTokens } from "./first/measure.js";
import { readOptions, usage, type Options } from "./options.js";
import { PeakMeter } from "./peak.js";
import { chosenGeneration, measureGeneration, type MeasuredGeneration } from "./generating/measure.js";
import { killAll } from "./process.js";
import { replaceFile } from "./replace-file.js";
import { report } from "./report.js";
import { chosenTraining, measureTraining, type MeasuredTraining } from "./training/measure.js";

/** Of these the first run is measured. */
const FIRST = ["dense-512", "mod-512"];

async function main(options: Options): Promise<void> {
  const loadBefore = loadavg()[0]!;
  const date = new Date();
  const measured: Measured[] = [];
  const firstRuns: FirstRuns[] = [];
  const training: MeasuredTraining[] = [];
  const generation: MeasuredGeneration[] = [];
  let firstTokens: FirstTokens | null = null;
  say("the peak of the device");
  const meter = await PeakMeter.open();
  const { driver, name } = meter.device.info;
  const text = (): string =>
    report({
      options,
      peak: meter.best,
      device: driver || name,
      measured,
      firstRuns,
      firstTokens,
      training,
      generation,
      date,
      loadBefore,
    });
  stopOnSignals(() => (measured.length + firstRuns.length + training.length + generation.length > 0 ? text() : ""));

  const groups = chosenCases(options);
  const withFirst = options.only === null || options.only.startsWith("first");
  const models = chosenTraining(options);
  const generators = chosenGeneration(options);
  if (groups.length + models.length + generators.length === 0 && !withFirst)
    throw new Error(`--only ${options.only}: nothing has a name that begins so`);
  for (const [i, group] of groups.entries()) {
    say(`group ${i + 1} of ${groups.length}`);
    measured.push(...(await measureGroup(group, options, meter)));
  }
  if (withFirst) for (const id of FIRST) firstRuns.push(await measureFirstRuns(id, options, meter));
  if (withFirst) firstTokens = await measureFirstTokens(options);
  for (const model of models) training.push(...(await measureTraining(model, options, meter)));
  for (const group of generators) generation.push(...(await measureGeneration(group, options)));
  meter.close();
  process.stdout.write(text());
  if (options.only !== null || options.quick) return;
  replaceFile("results.md", text());
  replaceFile("results.svg", chart(measured));
  say("wrote bench/results.md and bench/results.svg");
}

/** What has been measured is printed, and the files stay as they are. */
function stopOnSignals(soFar: () => string): void {
  const stop = (signal: NodeJS.Signals): void => {
    killAll();
    process.stdout.write(soFar());
    process.stderr.write(`bench: stopped by ${signal}; results.md is as it was\n`);
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
