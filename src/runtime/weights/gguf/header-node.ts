// Reads the headers of GGUF files on disk, and small tensors of them. Node only.
import { fstatSync, readSync, statSync } from "node:fs";
import { errnoOf, reasonOf } from "../../../ground/base/errno.js";
import { WeightsError } from "../../device/errors.js";
import { withRegular } from "../../../ground/files/regular-node.js";
import { TRUNCATED } from "../safetensors.js";
import type { Pull } from "./cursor.js";
import { readHeader, type GgufHeader, type GgufTensor } from "./header.js";

/** Whether a path is named as GGUF files are, and no folder's. Where it cannot be reached, its reader reports why. */
export function isGgufPath(path: string): boolean {
  if (!/\.gguf$/i.test(path)) return false;
  try {
    return !statSync(path).isDirectory();
  } catch {
    return true;
  }
}

/** Reads an open file; `name` is for messages. */
const pullFrom =
  (fd: number, name: string): Pull =>
  (at, length) => {
    const out = new Uint8Array(length);
    for (let done = 0; done < length;) {
      const read = readSync(fd, out, done, length - done, at + done);
      if (read === 0) throw new WeightsError(`${name} is truncated: it ends at byte ${at + done}`, { hint: TRUNCATED });
      done += read;
    }
    return out;
  };

/** The header of a file. Throws WeightsError. */
export const openHeader = (path: string): GgufHeader => withFile(path, (_, bytes, fd) => headerOf(fd, bytes, path));

/**
 * The last header, with the file it was read from, for a while: to generate, the model's settings, its tokenizer, its
 * defaults and its weights are asked for one after the other, and a vocabulary takes long to read.
 */
let last: { readonly key: string; readonly header: GgufHeader } | null = null;
let forgets: NodeJS.Timeout | undefined;
const KEPT_MS = 30_000;
/** A file that changed so shortly before it was read may change again without another time. */
const SETTLED_MS = 100;

/** The header of an open file of that size; `name` is for messages. Throws WeightsError. */
export function headerOf(fd: number, bytes: number, name: string): GgufHeader {
  const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = fstatSync(fd, { bigint: true });
  const key = [dev, ino, size, mtimeNs, ctimeNs].join();
  if (last?.key === key) return last.header.file === name ? last.header : { ...last.header, file: name };
  const settled = Date.now() - Number(ctimeMs) > SETTLED_MS;
  const header = readHeader(pullFrom(fd, name), bytes, name);
  last = settled ? { key, header } : null;
  clearTimeout(forgets);
  forgets = setTimeout(() => (last = null), KEPT_MS).unref();
  return header;
}

/** The bytes of a small tensor, as they are stored. Throws WeightsError. */
export const readSmallTensor = (path: string, { offset, bytes }: GgufTensor): Uint8Array =>
  withFile(path, (pull) => pull(offset, bytes));

function withFile<T>(path: string, body: (pull: Pull, bytes: number, fd: number) => T): T {
  try {
    return withRegular(path, (fd, bytes) => body(pullFrom(fd, path), bytes, fd));
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    throw new WeightsError(`cannot open ${path}: ${reasonOf(code)}`, { cause });
  }
}
