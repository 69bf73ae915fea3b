// Measures modc beside its peers and writes results.md and results.svg.
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { chart } from "./chart.js";
import { chosenCases, measureFirstRuns, measureGroup, say, type FirstRuns, type Measured } from "./measure.js";
import { readOptions, usage, type Options } from "./options.js";
import { PeakMeter } from "./peak.js";
import { report } from "./report.js";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

async function main(options: Options): Promise<void> {
  const loadBefore = loadavg()[0]!;
  say("the peak of the device");
  const meter = await PeakMeter.open();
  const measured: Measured[] = [];
  for (const group of chosenCases(options)) measured.push(...(await measureGroup(group, options, meter)));
  const firstRuns: FirstRuns[] = [];
  if (options.only === null || options.only.startsWith("first"))
    for (const id of ["dense-512", "mod-512"]) firstRuns.push(await measureFirstRuns(id, options, meter));
  const { driver, name } = meter.device.info;
  meter.close();
  const text = report({ options, peak: meter.best, device: driver || name, measured, firstRuns, date: new Date(), loadBefore });
  process.stdout.write(text);
  if (options.only !== null) return;
  writeFileSync(here("results.md"), text);
  writeFileSync(here("results.svg"), chart(measured));
  say("wrote bench/results.md and bench/results.svg");
}

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
