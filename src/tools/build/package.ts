// Builds a package that runs a model without the compiler. Equal inputs give equal files.
import { isBlockEncoding } from "../../runtime/program/encodings/block-file.js";
import { encodings } from "../../runtime/program/encodings/index.js";
import type { Program } from "../../runtime/program/program.js";
import { formatBytes } from "../../runtime/device/errors.js";
import { expectHeld } from "../../runtime/weights/held.js";
import { fileDtype, toBytes } from "../../runtime/weights/to-bytes.js";
import { matchWeights, readWeight } from "../../runtime/weights/match.js";
import { readStored, storedEntry } from "../../runtime/weights/parts.js";
import type { WeightSource } from "../../runtime/weights/formats/source.js";
import { isInBlocks } from "../../runtime/weights/stored.js";
import { sha256 } from "../../generation/packaged/hash.js";
import {
  DEFAULTS,
  MANIFEST,
  MANIFEST_FORMAT,
  MANIFEST_VERSION,
  PROGRAMS,
  sealed,
  TOKENIZER_FILES,
  type Manifest,
  type ManifestFile,
  type ManifestTensor,
} from "../../generation/packaged/manifest.js";
import type { Programs } from "../../generation/packaged/programs.js";
import { NO_DEFAULTS, type Defaults, type TokenizerTexts } from "../../generation/packaged/text.js";
import { declarations } from "./declarations.js";
import { PACKAGE_JSON, packageJsonText, type EarlierPackage } from "./package-json.js";
import { readme } from "./readme.js";
import { mapPrograms, printGeneration, programsOf, type PagedGeneration } from "../../runtime/program/generation.js";
import { printProgram } from "../../runtime/program/serialize.js";

export interface PackageInput {
  /** The package's name for npm. */
  readonly name: string;
  /** The package's version for npm; null keeps the version of the earlier build, or 1.0.0. */
  readonly packageVersion: string | null;
  /** The package that the build replaces, or null. */
  readonly earlier: EarlierPackage | null;
  /** The file name of the source, for readers: `moby.mod`. */
  readonly source: string;
  /** The programs of the package, all with the same weights. */
  readonly programs: Programs;
  readonly weights: WeightSource;
  /** The texts of the tokenizer; null if the model has none. */
  readonly tokenizer: TokenizerTexts | null;
  /** Default values of generation options. */
  readonly defaults: Defaults;
  /** Runtime files by name, including the parts for a tokenizer and for concurrent callers. */
  readonly runtime: Readonly<Record<string, string>>;
  readonly tokenizerRuntime: Readonly<Record<string, string>>;
  readonly engineRuntime: Readonly<Record<string, string>>;
  /** Files for running in a worker: the page's side and the worker's side. */
  readonly workerRuntime: Readonly<Record<string, string>>;
  /**
   * The runtime file with the packers of encodings narrower than a word. Runtime files import it as `unseen`, a form
   * that bundlers do not follow; the build replaces `unseen` by `seen` in packages that need the file.
   */
  readonly packersPart: {
    readonly file: string;
    readonly source: string;
    readonly seen: string;
    readonly unseen: string;
  };
  /** The version of modc. */
  readonly version: string;
  /** Largest size of a shard of weights. */
  readonly shardBytes: number;
}

/** Writes one file of the package; names have slashes. */
export type WriteFile = (name: string, bytes: Uint8Array) => Promise<void>;

/** Writes every file with `write`, the manifest last. Throws WeightsError if the weights do not fit the model. */
export async function buildPackage(
  input: PackageInput,
  write: WriteFile,
  progress: (done: number, total: number) => void = () => {},
): Promise<Manifest> {
  const { run, generation } = input.programs;
  const tokenizer = generation === null ? null : input.tokenizer;
  const files: ManifestFile[] = [];
  const put = async (name: string, contents: string | Uint8Array): Promise<void> => {
    const bytes = typeof contents === "string" ? new TextEncoder().encode(contents) : contents;
    await write(name, bytes);
    files.push({ name, bytes: bytes.length, sha256: await sha256(bytes) });
  };
  const { text, kernels } = storePrograms(input.programs);
  await put(PROGRAMS, text);
  for (const [name, wgsl] of kernels) await put(name, wgsl);
  const { shards, tensors } = await putWeights(input, run, put, progress);
  const texts =
    tokenizer === null
      ? []
      : Object.entries(TOKENIZER_FILES).flatMap(([part, name]) =>
          textEntry(name, tokenizer[part as keyof TokenizerTexts]),
        );
  if (generation !== null && JSON.stringify(input.defaults) !== JSON.stringify(NO_DEFAULTS))
    texts.push([DEFAULTS, `${JSON.stringify(input.defaults)}\n`]);
  for (const [name, contents] of texts) await put(name, contents);
  const head = `// The runtime of modc ${input.version}, MIT licence.\n`;
  for (const [name, source] of runtimeOf(input)) await put(`runtime/${name}`, `${head}${source}`);
  for (const [name, source] of Object.entries(input.workerRuntime)) await put(`runtime/${name}`, `${head}${source}`);
  for (const [name, source] of Object.entries(workerTexts(run.model))) await put(name, source);
  const parts = {
    ...(tokenizer !== null && { tokenizer: input.tokenizerRuntime }),
    ...(generation?.pages && { engine: input.engineRuntime }),
  };
  for (const part of Object.values(parts))
    for (const [name, source] of Object.entries(part)) await put(`runtime/${name}`, `${head}${source}`);
  const loaded = [MANIFEST, PROGRAMS, ...kernels.keys(), ...texts.map(([name]) => name), ...shards];
  await put("index.js", indexText(run.model, loaded, Object.keys(parts)));
  await put("index.d.ts", declarations(input.programs));
  const weightBytes = tensors.reduce((sum, t) => sum + t.bytes, 0);
  await put(
    "README.md",
    readme({ ...input, weights: formatBytes(weightBytes), chat: tokenizer !== null && hasTemplate(tokenizer) }),
  );
  const { name, source, packageVersion, earlier } = input;
  const names = [...files.map((f) => f.name), MANIFEST];
  await put(PACKAGE_JSON, packageJsonText({ name, packageVersion, source, model: run.model, files: names }, earlier));
  const manifest: Manifest = {
    format: MANIFEST_FORMAT,
    version: MANIFEST_VERSION,
    model: run.model,
    files: files.sort(byName),
    shards,
    tensors,
  };
  await write(MANIFEST, new TextEncoder().encode(await manifestText(manifest)));
  return manifest;
}

const programsIn = ({ run, generation }: Programs): readonly Program[] =>
  generation === null ? [run] : [run, ...programsOf(generation)];

/** The runtime files, with the packers if some weight has an encoding narrower than a word. */
function runtimeOf({ programs, runtime, packersPart }: PackageInput): [string, string][] {
  const files = Object.entries(runtime);
  if (!programsIn(programs).some(({ weights }) => weights.some((w) => w.slots.some((s) => s.form !== "word"))))
    return files;
  const { file, source, seen, unseen } = packersPart;
  return [...files.map(([name, text]): [string, string] => [name, text.replaceAll(unseen, seen)]), [file, source]];
}

const textEntry = (name: string, text: string | null): [string, string][] => (text === null ? [] : [[name, text]]);

/** Whether there is a chat template, in its own file or in the configuration. */
const hasTemplate = ({ template, config }: TokenizerTexts): boolean =>
  template !== null || (config !== null && /"chat_template"\s*:\s*["[]/.test(config));

const byName = (a: ManifestFile, b: ManifestFile): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);

/** Writes the weights in the order of loading, with the checkpoint's element types, in shards. */
async function putWeights(
  { weights, shardBytes, programs }: PackageInput,
  run: Program,
  put: (name: string, bytes: Uint8Array) => Promise<void>,
  progress: (done: number, total: number) => void,
): Promise<{ readonly shards: readonly string[]; readonly tensors: readonly ManifestTensor[] }> {
  const matched = matchWeights(run, weights);
  const shards: string[] = [];
  const tensors: ManifestTensor[] = [];
  let pending: Uint8Array[] = [];
  let bytes = 0;
  let offset = 0;
  const flush = async (): Promise<void> => {
    if (bytes === 0) return;
    const name = `weights/${String(shards.length).padStart(5, "0")}.bin`;
    shards.push(name);
    await put(name, concat(pending, bytes));
    pending = [];
    bytes = 0;
  };
  for (const weight of run.weights) {
    const keys = matched.get(weight)!;
    const values = await stored(weight, keys, weights, typeRead(programs, weight.path));
    tensors.push({
      key: weight.path,
      dtype: values.dtype,
      shape: [...weight.shape],
      offset,
      bytes: values.bytes.length,
    });
    offset += values.bytes.length;
    // Start a new shard if the tensor would not fit. A tensor larger than a shard is split.
    if (bytes > 0 && bytes + values.bytes.length > shardBytes) await flush();
    for (let at = 0; at < values.bytes.length; at += shardBytes) {
      const piece = values.bytes.subarray(at, at + shardBytes);
      pending.push(piece);
      bytes += piece.length;
      if (bytes >= shardBytes) await flush();
    }
    progress(tensors.length, run.weights.length);
  }
  await flush();
  return { shards, tensors };
}

/** The file type in which all programs read a weight, if it is narrower than a word; else null. */
function typeRead(programs: Programs, path: string): string | null {
  const weights = programsIn(programs).flatMap(({ weights: all }) =>
    all.filter((w) => w.path === path && w.slots.length > 0),
  );
  const [form, ...others] = new Set(weights.flatMap((w) => w.slots.map((s) => s.form)));
  if (form === undefined || others.length > 0) return null;
  if (isBlockEncoding(form) && !weights.every((w) => isInBlocks(w, form))) return null;
  return encodings[form].file;
}

/** The checkpoint's own bytes if one tensor holds the weight. If several tensors do, they are read and compared. */
async function stored(
  weight: Program["weights"][number],
  keys: readonly string[],
  source: WeightSource,
  type: string | null,
): Promise<{ readonly dtype: string; readonly bytes: Uint8Array }> {
  const [key] = keys;
  const storedAs = key === undefined ? null : storedEntry(source.tensors, key)!.dtype;
  if (key !== undefined && storedAs !== null && keys.length === 1 && (type === null || type === storedAs))
    return { dtype: storedAs, bytes: await readStored(source, key) };
  const dtype = type ?? fileDtype(weight.dtype);
  const words = await readWeight(weight, keys, source);
  expectHeld(weight, words, dtype);
  return { dtype, bytes: toBytes(words, dtype) };
}

function concat(pieces: readonly Uint8Array[], bytes: number): Uint8Array {
  const joined = new Uint8Array(bytes);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

/** The manifest as JSON, with a line for each file and tensor. */
function manifestText(manifest: Manifest): Promise<string> {
  const lines = Object.entries(manifest).map(([key, value]: [string, unknown]) => {
    const text =
      Array.isArray(value) && value.length > 0
        ? `[\n${value.map((v) => `  ${JSON.stringify(v)}`).join(",\n")}\n]`
        : JSON.stringify(value);
    return `${JSON.stringify(key)}: ${text}`;
  });
  return sealed(`{\n${lines.join(",\n")}`);
}

/** The runtime's imports of the parts with these names. */
const partsText = (parts: readonly string[]): string =>
  parts.length === 0 ? "" : `, { ${parts.map((name) => `${name}: () => import("./runtime/${name}.js")`).join(", ")} }`;
const fileLine = (name: string): string =>
  `  ${JSON.stringify(name)}: new URL(${JSON.stringify(`./${name}`)}, import.meta.url),\n`;

/** The text of `index.js`. Each file's URL is a literal, so that bundlers find and include the files. */
const indexText = (
  model: string,
  files: readonly string[],
  parts: readonly string[],
): string => `// Made by modc build; do not edit.
import { createModel } from "./runtime/index.js";

const files = {
${files.map(fileLine).join("")}};

const model = createModel(${JSON.stringify(model)}, files${partsText(parts)});
export default model;
export const load = model.load;
`;

export interface StoredPrograms {
  /** `program.json`. */
  readonly text: string;
  /** WGSL texts by file name. */
  readonly kernels: ReadonlyMap<string, string>;
}

/**
 * The pages of a generation without drafts and without a step for one sequence: their programs would double the size of
 * a package. The fields are copied one by one because reading `draft` or `first` compiles it.
 */
const pagesOf = ({ page, slots, token, seen, allLogits, axes }: PagedGeneration): PagedGeneration => ({
  page,
  slots,
  token,
  seen,
  allLogits,
  axes,
  first: null,
  draft: null,
});

function storePrograms({ run, generation, maxBatch }: Programs): StoredPrograms {
  const files = new Map<string, string>(); // file name by text
  const counts = new Map<string, number>();
  const fileOf = (name: string, wgsl: string): string => {
    let file = files.get(wgsl);
    if (file === undefined) {
      const base = name.replace(/\.\d+$/, "").replace(/[^A-Za-z0-9_-]/g, "_");
      const n = counts.get(base) ?? 0;
      counts.set(base, n + 1);
      files.set(wgsl, (file = `kernels/${base}.${n}.wgsl`));
    }
    return file;
  };
  const stored = (program: Program): Program => ({
    ...program,
    kernels: program.kernels.map((k) => ({ ...k, wgsl: fileOf(k.name, k.wgsl) })),
  });
  const texts = [
    `"run": ${printProgram(stored(run))}`,
    `"generation": ${generation ? printGeneration(mapPrograms(generation, stored)) : "null\n"}`,
    ...(generation?.pages && maxBatch !== undefined
      ? [`"pages": ${JSON.stringify(pagesOf(generation.pages))},\n"maxBatch": ${maxBatch}\n`]
      : []),
  ];
  return { text: `{\n${texts.join(",\n")}}\n`, kernels: new Map([...files].map(([wgsl, file]) => [file, wgsl])) };
}

/** The texts of `worker.js`, which an application imports, of its declarations, and of the worker's script. */
const workerTexts = (model: string): Readonly<Record<string, string>> => ({
  "worker.js": `// Made by modc build; do not edit.
import { workerModel } from "./runtime/worker.js";

const start = () => new Worker(new URL("./worker-thread.js", import.meta.url), { type: "module" });
const model = workerModel(${JSON.stringify(model)}, start, import.meta.url);
export default model;
export const load = model.load;
`,
  "worker-thread.js": `// Made by modc build; do not edit.
import model from "./index.js";
import { answer } from "./runtime/worker-thread.js";

answer(model);
`,
  "worker.d.ts": `// Made by modc build; do not edit.
import type { LoadedModel, LoadOptions } from "./index.js";

/** The model in a worker of its own, so that the page, or Node's event loop, stays free. */
export interface WorkerModel {
  readonly name: string;
  /** Starts a worker, and loads the model there; \`dispose\` ends it. The worker opens its own device. */
  load(options?: Omit<LoadOptions, "device">): Promise<LoadedModel>;
}

declare const model: WorkerModel;
export default model;
export declare const load: WorkerModel["load"];
`,
});
