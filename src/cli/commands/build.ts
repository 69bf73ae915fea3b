// `modc build`: a model and its weights as a package that runs in Node and in any page, without the compiler.
import { buildPackage } from "../../build/package.js";
import { FolderError, writeFolder } from "../../build/folder-node.js";
import { runtimeFiles } from "../../bundled.js";
import { formatBytes } from "../../runtime/errors.js";
import { openWeights } from "../../runtime/node.js";
import { bytesOf } from "../arguments.js";
import { EXIT, UserError, type ExitCode } from "../exit.js";
import { compileFile, type ModelFlags, type PrecisionFlags } from "../frontend.js";
import { out, outJson, Progress } from "../terminal.js";
import { readTunings, type TuningsFlags } from "../tunings.js";
import { modcVersion } from "../version.js";

export interface BuildFlags extends ModelFlags, PrecisionFlags, TuningsFlags {
  readonly weights: string;
  readonly output: string;
  readonly shard?: string;
  readonly name?: string;
  readonly json?: boolean;
}

const SHARD_BYTES = 16 * 1024 * 1024;
const LEAST_SHARD_BYTES = 1024;

export async function build(file: string, flags: BuildFlags): Promise<ExitCode> {
  const shardBytes = flags.shard === undefined ? SHARD_BYTES : bytesOf("--shard", flags.shard);
  if (shardBytes < LEAST_SHARD_BYTES) throw new UserError(`--shard ${flags.shard!}: a shard has at least ${LEAST_SHARD_BYTES} bytes`, null, EXIT.usage);
  const compiled = await compileFile(file, flags);
  const tunings = flags.tunings === undefined || flags.tunings === "none" ? null : readTunings(flags.tunings);
  const program = tunings ? compiled.forTarget(tunings.target, tunings.tunings) : compiled.program;
  const name = flags.name ?? packageName(program.model);
  if (!NPM_NAME.test(name))
    throw new UserError(
      `--name ${JSON.stringify(name)} is no name of a package`,
      "write letters, digits and dashes, such as my-model or @me/my-model",
      EXIT.usage,
    );
  const progress = new Progress();
  const weights = await openWeights(flags.weights);
  try {
    const input = {
      name,
      source: file.split(/[\\/]/).at(-1)!,
      programs: new Map([["run", program]]),
      weights,
      runtime: runtimeFiles,
      version: modcVersion(),
      shardBytes,
    };
    const manifest = await writeFolder(flags.output, (write) =>
      buildPackage(input, write, (done, total) => progress.report("writing weights", `${done}/${total}`)),
    );
    progress.clear();
    const bytes = manifest.files.reduce((sum, f) => sum + f.bytes, 0);
    if (flags.json) outJson({ output: flags.output, name, model: manifest.model, phase: program.phase, files: manifest.files, shards: manifest.shards, bytes });
    else
      out(
        `${flags.output}: package ${name} of ${manifest.model}, ${program.phase}: ${manifest.files.length + 1} files, ${formatBytes(bytes)}, weights in ${manifest.shards.length} shard${manifest.shards.length === 1 ? "" : "s"}`,
      );
    return EXIT.fine;
  } catch (fault) {
    throw fault instanceof FolderError ? new UserError(fault.message, fault.hint) : fault;
  } finally {
    progress.clear();
    await weights.close();
  }
}

const NPM_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]{0,213}$/;

/** `MobyDick` → `moby-dick` */
const packageName = (model: string): string =>
  model
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
