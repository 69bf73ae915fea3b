// Finds and reads training data: files, folders, or an installed package; texts are streams that are hashed while they
// are read.
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { TrainError } from "./errors.js";

/** The parts of Node's hash in use, declared without Node's types. */
export interface Hashing {
  update(bytes: Uint8Array): unknown;
  digest(encoding: "hex"): string;
}

/** A file, with its size and time when it was found. */
export interface SourceFile {
  readonly path: string;
  /** `lines`: JSONL. */
  readonly kind: "text" | "lines" | "parquet" | "arrow";
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** Extensions of the files that a folder is searched for. */
const TEXT = [".txt", ".text", ".md"] as const;
const ROWS: Readonly<Record<string, Exclude<SourceFile["kind"], "text">>> = {
  ".jsonl": "lines",
  ".ndjson": "lines",
  ".parquet": "parquet",
  ".arrow": "arrow",
};
const PACKAGE = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*(\/.+)?$/;

/**
 * The files that `data` names. A file: itself. A folder: its .txt, .text, .md, .jsonl, .ndjson, .parquet and .arrow
 * files and those in its subfolders, sorted by path, without hidden and empty files. An installed package: its
 * data/data.txt, else the
 * files of its folder `data`; or, with `name/path`, any other file or folder of the package. Throws TrainError.
 */
export async function findSources(data: string, from = process.cwd()): Promise<readonly SourceFile[]> {
  const path = placeOf(data, from);
  const stats = await reaching(path, () => stat(path));
  if (!stats.isDirectory()) {
    if (!stats.isFile()) throw new TrainError("bad-data", `${data} is neither a file nor a folder`);
    if (stats.size === 0) throw new TrainError("bad-data", `${data} is empty`);
    return [{ path, kind: kindOf(path), bytes: stats.size, modified: stats.mtimeMs }];
  }
  const files = (await filesUnder(path)).filter((file) => file.bytes > 0);
  if (files.length === 0)
    throw new TrainError(
      "bad-data",
      `${data} holds no text: no ${[...TEXT, ...Object.keys(ROWS)].join(", ")} file that is not empty`,
    );
  return files;
}

/** A name that does not depend on the working directory: the absolute path, or the package's name. */
export function lastingName(data: string, from = process.cwd()): string {
  const path = resolve(from, data);
  return existsSync(path) ? path : data;
}

/** The path itself if it exists, else the path of a package installed in `from` or a parent folder. */
function placeOf(data: string, from: string): string {
  const path = resolve(from, data);
  if (existsSync(path)) return path;
  const match = PACKAGE.exec(data);
  const onHub = /^[\w-][\w.-]*\/([\w-][\w.-]*)$/.exec(data)?.[1];
  const none = new TrainError("bad-data", `cannot read ${data}: there is no such file, folder or installed package`, {
    hint:
      onHub === undefined
        ? null
        : `download a Hugging Face dataset first: hf download ${data} --repo-type dataset --local-dir ${onHub}`,
  });
  if (!match || data.split("/").includes("..")) throw none;
  const [name, rest] = [data.slice(0, data.length - (match[2] ?? "").length), (match[2] ?? "").slice(1)];
  for (let folder = from; ; folder = dirname(folder)) {
    const packageFolder = join(folder, "node_modules", name);
    if (existsSync(packageFolder)) {
      const candidates =
        rest === ""
          ? [join(packageFolder, "data", "data.txt"), join(packageFolder, "data")]
          : [join(packageFolder, rest)];
      const place = candidates.find((p) => existsSync(p));
      if (place !== undefined) return place;
      throw new TrainError("bad-data", `the package ${name} has no ${rest === "" ? "folder `data`" : rest}`, {
        hint: rest === "" ? `give a file or folder inside it: ${name}/…` : null,
      });
    }
    if (dirname(folder) === folder) throw none;
  }
}

async function filesUnder(folder: string): Promise<readonly SourceFile[]> {
  const entries = await reaching(folder, () => readdir(folder, { recursive: true, withFileTypes: true }));
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (path) =>
        !relative(folder, path)
          .split(sep)
          .some((part) => part.startsWith(".")) && [...TEXT, ...Object.keys(ROWS)].some((end) => path.endsWith(end)),
    )
    .sort();
  const files: SourceFile[] = [];
  for (const path of names) {
    const stats = await reaching(path, () => stat(path)); // follows links
    if (stats.isFile()) files.push({ path, kind: kindOf(path), bytes: stats.size, modified: stats.mtimeMs });
  }
  return files;
}

const kindOf = (path: string): SourceFile["kind"] =>
  Object.entries(ROWS).find(([end]) => path.endsWith(end))?.[1] ?? "text";

/** A digest of the file's content. */
export async function digestOf(file: SourceFile, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const _ of fileBytes(file, hash, signal)); // only the hash is needed
  return hash.digest("hex");
}

/** Reads a file in pieces. Throws the signal's reason between two pieces. */
export async function* fileBytes(
  file: SourceFile,
  hash: Hashing,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const stream = createReadStream(file.path, { highWaterMark: 1 << 18 });
  try {
    for await (const chunk of stream) {
      if (signal?.aborted) break;
      const bytes = chunk as Buffer; // a stream without an encoding yields buffers
      hash?.update(bytes);
      yield bytes;
    }
  } catch (cause) {
    throw unreadable(file.path, cause);
  } finally {
    stream.destroy();
  }
  signal?.throwIfAborted();
}

/** How the files have changed since they were read, as a sentence; null: they are unchanged. */
export async function changeOf(files: readonly SourceFile[]): Promise<string | null> {
  for (const { path, bytes, modified } of files) {
    try {
      const now = await stat(path);
      if (now.size !== bytes || now.mtimeMs !== modified) return `${path} has changed`;
    } catch (cause) {
      return unreadable(path, cause).message;
    }
  }
  return null;
}

/** Converts an error of the file system to a TrainError; other errors are returned unchanged. */
function unreadable(path: string, cause: unknown): Error {
  const code = errnoOf(cause);
  if (code === null) return cause as Error; // unchanged
  return new TrainError("bad-data", `cannot read ${path}: ${reasonOf(code, { ENOENT: "the file is missing" })}`, {
    cause,
  });
}

async function reaching<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}
