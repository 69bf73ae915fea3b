// Opens a model at a path: decides what kind the path is, and reads each of its files once. Node only.
import { bug } from "../ground/base/invariant.js";
import { once } from "../ground/base/once.js";
import type { BlockWeights, WeightsInput } from "../runtime/weights/input.js";
import { SessionError } from "../language/diagnostics/errors.js";
import { checkpointFiles, isAdapter } from "./families/files-node.js";
import type { LiveOf } from "./opened/live.js";
import type { ModelKind, OpenedModel, Parameters } from "./opened/model.js";
import { GgufFiles } from "./opened/gguf-files-node.js";
import { isHubName, snapshotOf } from "./opened/hub-node.js";
import type { Parts } from "./opened/parts.js";
import { fromDisk, importsBeside, type SourceReader } from "./opened/source-node.js";
import { modelWeights, namedWeights, openedLater, type OpenedWeights } from "./opened/weights-node.js";
import { isTrained, openTrained, trainedTemplate, trainedTokenizer } from "./runs/trained-node.js";
import { isFolder, isGgufPath } from "./tokenizer/folder-node.js";
import { tokenizerAt } from "./tokenizer/source-node.js";

export interface OpenModelOptions {
  /**
   * Replaces the model's own weights; the folder of a run stands for its checkpoint. Weights of several files are given
   * by the paths of blocks.
   */
  readonly weights?: WeightsInput | BlockWeights | undefined;
  /** Replaces the model's own tokenizer: a `tokenizer.json`, its folder, or a GGUF file. */
  readonly tokenizer?: string | undefined;
  /** Replaces the tokenizer's own template: a name such as `chatml`, or a file of Jinja text. */
  readonly chatTemplate?: string | undefined;
  /** The name of the model, if the file declares several. */
  readonly model?: string | undefined;
  /** The model's parameters, which may change its live parameters. */
  readonly set?: Readonly<Record<string, string | number | boolean>> | undefined;
  readonly reader?: SourceReader;
}

interface Kind {
  readonly kind: ModelKind;
  readonly is: (path: string) => boolean;
  readonly open: (path: string, reader: SourceReader, ggufs: GgufFiles) => Promise<Parts>;
}

const deferred = () => import("./opened/deferred-node.js");

/** The kinds of models. The first kind that matches a path is its kind. */
const KINDS: readonly Kind[] = [
  {
    kind: "checkpoint",
    is: isHubName,
    open: async (name, reader) => (await deferred()).openFolder(snapshotOf(name), reader),
  },
  {
    kind: "gguf",
    is: isGgufPath,
    open: async (path, reader, ggufs) => (await deferred()).openGgufFile(path, reader, ggufs),
  },
  { kind: "run", is: isTrained, open: openRun },
  { kind: "adapter", is: isAdapter, open: openAdapters },
  { kind: "checkpoint", is: isFolder, open: async (path, reader) => (await deferred()).openFolder(path, reader) },
  { kind: "program", is: (path) => path.endsWith(".json"), open: openFile },
  { kind: "source", is: () => true, open: openFile },
];

/**
 * Opens a `.mod` file, a checkpoint's folder, a GGUF file, a folder that training wrote, or a model in the cache of
 * Hugging Face (`hf:owner/name`). Throws SessionError for a run without a checkpoint or a damaged one, and for a name
 * that the cache lacks, and WeightsError for a GGUF file that cannot be read.
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<OpenedModel> {
  if (typeof path !== "string") throw new SessionError(`cannot read ${String(path)}: the path of a model is a string`);
  const { kind, open } = KINDS.find(({ is }) => is(path))!; // the last one is any
  const ggufs = new GgufFiles();
  try {
    const parts = await open(path, options.reader ?? fromDisk, ggufs);
    const weights = weightsOf(parts, options, ggufs);
    const live = parts.run?.live ?? (kind === "program" ? {} : await liveFrom(weights, parts, options));
    return openedModel({ kind, named: path }, parts, live, weights, options, ggufs);
  } catch (fault) {
    await ggufs.close();
    throw fault;
  }
}

/** Calls `use` with an opened model, and closes the model. */
export async function closing<T>(model: OpenedModel, use: (model: OpenedModel) => Promise<T> | T): Promise<T> {
  try {
    return await use(model);
  } finally {
    await model.close();
  }
}

function weightsOf(parts: Parts, options: OpenModelOptions, ggufs: GgufFiles): OpenedWeights | null {
  const named: OpenModelOptions["weights"] | null = options.weights; // null comes from JavaScript
  if (named !== undefined && named !== null) return namedWeights(named, ggufs, () => chosenModel(parts, options));
  if (typeof parts.weights === "function") return openedLater(parts.weights);
  return parts.weights === null ? null : modelWeights(parts.weights, ggufs);
}

/** The source, the choice of a model in it, and its parameters. */
const chosenModel = ({ source, read, run }: Parts, { model, set }: OpenModelOptions): LiveOf => ({
  source: source(),
  read,
  model: model ?? run?.manifest.model,
  set: { ...run?.set, ...set },
});

function openedModel(
  opened: Pick<OpenedModel, "kind" | "named">,
  parts: Parts,
  live: Parameters,
  weights: OpenedWeights | null,
  options: OpenModelOptions,
  ggufs: GgufFiles,
): OpenedModel {
  const { tokenizer: named, chatTemplate } = options;
  const { path, file, read, run, describe } = parts;
  const others: OpenedWeights[] = [];
  const source = once(parts.source);
  const tokenizer = once(() => {
    const place = named ?? parts.tokenizer();
    return place === null ? null : tokenizerAt(place, async (gguf) => (await ggufs.at(gguf)).header);
  });
  return {
    ...opened,
    path,
    file,
    get source() {
      return source();
    },
    read,
    model: run?.manifest.model ?? null,
    set: run?.set ?? live,
    live,
    run,
    weights,
    otherWeights(input) {
      const other = namedWeights(input, ggufs, () => chosenModel(parts, options));
      others.push(other);
      return other;
    },
    get tokenizer() {
      return tokenizer();
    },
    texts: once(async () => {
      source(); // a fault of the source is reported before those of other files
      const { openTexts } = await deferred();
      return openTexts(parts.folder, tokenizer(), chatTemplate ?? (run ? trainedTemplate(run) : undefined));
    }),
    describe,
    async close() {
      const opened = weights === null ? others : [weights, ...others];
      const closed = await Promise.allSettled(opened.map((weightSource) => weightSource.close()));
      await ggufs.close();
      for (const outcome of closed) if (outcome.status === "rejected") throw outcome.reason;
    },
  };
}

/** The live parameters that a model has of the run whose weights were named for it. */
async function liveFrom(
  weights: OpenedWeights | null,
  { source, read }: Parts,
  { model, set }: OpenModelOptions,
): Promise<Parameters> {
  const live = weights?.run?.live ?? {};
  if (Object.keys(live).length === 0) return live;
  const { declaredLive } = await deferred();
  return declaredLive(live, { source: source(), read, model, set });
}

async function openRun(place: string): Promise<Parts> {
  const run = openTrained(place) ?? bug(`${place} is no longer a run`);
  const { path, source, read } = run;
  return {
    path,
    file: source.file,
    source: () => source,
    read,
    run,
    describe: () => null,
    folder: path,
    weights: path,
    tokenizer: () => trainedTokenizer(run) ?? checkpointFiles(path).tokenizer,
  };
}

async function openAdapters(path: string, reader: SourceReader): Promise<Parts> {
  const { adapterAt, openAdapter, openFolder } = await deferred();
  const adapter = adapterAt(path);
  return openAdapter(adapter, await openFolder(adapter.base, reader));
}

/** A source, or another file: reading the text reports a file that is not a source. */
async function openFile(path: string, { nameOf, model, imported }: SourceReader): Promise<Parts> {
  const file = nameOf(path);
  return {
    path,
    file,
    source: () => model(path),
    read: importsBeside(file, imported),
    run: null,
    describe: () => null,
    folder: null,
    weights: null,
    tokenizer: () => null,
  };
}
