// The demonstration of `npm start`: compiles a Mixture-of-Depths model, runs it on a passage of Moby-Dick, compares it
// with the reference, draws its routes, and generates text.
import { countOf } from "../../ground/base/collections.js";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ledger } from "../../compiler/cost/ledger.js";
import type { OpenedModel } from "../../models/opened/model.js";
import { closing, openModel } from "../../models/open-node.js";
import { type Device, openDevice } from "../../runtime/index.js";
import { openSession } from "../session/open-node.js";
import type { TextSession } from "../session/session.js";
import type { Verdict } from "../verify/compare.js";
import { wantedDevice } from "./source/device.js";
import { DepthText } from "./terminal/depth.js";
import { end, handleStreams } from "./terminal/ending.js";
import { EXIT, describeError, type ExitCode } from "./terminal/exit.js";
import { runOnDevice, type Job } from "./run/execute.js";
import { compileFile, type Finished } from "./source/frontend.js";
import { oneText } from "./generate/generated.js";
import { summaryLines } from "./generate/generation-summary.js";
import { readInputs } from "./run/inputs.js";
import { io } from "./terminal/io.js";
import { verdictText, verifyRun } from "./run/run.js";
import { showRun } from "./run/show.js";
import { columns, error, out, outPainted, Progress, useColor } from "./terminal/terminal.js";
import { tuningsOn } from "./source/tunings.js";
import { grouped } from "./terminal/units.js";

const example = (name: string): string =>
  relative(process.cwd(), fileURLToPath(new URL(`../../../examples/${name}`, import.meta.url)));

/** Runs the demonstration and ends the process: with exit code 0 only if device and reference agree. */
export async function demo(): Promise<void> {
  handleStreams();
  await end(await shown());
}

async function shown(): Promise<ExitCode> {
  try {
    return await show({
      file: example("moby.mod"),
      passage: example("moby-dick.txt"),
      weights: example("moby.safetensors"),
    });
  } catch (fault) {
    const { exit, message, hint } = describeError(fault);
    error(message, hint);
    return exit;
  }
}

/** Paths of the example's files. */
interface Shown {
  readonly file: string;
  readonly passage: string;
  readonly weights: string;
}

async function show(paths: Shown): Promise<ExitCode> {
  return closing(await openModel(paths.file, { weights: paths.weights }), (model) => run(paths, model));
}

async function run(paths: Shown, model: OpenedModel): Promise<ExitCode> {
  const { file, passage } = paths;
  // Open the device first, so that the model is compiled once, for it. Without a device, the compilation is shown
  // nevertheless.
  const [opened] = await Promise.allSettled([openDevice(wantedDevice({}))]);
  const device = opened.status === "fulfilled" ? opened.value : null;
  await import("../../compiler/compile.js"); // loading the compiler is not compiling
  const started = performance.now();
  const compiled = await compileFile(model, {}, device ? { target: device.target } : {});
  const tunings = device && tuningsOn(device, {});
  const program = tunings ? compiled.forTarget(device.target, tunings) : compiled.program;
  const compileMs = performance.now() - started;
  const job: Job = {
    program,
    forTarget: null,
    given: await readInputs(program, { text: [`@${passage}`] }),
    weights: model.weights,
    live: {},
    seed: 0,
    progress: new Progress(),
  };
  out(`${describe(file, { ...compiled, program }, compileMs)}\n`);
  if (opened.status === "rejected") throw opened.reason;
  try {
    return await runOn(opened.value, job, compiled, paths);
  } finally {
    opened.value.destroy();
  }
}

async function runOn(
  device: Device,
  job: Job,
  compiled: Finished,
  { file, passage, weights }: Shown,
): Promise<ExitCode> {
  const ran = performance.now();
  const { values } = await runOnDevice({ ...job, device }, null);
  const took = Math.round(performance.now() - ran);
  out(
    `the beginning of ${passage}, run on ${device.info.name} in ${took} ms: compiling kernels\n  and loading ` +
      `${weights} (trained by \`modc train\`) included\n`,
  );
  out(showRun(job.program, job.given, values, columns()));
  out(
    "\n  Each line of dots is a routed layer, with how many of the bytes it computes:\n  those with the highest " +
      "router scores. The others skip it.",
  );
  const judged = async (): Promise<Verdict> => {
    const verdict = await verifyRun(job, compiled.graph, values);
    out(
      `\n${verdictText(verdict)}\n  (the reference is the model in 64 bits on the ` +
        `processor)\n\n${saved(compiled, job)}\n`,
    );
    return verdict;
  };
  // While the reference uses one processor, the driver compiles the generation's kernels on others.
  const [verdict, session] = await Promise.all([judged(), openSession(file, { weights, device })]);
  await goOn(session);
  out(whatNext(file, weights));
  return verdict.agrees ? EXIT.fine : EXIT.check;
}

/** The prompt of the demonstration, and the number of tokens (bytes) to generate. */
const [PROMPT, TOKENS] = ["Call me Ishmael", 140] as const;

/** Generates text, with each token shaded by its depth. */
async function goOn(session: TextSession): Promise<void> {
  try {
    const depth = new DepthText(session.generation, useColor(io().stdout));
    const write = (text: string): void => void io().stdout.write(text);
    const where = depth.color ? "the shade of a character shows" : "the digit below a character shows";
    outPainted(
      `generated from ${JSON.stringify(PROMPT)}, where each routed layer chooses by the token alone;\n  ${where} ` +
        `how many layers computed it: ${depth.legend(depth.color)}\n`,
    );
    const shown = oneText(write, depth, Boolean(io().stdout.isTTY), columns());
    const sampling = { temperature: 0.7, topP: 0.9, seed: 1 };
    for await (const event of session.generate(PROMPT, { maxTokens: TOKENS, sampling })) shown.add(event);
    shown.end();
    out(`\n${summaryLines(session.summary!, 1, columns()).join("\n")}`); // the generation has ended
  } finally {
    session.dispose();
  }
}

function describe(file: string, { program, model }: Finished, ms: number): string {
  const numbers = program.weights.reduce((sum, w) => sum + countOf(w.shape), 0);
  const routed = model.instances.filter((i) => i.block === "MoD").length;
  return [
    `${file} compiled in ${Math.round(ms)} ms`,
    `  model    ${program.model}(${program.parameters.map((p) => `${p.name}: ${p.value}`).join(", ")})`,
    `  weights  ${program.weights.length}, ${grouped(numbers)} numbers; ${routed} Mixture-of-Depths layers`,
    `  program  ${program.steps.length} steps of ${program.kernels.length} kernels, for any batch and length up ` +
      "to the context",
  ].join("\n");
}

function saved({ graph, model }: Finished, { given }: Job): string {
  const { total } = ledger(graph, model, { extents: given.extents });
  const percent = (of: (work: typeof total.executed) => number): string =>
    `${((100 * of(total.executed)) / of(total.dense)).toFixed(1)}%`;
  return (
    `cost: ${percent((w) => w.flops)} of the operations and ${percent((w) => w.cache)} of the cache of the same ` +
    "model with nothing skipped"
  );
}

/** Three suggested next commands. */
const whatNext = (file: string, weights: string): string => `
Try next:
  npm run playground
      a page to edit models: pictures, kernels, costs, text, training
  npx modc generate ${file} --weights ${weights} --prompt "The whale" --show-depth
      a prompt of your own
  npx modc run mine.mod --text "Call me"
      a model of your own: see docs/language.md. Hugging Face folders work too`;
