// `npm run isoflop`: trains the models not trained yet, then writes isoflop.md and a figure of each comparison.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { replaceFile } from "../replace-file.js";
import { groupsOf, readRun } from "./collect.js";
import { figure } from "./figure.js";
import { keepResult, keepTimes, keptPlan, keptResult, keptTimes } from "./kept.js";
import { COMPARISONS, planRuns, runsOf, type PlannedRun } from "./plan.js";
import { FEW_WINDOWS, isFinished, trainRun, VALIDATION_WINDOWS } from "./run.js";
import { experimentText, FIGURES } from "./table.js";
import { measureSteps } from "./times.js";

/** As Hoffmann et al. 2022 (arXiv 2203.15556) found best. */
const TOKENS_PER_PARAMETER = 20;

const usage = `npm run isoflop -- [--only run] [--list] [--tokens-per-parameter n]
  --only run                 only runs whose name begins with this: variant, size, seed (a, b-0.4, a-0.2-1)
  --list                     train nothing: say what there is to do, and write what is finished
  --times                    train nothing: measure how long steps take, in each comparison that has a chosen run,
                             and write that
  --tokens-per-parameter n   of the dense models (default ${TOKENS_PER_PARAMETER}); another number has
                             folders of its own and writes no files: to see that everything works
Stopped at any moment, it goes on where it was when it is called again. What a run ended with stays in
bench/isoflop/results/, and such a run is not trained again.`;

interface Options {
  readonly only: string;
  readonly list: boolean;
  readonly times: boolean;
  readonly tokensPerParameter: number;
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      list: { type: "boolean" },
      times: { type: "boolean" },
      "tokens-per-parameter": { type: "string" },
    },
  });
  const tokens = Number(values["tokens-per-parameter"] ?? TOKENS_PER_PARAMETER);
  if (!(tokens > 0 && Number.isFinite(tokens))) throw new Error("--tokens-per-parameter: it must be a number above 0");
  return {
    only: values.only ?? "",
    list: values.list ?? false,
    times: values.times ?? false,
    tokensPerParameter: tokens,
  };
}

async function main({ only, list, times, tokensPerParameter }: Options): Promise<void> {
  const say = (text: string): void => void process.stderr.write(`isoflop: ${text}\n`);
  const home = fileURLToPath(new URL(`../.work/isoflop-${tokensPerParameter}/`, import.meta.url));
  const real = tokensPerParameter === TOKENS_PER_PARAMETER;
  const kept = real ? fileURLToPath(new URL("results/", import.meta.url)) : join(home, "results");
  const folderOf = (run: PlannedRun): string => join(home, run.id);
  const all = keptPlan(kept, planRuns(tokensPerParameter), !list);
  const chosen = all.filter((run) => run.id.startsWith(only));
  if (chosen.length === 0)
    throw new Error(`--only ${only}: no run has a name that begins so; there are ${all.map((r) => r.id).join(", ")}`);
  for (const comparison of times ? COMPARISONS : [])
    if (runsOf(comparison, chosen).length > 0)
      keepTimes(kept, comparison.name, await measureSteps(runsOf(comparison, all), say));
  for (const run of chosen) {
    const done = keptResult(kept, run) !== null;
    say(`${run.id}: ${run.steps} steps of ${(run.step / 1e9).toFixed(2)} GFLOP${done ? ", finished" : ""}`);
    if (done) continue;
    if (!list && !times && !isFinished(folderOf(run), run))
      await trainRun(run, { folder: folderOf(run), windows: real ? VALIDATION_WINDOWS : FEW_WINDOWS });
    if (isFinished(folderOf(run), run)) keepResult(kept, await readRun(run, folderOf(run)));
  }
  const results = all.flatMap((run) => keptResult(kept, run) ?? []);
  if (results.length === 0) return;
  const compared = COMPARISONS.map((c) => ({ name: c.name, groups: groupsOf(runsOf(c, all), results) }));
  const text = experimentText(compared, tokensPerParameter, keptTimes(kept));
  process.stdout.write(text);
  if (!real) return;
  replaceFile("isoflop.md", text);
  for (const { name, groups } of compared) replaceFile(FIGURES[name], figure(groups));
  say(`wrote bench/isoflop.md, ${Object.values(FIGURES).join(" and ")}`);
}

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`isoflop: ${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
