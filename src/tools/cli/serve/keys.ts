// The keys that a server's flags give: words, or files with a key in each line.
import { readText, pathIn } from "../source/files.js";
import { EXIT, UserError } from "../terminal/exit.js";

export interface KeyFlags {
  readonly apiKey?: readonly string[];
  /** False: --no-key. */
  readonly key: boolean;
}

/** Throws UserError for a file without keys, for what cannot be a key, and for keys that are said not to be wanted. */
export function keysOf({ apiKey = [], key }: KeyFlags): readonly string[] {
  if (apiKey.length > 0 && !key)
    throw new UserError("--no-key and --api-key exclude each other", "give one of them", EXIT.usage);
  return apiKey.flatMap((given) => {
    const path = pathIn(given);
    if (path === null) return [expectKey(given, "--api-key")];
    const lines = readText(path)
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"));
    if (lines.length === 0)
      throw new UserError(`--api-key @${path}: the file has no keys`, "write one key on each line");
    return lines.map((line, i) => expectKey(line, `key ${i + 1} of ${path}`));
  });
}

/** The message does not show the key: it may stand in a log. */
function expectKey(key: string, what: string): string {
  if (/^[\x21-\x7e]{8,}$/.test(key)) return key;
  throw new UserError(
    `${what} is not a key`,
    "a key has at least 8 letters, digits or signs, without spaces",
    EXIT.usage,
  );
}
