// Reads the text of `--data -`: saves standard input to a file, as texts are read several times and in pieces.
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../terminal/exit.js";
import { makeFolder, readBytes, STDIN, writeText } from "./files.js";

/**
 * The path of the text: `data` itself, or a file in `folder` with the contents of standard input. With `field` that is
 * JSONL.
 */
export function dataIn(folder: string, data: string, field: string | undefined): string {
  if (data !== STDIN) return data;
  const bytes = readBytes(STDIN);
  if (bytes.length === 0) throw new UserError("standard input is empty");
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const path = join(folder, `stdin-${digest}.${field === undefined ? "txt" : "jsonl"}`);
  makeFolder(folder);
  if (statSync(path, { throwIfNoEntry: false })?.size !== bytes.length) writeText(path, bytes);
  return path;
}
