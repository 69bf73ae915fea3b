// `modc build`: a model and its weights as a package that runs in Node and in any page, without the compiler.
import { basename } from "node:path";
import { buildPackage, type PackageInput, type WriteFile } from "../../build/package.js";
import type { Manifest } from "../../../generation/packaged/manifest.js";
import { earlierBuild } from "../../build/earlier-build-node.js";
import { writeFolder } from "../../build/folder-node.js";
import { keptName } from "../../build/package-json.js";
import { writeText } from "../source/files.js";
import { pageText } from "../../build/page.js";
import {
  engineFiles,
  pageFiles,
  packersPart,
  runtimeFiles,
  tokenizerFiles,
  workerFiles,
} from "../../../ground/bundled.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { formatBytes } from "../../../runtime/device/errors.js";
import { mapPrograms, takesInputs, type Generation } from "../../../runtime/program/generation.js";
import { namedFrom } from "../../../runtime/program/origins.js";
import type { Program } from "../../../runtime/program/program.js";
import type { TuningsFile } from "../../../compiler/schedule/tunings/file.js";
import { EXIT, UserError, type ExitCode, misuse } from "../terminal/exit.js";
import { compileFile, compileOptions, precisionOf } from "../source/frontend.js";
import { out, outJson, Progress, say } from "../terminal/terminal.js";
import { readTunings } from "../source/tunings.js";
import { modcVersion } from "../tree/version.js";
import type { Flags } from "../tree/declare.js";
import type { weightCommands } from "../tree/weights.js";
import { expectText } from "./tokenizer-texts.js";
import { NO_DEFAULTS, type Defaults, type TokenizerTexts } from "../../../generation/packaged/text.js";

type BuildFlags = Flags<typeof weightCommands.build>;

const SHARD_BYTES = 16 * 1024 * 1024;
const LEAST_SHARD_BYTES = 1024;

export async function build(opened: OpenedModel, flags: BuildFlags): Promise<ExitCode> {
  if (flags.output === undefined && flags.singleFile === undefined)
    throw misuse(
      "there is nothing to write",
      "give -o <folder> for a package, or --single-file <page.html> for a page that works from disk",
    );
  if (flags.singleFile !== undefined && flags.maxBatch !== undefined)
    throw misuse(
      "--max-batch is for several callers, but the page of --single-file has one",
      "build the page separately, without --max-batch",
    );
  const { source } = opened; // a fault of the source is reported before weights that it lacks
  if (opened.weights === null)
    throw misuse(
      "--weights is missing: a package contains the model's weights",
      "give --weights; `modc init` writes untrained ones",
    );
  const shardBytes = flags.shard ?? SHARD_BYTES;
  if (shardBytes < LEAST_SHARD_BYTES)
    throw misuse(`--shard ${flags.shard!}: a shard has at least ${LEAST_SHARD_BYTES} bytes`);
  if (flags.version !== undefined && !VERSION.test(flags.version))
    throw misuse(`--version ${JSON.stringify(flags.version)} is not a version`, "write three numbers, such as 1.2.0");
  const earlier = flags.output === undefined ? null : await earlierBuild(flags.output);
  const compiled = await compileFile(opened, flags);
  const measured = flags.tunings === undefined || flags.tunings === "none" ? null : readTunings(flags.tunings);
  // The runtime of a package has no textures.
  const tunings = measured && { ...measured, target: { ...measured.target, textures: false } };
  const run = tunings ? compiled.forTarget(tunings.target, tunings.tunings) : compiled.program;
  const name = flags.name ?? keptName(earlier?.package ?? null, packageName) ?? packageName(run.model);
  if (!NPM_NAME.test(name))
    throw misuse(
      `--name ${JSON.stringify(name)} is not a valid package name`,
      "write letters, digits and dashes, such as my-model or @me/my-model",
    );
  const generation = await generationOf(opened, flags, tunings);
  if (typeof generation === "string") {
    if (flags.maxBatch !== undefined)
      throw new UserError(`--max-batch: the model does not generate: ${generation}`, "leave out --max-batch");
    say(`note: the package runs the model, but does not generate: ${generation}`);
  }
  const named = (program: Program): Program => namedFrom(program, source.file);
  const programs = {
    run: named(run),
    generation: typeof generation === "string" ? null : mapPrograms(generation, named),
    ...(flags.maxBatch !== undefined && { maxBatch: flags.maxBatch }),
  };
  const text = await packageText(opened, flags.chatTemplate);
  if (typeof generation !== "string" && text.vocabulary > generation.vocabulary)
    say(
      `warning: the tokenizer has ${text.vocabulary} tokens, the model ${generation.vocabulary}: is it ` +
        "another model's?",
    );
  if (flags.singleFile !== undefined) expectPage(generation, text);
  const progress = new Progress();
  const weights = await opened.weights.source();
  try {
    const input = {
      name,
      packageVersion: flags.version ?? null,
      earlier: earlier?.package ?? null,
      source: basename(source.file),
      programs,
      weights,
      ...text,
      runtime: runtimeFiles,
      tokenizerRuntime: tokenizerFiles,
      engineRuntime: engineFiles,
      workerRuntime: workerFiles,
      packersPart,
      version: modcVersion(),
      shardBytes,
    };
    const built = (write: WriteFile): Promise<Manifest> =>
      buildPackage(input, write, (done, total) => progress.report("writing weights", `${done}/${total}`));
    const pageBytes = flags.singleFile === undefined ? 0 : await writePage(flags.singleFile, input, built);
    const manifest =
      earlier === null ? null : await writeFolder(flags.output!, earlier.files, ({ write }) => built(write));
    progress.clear();
    const bytes = manifest === null ? 0 : manifest.files.reduce((sum, f) => sum + f.bytes, 0);
    const [generates, shards, page] = [programs.generation !== null, manifest?.shards ?? [], flags.singleFile ?? null];
    if (flags.json)
      outJson({
        output: flags.output ?? null,
        page,
        name,
        model: run.model,
        phase: run.phase,
        generates,
        files: manifest?.files ?? [],
        shards,
        bytes,
      });
    else {
      if (manifest !== null)
        out(
          `${flags.output!}: package ${name} of ${run.model}, ` +
            `${generates ? `runs (${run.phase}) and generates` : `runs (${run.phase})`}: ` +
            `${manifest.files.length + 1} files, ${formatBytes(bytes)}, weights in ${shards.length} ` +
            `shard${shards.length === 1 ? "" : "s"}`,
        );
      if (page !== null)
        out(`${page}: a page that continues a text, ${formatBytes(pageBytes)}: open it in a browser with WebGPU`);
    }
    return EXIT.fine;
  } finally {
    progress.clear();
  }
}

/** The largest page: it holds the weights as text, all in memory. */
const MOST_PAGE_BYTES = 64 * 1024 * 1024;

function expectPage(generation: Generation | string, { tokenizer }: PackageText): asserts generation is Generation {
  if (typeof generation === "string")
    throw new UserError(
      "--single-file: the page continues a text, but this model does not generate",
      "give -o for a package that runs it",
    );
  if (takesInputs(generation))
    throw new UserError(
      "--single-file: the page gives the model tokens alone, but this model takes further inputs with a prompt",
      "give -o for a package, whose `generate` takes them",
    );
  if (tokenizer === null && generation.vocabulary !== 256)
    throw new UserError(
      `--single-file: the model has ${generation.vocabulary} tokens, but no tokenizer is given`,
      "give --tokenizer a tokenizer.json",
    );
}

/** Returns its bytes. */
async function writePage(
  path: string,
  input: PackageInput,
  built: (write: WriteFile) => Promise<Manifest>,
): Promise<number> {
  const files = new Map<string, Uint8Array>();
  const { tensors } = await built(async (name, bytes) => void files.set(name, bytes));
  const weights = tensors.reduce((sum, t) => sum + t.bytes, 0);
  if (weights > MOST_PAGE_BYTES)
    throw new UserError(
      `--single-file: the weights have ${formatBytes(weights)}, more than the ` +
        `${formatBytes(MOST_PAGE_BYTES)} that a page can hold`,
      "give -o for a package, with weights in shards",
    );
  const { run, generation } = input.programs;
  // as scripts/bundle.mjs makes them
  const script = pageFiles[input.tokenizer === null ? "page.js" : "page-tokenizer.js"]!;
  const page = {
    ...input,
    files,
    model: run.model,
    generation: generation!,
    script,
    weights: formatBytes(weights),
    prompt: PROMPT,
  };
  const bytes = new TextEncoder().encode(await pageText(page));
  writeText(path, bytes);
  return bytes.length;
}

/** The initial prompt of the page. */
const PROMPT = "Call me";

/** The programs for generation, or the reason why the model has none. */
async function generationOf(
  opened: OpenedModel,
  flags: BuildFlags,
  tunings: TuningsFile | null,
): Promise<Generation | string> {
  if (flags.enter === "objective") return "it was compiled for the objective";
  const { compileGeneration, GenerationError } = await import("../../../compiler/compile-generation.js");
  const { enter: _, ...own } = flags;
  const options = {
    ...compileOptions(opened, { ...own, phase: "generate" }),
    precision: precisionOf(flags),
    ...(tunings && { tunings }),
    ...(flags.maxBatch !== undefined && { caches: "pages" as const }),
  };
  try {
    const { generation, diagnostics } = compileGeneration(opened.source.text, options);
    return (
      generation ?? diagnostics.find((d) => d.severity === "error")?.message ?? "it does not compile for phase generate"
    );
  } catch (fault) {
    if (fault instanceof GenerationError) return fault.message;
    throw fault;
  }
}

/** As semver.org has it. */
const VERSION = /^(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*)){2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/;

const NPM_NAME = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]{0,213}$/;

/** `MobyDick` → `moby-dick` */
const packageName = (model: string): string =>
  model
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();

interface PackageText {
  readonly tokenizer: TokenizerTexts | null;
  readonly defaults: Defaults;
  /** Vocabulary of the tokenizer; 0 without one. */
  readonly vocabulary: number;
}

/**
 * The same as for a session with this model. `chatTemplate`: the template that the user chose. Throws TokenizerError
 * and CheckpointError for unreadable files.
 */
async function packageText(model: OpenedModel, chatTemplate: string | undefined): Promise<PackageText> {
  if (model.tokenizer === null) {
    if (chatTemplate !== undefined)
      throw misuse("--chat-template: the package has no tokenizer", "give --tokenizer a tokenizer.json too");
    return { tokenizer: null, defaults: NO_DEFAULTS, vocabulary: 0 };
  }
  const { tokenizer, files, chat, defaults } = await expectText(model);
  tokenizer.encode(""); // a page has no worker: throws for a tokenizer that needs one
  const { ends, maxTokens, sampling } = defaults;
  const stops = chatTemplate === undefined ? [] : (chat?.stops ?? []);
  if (stops.length > 0)
    say(
      `note: the tokenizer has no token ${stops.join(" or ")}, which ends answers in the template ` +
        `${chatTemplate!}: pass it to each call as a stop string`,
    );
  return {
    tokenizer: chatTemplate === undefined ? files : { ...files, template: chat!.text }, // the chosen one
    defaults: { ends, maxTokens, sampling },
    vocabulary: tokenizer.vocabulary,
  };
}
