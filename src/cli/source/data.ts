// The text of `--data -`: standard input as a file, for a text is read several times and in pieces.
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../terminal/exit.js";
import { makeFolder, readBytes, STDIN, writeText } from "./files.js";

/**
 * The name of the text: as it was given, or the file in `folder` that keeps what is on standard input. With a field of
 * JSONL named, it is JSONL.
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
