// Reads the source of a model and its imports, which must be in the folder of its file. Node only.
import { realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { isInside } from "../../ground/files/inside-node.js";
import { readRegular } from "../../ground/files/regular-node.js";
import type { Read } from "../../language/check/names/files.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { SessionError } from "../../language/diagnostics/errors.js";

/** Reads the files of a source. The command line has a different reader: it also reads standard input. */
export interface SourceReader {
  /** The name of a file in messages; imports are relative to the folder in that name. */
  readonly nameOf: (path: string) => string;
  /** The text of a model. */
  readonly model: (path: string) => SourceFile;
  /** The text of an imported file, or why it is not read. */
  readonly imported: (path: string) => Exclude<ReturnType<Read>, null>;
}

/**
 * Returns a function that reads imported files by their path relative to the root file's folder: null for a missing
 * file. Refuses files whose real path is outside that folder, also through links.
 */
export function importsBeside(root: string, readText: SourceReader["imported"]): Read {
  const folder = dirname(resolve(root));
  return (path) => {
    const full = join(folder, path);
    let real: string;
    try {
      real = realpathSync(full);
    } catch {
      return null; // the compiler reports it at the import
    }
    if (!isInside(real, realpathSync(folder))) {
      return { refused: `it is a link to ${real}, outside the folder of the compiled file` };
    }
    return readText(full);
  };
}

/** Reads files as the library does. Throws SessionError. */
export const fromDisk: SourceReader = {
  nameOf: (path) => path,
  model: (path) => ({ file: path, text: readText(path) }),
  imported: readText,
};

const MAX_BYTES = 64 * 1024 * 1024;

/** Reads UTF-8 text, without its byte-order mark. Throws SessionError. */
function readText(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      readRegular(path, MAX_BYTES, (size) => new SessionError(`${path} has ${size} bytes: too many for a source file`)),
    );
  } catch (cause) {
    if (cause instanceof SessionError) throw cause;
    const code = errnoOf(cause);
    // Node's errors have a `code`
    const undecoded = (cause as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA";
    const reason = code !== null ? reasonOf(code) : undecoded ? "it is not UTF-8 text" : String(cause);
    throw new SessionError(`cannot read ${path}: ${reason}`, { cause });
  }
}
