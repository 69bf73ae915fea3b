// Opens the output of training: a run's folder or one of its checkpoints, with the source, the parameters and the
// tokenizer of the run. Node only.
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { errnoOf, NOT_REGULAR, reasonOf } from "../../ground/base/errno.js";
import { DENSE } from "../../language/check/instances/overrides.js";
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { isFolder, isGgufPath } from "../tokenizer/folder-node.js";
import { KNOWN_TEMPLATES } from "../tokenizer/known-templates.js";
import { SessionError } from "../../language/diagnostics/errors.js";
import {
  MANIFEST,
  MODEL,
  MAX_MANIFEST_BYTES,
  parseManifest,
  STATE,
  type Manifest,
  type ManifestFile,
} from "./manifest.js";

/** The folder of a run's checkpoints, and the links to them in order of preference. */
const CHECKPOINTS = "checkpoints";
const LINKS = ["best", "last"] as const;
const STEP_FOLDER = /^step-\d{8,}$/;
const stepOf = (name: string): number => Number(name.slice("step-".length));

/** Files that identify a folder as another kind of model or weights. */
const OTHER_MODEL_FILES = ["config.json", "model.mod", MODEL, `${MODEL}.index.json`];

/** The limit on the size of a source file. */
const MAX_SOURCE_BYTES = 64 * 1024 * 1024;

export interface Trained {
  /** The checkpoint's folder. */
  readonly path: string;
  /** How the checkpoint was selected from a run's folder; null if it was named itself. */
  readonly chosen: "best" | "last" | "newest" | null;
  readonly manifest: Manifest;
  /** The source at the time of training, from the checkpoint's copy. */
  readonly source: SourceFile;
  readonly read: Read;
  /** Names of sources whose files have changed since training. */
  readonly changed: readonly string[];
  /** Live parameters that training set: their values at the checkpoint's step, as expressions. */
  readonly live: Readonly<Record<string, string>>;
  /**
   * Parameters that were set explicitly, as expressions; they include the values in `live`, which so become the
   * defaults, and `DENSE` if the run trained with nothing skipped.
   */
  readonly set: Readonly<Record<string, string>>;
  /** Null: one token per byte. */
  readonly tokenizer: string | null;
}

/**
 * Opens the checkpoint at a path; null if the path is neither a run nor a checkpoint. Throws SessionError for a run
 * without a checkpoint, and for a damaged checkpoint.
 */
export function openTrained(path: string): Trained | null {
  const checkpoint = placeOf(path);
  if (checkpoint === null) return null;
  const manifest = readManifest(checkpoint.path);
  const size = fileOf(checkpoint.path, manifest, MODEL);
  checkSize(checkpoint.path, size);
  const texts = new Map(
    manifest.sources.map(({ path: name, file }) => [
      name,
      verifiedText(checkpoint.path, fileOf(checkpoint.path, manifest, file)),
    ]),
  );
  const live = Object.fromEntries(Object.entries(manifest.live).map(([name, value]) => [name, expressionOf(value)]));
  const dense = manifest.settings["dense"] === true ? { [DENSE]: "true" } : {};
  const [modelSource] = manifest.sources;
  if (!modelSource)
    throw new SessionError(`${checkpoint.path} does not contain the source of its model`, {
      hint: "give the model's file, and --weights",
    });
  return {
    ...checkpoint,
    manifest,
    source: { file: modelSource.path, text: texts.get(modelSource.path)! },
    read: (name) => texts.get(name) ?? texts.get(`./${name}`) ?? null,
    changed: manifest.sources.flatMap(({ path: name, file }) =>
      hasChanged(name, fileOf(checkpoint.path, manifest, file)) ? [name] : [],
    ),
    live,
    set: { ...(manifest.begun?.set ?? manifest.parameters), ...live, ...dense },
    tokenizer: manifest.begun?.tokenizer ?? null,
  };
}

/** A number as the language writes it. */
const expressionOf = (value: number): string => String(value).replace("e+", "e");

/** The path of the tokenizer that a run was begun with; null for bytes. Throws SessionError if it is gone. */
export function trainedTokenizer({ path, tokenizer }: Trained): string | null {
  if (tokenizer !== null && isAbsolute(tokenizer) && !existsSync(tokenizer))
    throw new SessionError(`${tokenizer}, the tokenizer that ${path} was trained with, is missing`, {
      hint: "give its present path: --tokenizer",
    });
  return tokenizer;
}

/** The chat template that a run was begun with, a name or a file; undefined if none was named, or its file is gone. */
export function trainedTemplate({ manifest }: Trained): string | undefined {
  const chosen = manifest.begun?.records?.chatTemplate ?? null;
  return chosen !== null && (KNOWN_TEMPLATES.has(chosen) || existsSync(chosen)) ? chosen : undefined;
}

/** Whether a path is a run or one of its checkpoints. Throws SessionError for a run without a checkpoint. */
export const isTrained = (path: string): boolean => placeOf(path) !== null;

function placeOf(path: string): Pick<Trained, "path" | "chosen"> | null {
  if (!isFolder(path)) return null;
  if (isStepFolder(path)) return { path, chosen: null };
  const folder = isFolder(join(path, CHECKPOINTS)) ? join(path, CHECKPOINTS) : path;
  const link = LINKS.find((name) => isStepFolder(join(folder, name)));
  if (link !== undefined) return { path: realpathSync(join(folder, link)), chosen: link };
  const newest =
    folder === path
      ? undefined
      : readdirSync(folder)
          .filter((name) => STEP_FOLDER.test(name) && isStepFolder(join(folder, name)))
          .sort((a, b) => stepOf(a) - stepOf(b))
          .at(-1);
  if (newest !== undefined) return { path: join(folder, newest), chosen: "newest" };
  if (folder === path || OTHER_MODEL_FILES.some((name) => existsSync(join(path, name)))) return null;
  if (readdirSync(folder).some((name) => STEP_FOLDER.test(name) && existsSync(join(folder, name, OF_PYTORCH))))
    throw new SessionError(`${path} is a run of train.py, whose checkpoints are PyTorch's`, {
      hint: `\`python checkpoint.py weights ${path} weights.safetensors\`, in the exported folder, and --weights`,
    });
  throw new SessionError(`${path} has no checkpoint yet`, {
    hint: "training writes one every --checkpoint-every steps, at each best validation, and at the end",
  });
}

/** The file that only checkpoints of an exported `train.py` have. */
const OF_PYTORCH = "run.json";

/** Whether a folder is a checkpoint of a run, by the names of its files. */
export const isStepFolder = (path: string): boolean => [MANIFEST, STATE].every((name) => existsSync(join(path, name)));

function readManifest(path: string): Manifest {
  const tooLarge = (size: number): Error =>
    new SessionError(`${path}: ${MANIFEST} has ${size} bytes: too many for a manifest`);
  try {
    return parseManifest(
      new TextDecoder().decode(readRegular(join(path, MANIFEST), MAX_MANIFEST_BYTES, tooLarge)),
      path,
    );
  } catch (fault) {
    const code = errnoOf(fault);
    if (code === null) throw fault;
    throw new SessionError(
      `${path}: ${MANIFEST} ` +
        (code === NOT_REGULAR || code === "EISDIR" ? "is not a plain file" : `cannot be read: ${reasonOf(code)}`),
      {
        cause: fault,
      },
    );
  }
}

/** The manifest's entry of a file. */
function fileOf(path: string, { files }: Manifest, name: string): ManifestFile {
  const entry = files.find((file) => file.name === name);
  if (!entry) throw new SessionError(`${path}: ${MANIFEST} does not list ${name}`);
  return entry;
}

/** Checks that a file is a plain file of the recorded size. */
function checkSize(path: string, { name, bytes }: ManifestFile): void {
  const stats = lstatSync(join(path, name), { throwIfNoEntry: false });
  if (!stats) throw new SessionError(`${path}: ${name} is missing`);
  if (!stats.isFile()) throw new SessionError(`${path}: ${name} is not a plain file`);
  if (stats.size !== bytes)
    throw new SessionError(`${path}: ${name} has ${stats.size} bytes, but ${bytes} were written`);
}

/** The text of a checkpoint's source copy, verified by its hash. */
function verifiedText(path: string, file: ManifestFile): string {
  checkSize(path, file);
  if (file.bytes > MAX_SOURCE_BYTES)
    throw new SessionError(`${path}: ${file.name} has ${file.bytes} bytes: too many for a source file`);
  const bytes = readFileSync(join(path, file.name));
  if (hashOf(bytes) !== file.sha256)
    throw new SessionError(`${path}: ${file.name} was changed: its hash differs from the recorded one`);
  return new TextDecoder().decode(bytes);
}

/**
 * Whether the file of that name differs from the checkpoint's copy; false if it cannot be read, and for a GGUF file, of
 * which the copy is the text that it was read as.
 */
function hasChanged(name: string, { bytes, sha256 }: ManifestFile): boolean {
  if (isGgufPath(name)) return false;
  const tooLarge = (size: number): Error => new SessionError(`${name} has ${size} bytes: too many for a source file`);
  try {
    const stats = statSync(name);
    return stats.isFile() && (stats.size !== bytes || hashOf(readRegular(name, MAX_SOURCE_BYTES, tooLarge)) !== sha256);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
    return false;
  }
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
