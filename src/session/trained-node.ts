// What training wrote, as a model to open: a run's folder or one of its checkpoints, with the text, the parameters and
// the tokenizer that it was trained with. Node only.
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { errnoOf, NOT_REGULAR, reasonOf } from "../base/errno.js";
import type { Read } from "../check/names/files.js";
import type { SourceFile } from "../diagnostics/span.js";
import { readRegular } from "../runtime/regular-node.js";
import { isFolder } from "../tokenizer/folder-node.js";
import { SessionError } from "./errors.js";
import {
  MANIFEST,
  MODEL,
  MOST_MANIFEST_BYTES,
  parseManifest,
  STATE,
  type Manifest,
  type ManifestFile,
} from "./manifest.js";

/** Where a run keeps its checkpoints, and the names that lead to them, the first that is there before the others. */
const CHECKPOINTS = "checkpoints";
const LINKS = ["best", "last"] as const;
const STEP = /^step-\d{8,}$/;
const stepOf = (name: string): number => Number(name.slice("step-".length));

/** What is in folders that are models, or weights, of others. */
const OTHERS = ["config.json", "model.mod", MODEL, `${MODEL}.index.json`];

/** Beyond any source that compiles. */
const MOST_SOURCE_BYTES = 64 * 1024 * 1024;

export interface Trained {
  /** The checkpoint's folder. */
  readonly path: string;
  /** How a run's folder led to it; null: it was named itself. */
  readonly chosen: "best" | "last" | "newest" | null;
  readonly manifest: Manifest;
  /** As it was trained: the checkpoint keeps it, wherever the file is by now. */
  readonly source: SourceFile;
  readonly read: Read;
  /** Sources by name that are another text now than the one that was trained. */
  readonly changed: readonly string[];
  /** Parameters that were given, as expressions. */
  readonly set: Readonly<Record<string, string>>;
  /** Null: each byte is a token. */
  readonly tokenizer: string | null;
}

/**
 * What a path leads to; null where it is no run and no checkpoint of one. Throws SessionError for a run without a
 * checkpoint, and for a checkpoint that is not as it was written.
 */
export function openTrained(path: string): Trained | null {
  const found = placeOf(path);
  if (found === null) return null;
  const manifest = readManifest(found.path);
  const size = fileOf(found.path, manifest, MODEL);
  expectBytes(found.path, size);
  const texts = new Map(
    manifest.sources.map(({ path: name, file }) => [name, textOf(found.path, fileOf(found.path, manifest, file))]),
  );
  const [own] = manifest.sources;
  if (!own)
    throw new SessionError(`${found.path} keeps no source of its model`, {
      hint: "name the model's file, and --weights",
    });
  return {
    ...found,
    manifest,
    source: { file: own.path, text: texts.get(own.path)! },
    read: (name) => texts.get(name) ?? texts.get(`./${name}`) ?? null,
    changed: manifest.sources.flatMap(({ path: name, file }) =>
      isOther(name, fileOf(found.path, manifest, file)) ? [name] : [],
    ),
    set: manifest.begun?.set ?? manifest.parameters,
    tokenizer: manifest.begun?.tokenizer ?? null,
  };
}

/** Weights as they are given; a path of a run's folder is its checkpoint's. Throws as `openTrained` does. */
export const trainedWeights = <W>(weights: W): W | string =>
  typeof weights === "string" ? (openTrained(weights)?.path ?? weights) : weights;

/** The tokenizer that was named, else that of the run. Throws SessionError where it has gone. */
export function trainedTokenizer({ path, tokenizer }: Trained, named: string | null): string | null {
  if (named !== null || tokenizer === null) return named;
  if (isAbsolute(tokenizer) && !existsSync(tokenizer))
    throw new SessionError(`${tokenizer}, the tokenizer that ${path} was trained with, is gone`, {
      hint: "say where it is now: --tokenizer",
    });
  return tokenizer;
}

function placeOf(path: string): Pick<Trained, "path" | "chosen"> | null {
  if (!isFolder(path)) return null;
  if (isCheckpoint(path)) return { path, chosen: null };
  const folder = isFolder(join(path, CHECKPOINTS)) ? join(path, CHECKPOINTS) : path;
  const link = LINKS.find((name) => isCheckpoint(join(folder, name)));
  if (link !== undefined) return { path: realpathSync(join(folder, link)), chosen: link };
  const newest =
    folder === path
      ? undefined
      : readdirSync(folder)
          .filter((name) => STEP.test(name) && isCheckpoint(join(folder, name)))
          .sort((a, b) => stepOf(a) - stepOf(b))
          .at(-1);
  if (newest !== undefined) return { path: join(folder, newest), chosen: "newest" };
  if (folder === path || OTHERS.some((name) => existsSync(join(path, name)))) return null;
  throw new SessionError(`${path} has no checkpoint yet`, {
    hint: "training writes one every --checkpoint-every steps, whenever validation is the best so far, and at its end",
  });
}

const isCheckpoint = (path: string): boolean => [MANIFEST, STATE].every((name) => existsSync(join(path, name)));

function readManifest(path: string): Manifest {
  const tooLarge = (size: number): Error =>
    new SessionError(`${path}: ${MANIFEST} has ${size} bytes: no manifest is so large`);
  try {
    return parseManifest(
      new TextDecoder().decode(readRegular(join(path, MANIFEST), MOST_MANIFEST_BYTES, tooLarge)),
      path,
    );
  } catch (fault) {
    const code = errnoOf(fault);
    if (code === null) throw fault;
    throw new SessionError(
      `${path}: ${MANIFEST} ` +
        (code === NOT_REGULAR || code === "EISDIR" ? "is no plain file" : `cannot be read: ${reasonOf(code)}`),
      {
        cause: fault,
      },
    );
  }
}

/** As the manifest lists it. */
function fileOf(path: string, { files }: Manifest, name: string): ManifestFile {
  const found = files.find((file) => file.name === name);
  if (!found) throw new SessionError(`${path}: ${MANIFEST} does not list ${name}`);
  return found;
}

/** A plain file of the size that was written. */
function expectBytes(path: string, { name, bytes }: ManifestFile): void {
  const found = lstatSync(join(path, name), { throwIfNoEntry: false });
  if (!found) throw new SessionError(`${path}: ${name} is missing`);
  if (!found.isFile()) throw new SessionError(`${path}: ${name} is no plain file`);
  if (found.size !== bytes) throw new SessionError(`${path}: ${name} has ${found.size} bytes, ${bytes} were written`);
}

/** The text of a source that was kept, held against its hash. */
function textOf(path: string, file: ManifestFile): string {
  expectBytes(path, file);
  if (file.bytes > MOST_SOURCE_BYTES)
    throw new SessionError(`${path}: ${file.name} has ${file.bytes} bytes: no source is so large`);
  const bytes = readFileSync(join(path, file.name));
  if (hashOf(bytes) !== file.sha256)
    throw new SessionError(`${path}: ${file.name} was changed: its hash is not the one that was written`);
  return new TextDecoder().decode(bytes);
}

/**
 * Whether there is a file of that name which is not the one that was kept. One that cannot be read is not known to be
 * another.
 */
function isOther(name: string, { bytes, sha256 }: ManifestFile): boolean {
  const tooLarge = (size: number): Error => new SessionError(`${name} has ${size} bytes: no source is so large`);
  try {
    const found = statSync(name);
    return (
      found.isFile() && (found.size !== bytes || hashOf(readRegular(name, MOST_SOURCE_BYTES, tooLarge)) !== sha256)
    );
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
    return false;
  }
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
