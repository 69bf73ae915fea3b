// `modc build`: a model and its weights as a package that runs in Node and in any page, without the compiler.
import { basename } from "node:path";
import { buildPackage } from "../../build/package.js";
import { FolderError, writeFolder } from "../../build/folder-node.js";
import { runtimeFiles, tokenizerFiles } from "../../bundled.js";
import { formatBytes } from "../../runtime/errors.js";
import { openWeights } from "../../runtime/node.js";
import type { Generation } from "../../program/generation.js";
import type { TuningsFile } from "../../schedule/tunings/file.js";
import { bytesOf } from "../arguments.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { compileFile, compileOptions, type ModelFlags, type PrecisionFlags } from "../frontend.js";
import { readModel, withFolder } from "../model-file.js";
import { packageText } from "../package-text.js";
import { out, outJson, Progress, say } from "../terminal.js";
import { readTunings, type TuningsFlags } from "../tunings.js";
import { modcVersion } from "../version.js";

export interface BuildFlags extends ModelFlags, PrecisionFlags, TuningsFlags {
  readonly weights?: string;
  readonly tokenizer?: string;
  readonly output: string;
  readonly shard?: string;
  readonly name?: string;
  readonly json?: boolean;
}

const SHARD_BYTES = 16 * 1024 * 1024;
const LEAST_SHARD_BYTES = 1024;

export async function build(file: string, given: BuildFlags): Promise<ExitCode> {
  const flags = withFolder(file, given);
  if (flags.weights === undefined)
    throw new UserError("--weights is missing: a package holds a model's weights", "`modc init` writes untrained ones", EXIT.usage);
  const shardBytes = flags.shard === undefined ? SHARD_BYTES : bytesOf("--shard", flags.shard);
  if (shardBytes < LEAST_SHARD_BYTES) throw new UserError(`--shard ${flags.shard!}: a shard has at least ${LEAST_SHARD_BYTES} bytes`, null, EXIT.usage);
  const compiled = await compileFile(file, flags);
  const tunings = flags.tunings === undefined || flags.tunings === "none" ? null : readTunings(flags.tunings);
  const run = tunings ? compiled.forTarget(tunings.target, tunings.tunings) : compiled.program;
  const name = flags.name ?? packageName(run.model);
  if (!NPM_NAME.test(name))
    throw new UserError(
      `--name ${JSON.stringify(name)} is no name of a package`,
      "write letters, digits and dashes, such as my-model or @me/my-model",
      EXIT.usage,
    );
  const generation = await generationOf(file, flags, tunings);
  if (typeof generation === "string") say(`note: the package runs the model, but does not generate: ${generation}`);
  const programs = { run, generation: typeof generation === "string" ? null : generation };
  const text = await packageText(file, flags.tokenizer);
  const progress = new Progress();
  const weights = await openWeights(flags.weights);
  try {
    const input = {
      name,
      source: basename(file),
      programs,
      weights,
      ...text,
      runtime: runtimeFiles,
      tokenizerRuntime: tokenizerFiles,
      version: modcVersion(),
      shardBytes,
    };
    const manifest = await writeFolder(flags.output, (write) =>
      buildPackage(input, write, (done, total) => progress.report("writing weights", `${done}/${total}`)),
    );
    progress.clear();
    const bytes = manifest.files.reduce((sum, f) => sum + f.bytes, 0);
    const [generates, shards] = [programs.generation !== null, manifest.shards];
    if (flags.json) outJson({ output: flags.output, name, model: manifest.model, phase: run.phase, generates, files: manifest.files, shards, bytes });
    else
      out(
        `${flags.output}: package ${name} of ${manifest.model}, ${generates ? `runs (${run.phase}) and generates` : `runs (${run.phase})`}: ${manifest.files.length + 1} files, ${formatBytes(bytes)}, weights in ${shards.length} shard${shards.length === 1 ? "" : "s"}`,
      );
    return EXIT.fine;
  } catch (fault) {
    throw fault instanceof FolderError ? new UserError(fault.message, fault.hint) : fault;
  } finally {
    progress.clear();
    await weights.close();
  }
}

/** The programs that generate; or why the model has none. */
async function generationOf(file: string, flags: BuildFlags, tunings: TuningsFile | null): Promise<Generation | string> {
  if (flags.enter === "objective") return "it enters the objective";
  const { compileGeneration, GenerationError } = await import("../../compile-generation.js");
  const { enter: _, ...own } = flags;
  const source = await readModel(file);
  const options = { ...compileOptions(file, { ...own, phase: "generate" }), precision: flags.precision ?? "f32", ...(tunings && { tunings }) };
  try {
    const { generation, diagnostics } = compileGeneration(source.text, options);
    return generation ?? diagnostics.find((d) => d.severity === "error")?.message ?? "it does not compile for phase generate";
  } catch (fault) {
    if (fault instanceof GenerationError) return fault.message;
    throw fault;
  }
}

const NPM_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]{0,213}$/;

/** `MobyDick` → `moby-dick` */
const packageName = (model: string): string =>
  model
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
