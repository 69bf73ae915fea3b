// Saves standard input, and a text of the command line, to a file, as texts are read several times and in pieces.
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
  return saved(folder, bytes, field);
}

/** The path of a file in `folder` with a text. */
export const textIn = (folder: string, text: string): string => saved(folder, Buffer.from(text), undefined);

function saved(folder: string, bytes: Uint8Array, field: string | undefined): string {
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const path = join(folder, `text-${digest}.${field === undefined ? "txt" : "jsonl"}`);
  makeFolder(folder);
  if (statSync(path, { throwIfNoEntry: false })?.size !== bytes.length) writeText(path, bytes);
  return path;
}
