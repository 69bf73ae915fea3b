// Reads parts of open files of weights, and words errors of the file system. Node only.
import type { FileHandle } from "node:fs/promises";
import { errnoOf, reasonOf } from "../../../ground/base/errno.js";
import { whyUnwritten } from "../../../ground/files/place-node.js";
import { WeightsError } from "../../device/errors.js";
import { TRUNCATED } from "./safetensors.js";

/** Reads exactly `bytes` bytes: a single read may return fewer, and at most 2 GiB. */
export async function readExactly(
  handle: FileHandle,
  offset: number,
  bytes: number,
  name: string,
): Promise<Uint8Array> {
  const out = new Uint8Array(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await handle.read(out, done, Math.min(bytes - done, 1 << 30), offset + done);
    if (bytesRead === 0)
      throw new WeightsError(`${name} is truncated: it ends at byte ${offset + done}`, { hint: TRUNCATED });
    done += bytesRead;
  }
  return out;
}

/** Converts errors of the file system to WeightsErrors. */
export async function reaching<T>(what: "open" | "write", path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    const code = errnoOf(cause);
    const reason = what === "write" ? whyUnwritten(cause, path) : code === null ? null : reasonOf(code);
    if (reason === null) throw cause;
    throw new WeightsError(`cannot ${what} ${path}: ${reason}`, { cause });
  }
}
