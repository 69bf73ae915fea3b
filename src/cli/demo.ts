// What `npm start` shows: a Mixture-of-Depths model compiled, run on a passage of Moby-Dick, held against the reference, its routes drawn.
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ledger } from "../cost/ledger.js";
import { EXIT, judge, type ExitCode } from "./exit.js";
import { runOnDevice, type Job } from "./execute.js";
import { compileFile, type Finished } from "./frontend.js";
import { readInputs } from "./inputs.js";
import { verdictText } from "./commands/run.js";
import { showRun } from "./show.js";
import { columns, error, handleStreams, out, Progress } from "./terminal.js";
import { verifyRun } from "./verify.js";

const example = (name: string): string => relative(process.cwd(), fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url)));

/** Prints as it goes; the exit code, which is 0 only where device and reference agree. */
export async function demo(): Promise<ExitCode> {
  handleStreams();
  try {
    return await show(example("moby.mod"), example("moby-dick.txt"), example("moby.safetensors"));
  } catch (fault) {
    const { exit, message, hint } = judge(fault);
    if (message !== null) error(message, hint);
    return exit;
  }
}

async function show(file: string, passage: string, weights: string): Promise<ExitCode> {
  await import("../compile.js"); // loading the compiler is not compiling
  const started = performance.now();
  const compiled = await compileFile(file, {});
  const compileMs = performance.now() - started;
  const job: Job = {
    program: compiled.program,
    forTarget: compiled.forTarget,
    given: await readInputs(compiled.program, { text: [`@${passage}`] }),
    weights,
    live: {},
    seed: 0,
    progress: new Progress(),
  };
  out(`${describe(file, compiled, compileMs)}\n`);
  const ran = performance.now();
  const { values, device } = await runOnDevice(job, null);
  out(`${passage}, run on ${device.name} in ${Math.round(performance.now() - ran)} ms, kernels compiled and ${weights} loaded, which \`modc train\` made\n`);
  out(showRun(compiled.program, job.given, values, columns()));
  const verdict = await verifyRun(job, compiled.graph, values);
  out(`\n${verdictText(verdict)}\n\n${saved(compiled, job)}`);
  return verdict.agrees ? EXIT.fine : EXIT.check;
}

function describe(file: string, { program, model }: Finished, ms: number): string {
  const numbers = program.weights.reduce((sum, w) => sum + w.shape.reduce((n, d) => n * d, 1), 0);
  const routed = model.instances.filter((i) => i.block === "MoD").length;
  return [
    `${file} compiled in ${Math.round(ms)} ms`,
    `  model    ${program.model}(${program.parameters.map((p) => `${p.name}: ${p.value}`).join(", ")})`,
    `  weights  ${program.weights.length}, ${numbers.toLocaleString("en")} numbers; ${routed} Mixture-of-Depths layers`,
    `  program  ${program.steps.length} steps of ${program.kernels.length} kernels, for any batch and length up to the context`,
  ].join("\n");
}

function saved({ graph, model }: Finished, { given }: Job): string {
  const { total } = ledger(graph, model, { extents: given.extents });
  const percent = (of: (work: typeof total.executed) => number): string => `${((100 * of(total.executed)) / of(total.dense)).toFixed(1)}%`;
  return `cost: ${percent((w) => w.flops)} of the operations and ${percent((w) => w.cache)} of the cache of the same model with nothing skipped`;
}
