// The kinds of files that commands write, by how each begins: a command writes over a file of its own kind only.
import { closeSync, openSync, readSync } from "node:fs";
import { PROGRAM_FORMAT } from "../../../runtime/program/program.js";
import { TUNINGS_FORMAT } from "../../../compiler/schedule/tunings/file.js";
import { escapedName } from "../../../ground/base/shown.js";
import { UserError } from "../terminal/exit.js";
import type { OutputKind } from "../tree/options.js";

const MOST_START = 1024;

/** JSON whose field `format` is early in the text. */
const ofFormat =
  (format: string) =>
  (start: string): boolean =>
    start.startsWith("{") && new RegExp(`"format":\\s*"${format}`).test(start);

/** What a file is, and whether a file that begins so (bytes as Latin-1) is one. */
const KINDS = {
  safetensors: { what: "a safetensors file", begins: (start: string) => /^[^]{7}\0\{/.test(start) },
  onnx: { what: "an ONNX file of modc", begins: (start: string) => /^\x08[^]\x12\x04modc/.test(start) },
  program: { what: "a compiled program", begins: ofFormat(PROGRAM_FORMAT) },
  tunings: { what: "a file of tunings", begins: ofFormat(TUNINGS_FORMAT) },
  fault: { what: "a saved fault", begins: ofFormat("modc reproduction") },
  trace: { what: "a Chrome trace of modc", begins: (start: string) => start.startsWith('{"displayTimeUnit":"ms",') },
  page: { what: "a page of modc", begins: (start: string) => start.startsWith("<!doctype html>\n<!-- Made by modc") },
  drawing: { what: "a drawing of modc", begins: (start: string) => start.startsWith("<!-- Made by modc") },
} as const satisfies Readonly<
  Record<OutputKind, { readonly what: string; readonly begins: (start: string) => boolean }>
>;

/** Throws UserError if the regular file at `path` is neither empty nor of this kind. */
export function expectOfKind(kind: OutputKind, path: string): void {
  const start = startOf(path);
  if (start === "" || KINDS[kind].begins(start)) return;
  throw new UserError(
    `${escapedName(path)} is not ${KINDS[kind].what}, and would be overwritten`,
    "name another file, or move this one away",
  );
}

/** The first bytes of a file as Latin-1. */
function startOf(path: string): string {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(MOST_START);
    return bytes.toString("latin1", 0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}
