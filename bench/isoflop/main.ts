// `npm run isoflop`: trains what is not trained yet, then writes isoflop.md and isoflop.svg of all that is.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { replaceFile } from "../replace-file.js";
import { groupsOf, readRun, type RunResult } from "./collect.js";
import { figure } from "./figure.js";
import { keptPlan } from "./kept-plan.js";
import { planRuns, type PlannedRun } from "./plan.js";
import { FEW_WINDOWS, isFinished, trainRun, VALIDATION_WINDOWS } from "./run.js";
import { experimentText } from "./table.js";

/** As Hoffmann et al. 2022 (arXiv 2203.15556) found best. */
const TOKENS_PER_PARAMETER = 20;

const usage = `npm run isoflop -- [--only run] [--list] [--tokens-per-parameter n]
  --only run                 only runs whose name begins with this: variant, size, seed (a, b-0.4, a-0.2-1)
  --list                     train nothing: say what there is to do, and write what is finished
  --tokens-per-parameter n   of the dense models (default ${TOKENS_PER_PARAMETER}); another number has folders of its own and writes no files: to see that everything works
Stopped at any moment, it goes on where it was when it is called again.`;

interface Options {
  readonly only: string;
  readonly list: boolean;
  readonly tokensPerParameter: number;
}

function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: { only: { type: "string" }, list: { type: "boolean" }, "tokens-per-parameter": { type: "string" } },
  });
  const tokens = Number(values["tokens-per-parameter"] ?? TOKENS_PER_PARAMETER);
  if (!(tokens > 0 && Number.isFinite(tokens))) throw new Error("--tokens-per-parameter: it must be a number above 0");
  return { only: values.only ?? "", list: values.list ?? false, tokensPerParameter: tokens };
}

async function main({ only, list, tokensPerParameter }: Options): Promise<void> {
  const say = (text: string): void => void process.stderr.write(`isoflop: ${text}\n`);
  const home = fileURLToPath(new URL(`../.work/isoflop-${tokensPerParameter}/`, import.meta.url));
  const folderOf = (run: PlannedRun): string => join(home, run.id);
  const all = keptPlan(home, planRuns(tokensPerParameter), !list);
  const chosen = all.filter((run) => run.id.startsWith(only));
  if (chosen.length === 0) throw new Error(`--only ${only}: no run has a name that begins so; there are ${all.map((r) => r.id).join(", ")}`);
  for (const run of chosen) {
    const finished = isFinished(folderOf(run), run);
    say(`${run.id}: ${run.steps} steps of ${(run.step / 1e9).toFixed(2)} GFLOP${finished ? ", finished" : ""}`);
    if (!finished && !list)
      await trainRun(run, { folder: folderOf(run), windows: tokensPerParameter === TOKENS_PER_PARAMETER ? VALIDATION_WINDOWS : FEW_WINDOWS });
  }
  const results: RunResult[] = [];
  for (const run of all) if (isFinished(folderOf(run), run)) results.push(await readRun(run, folderOf(run)));
  if (results.length === 0) return;
  const groups = groupsOf(all, results);
  const text = experimentText(groups, tokensPerParameter);
  process.stdout.write(text);
  if (tokensPerParameter !== TOKENS_PER_PARAMETER) return;
  replaceFile("isoflop.md", text);
  replaceFile("isoflop.svg", figure(groups));
  say("wrote bench/isoflop.md and bench/isoflop.svg");
}

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`isoflop: ${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
  process.exitCode = 1;
}
