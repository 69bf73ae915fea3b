// Reads the headers of GGUF files on disk, and small tensors of them. Node only.
import { readSync, statSync } from "node:fs";
import { errnoOf, reasonOf } from "../../base/errno.js";
import { WeightsError } from "../errors.js";
import { withRegular } from "../regular-node.js";
import { TRUNCATED } from "../weights/safetensors.js";
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
export const pullFrom =
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
export const openHeader = (path: string): GgufHeader => withFile(path, (pull, bytes) => readHeader(pull, bytes, path));

/** The bytes of a small tensor, as they are stored. Throws WeightsError. */
export const readSmallTensor = (path: string, { offset, bytes }: GgufTensor): Uint8Array =>
  withFile(path, (pull) => pull(offset, bytes));

function withFile<T>(path: string, body: (pull: Pull, bytes: number) => T): T {
  try {
    return withRegular(path, (fd, bytes) => body(pullFrom(fd, path), bytes));
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    throw new WeightsError(`cannot open ${path}: ${reasonOf(code)}`, { cause });
  }
}
