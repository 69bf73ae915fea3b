// Holds, before any work, that a command writes over no file that it reads, and over no file of another kind.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { AsyncLocalStorage } from "node:async_hooks";
import { readdirSync, realpathSync, statSync, closeSync, openSync, readSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errnoOf } from "../../../ground/base/errno.js";
import { MODEL_FILE } from "../../../models/families/files-node.js";
import { BASE, baseFilesOf } from "../../../runtime/weights/base-node.js";
import { MANIFEST } from "../../../models/runs/manifest.js";
import { isStepFolder } from "../../../models/runs/trained-node.js";
import { isFolder } from "../../../models/tokenizer/folder-node.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { OutputOption, type OutputKind } from "../tree/options.js";
import { PROGRAM_FORMAT } from "../../../runtime/program/program.js";
import { TUNINGS_FORMAT } from "../../../compiler/schedule/tunings/file.js";
import { escapedName } from "../../../ground/base/shown.js";

/** The options of the command that is running here, by the files that they name and that are there already. */
const claimed = new AsyncLocalStorage<ReadonlyMap<string, string>>();

/**
 * Runs `act` on `words`, the command's arguments with its flags last. Throws UserError if an option names a file to be
 * written that is of another kind (`OutputKind`), that another option or an argument names to be read, or that is in a
 * folder which they name.
 */
export function keepingInputs<T>(command: CommandUnknownOpts, words: readonly unknown[], act: () => T): T {
  const flags = words.at(-1) as Readonly<Record<string, unknown>>; // the options stand last
  const outputs = new Map<string, string>();
  const kinds: (() => void)[] = [];
  for (const option of command.options) {
    const path = flags[option.attributeName()];
    if (!(option instanceof OutputOption) || typeof path !== "string") continue;
    const file = identityOf(path);
    if (file === null) continue;
    expectNoCheckpoint(option, path);
    if (option.kind !== null) kinds.push(() => expectOfKind(option.kind!, path));
    outputs.set(file, `${option.long} ${path}`);
  }
  if (outputs.size === 0) return act();
  return claimed.run(outputs, () => {
    command.registeredArguments.forEach((argument, i) => {
      for (const path of textsOf(words[i])) expectAllKept(path, { described: argument.name() === "checkpoint" });
    });
    for (const option of command.options)
      if (!(option instanceof OutputOption))
        for (const path of pathsOf(option.flags, flags[option.attributeName()]))
          expectAllKept(path, { described: false });
    for (const expectKind of kinds) expectKind();
    return act();
  });
}

/** Names of files of a run's checkpoint. */
const OF_CHECKPOINT = /^(?:manifest|tunings|modc-base|tokenizer(?:_config)?)\.json$|\.safetensors$|\.mod$/;

/** Throws UserError where the file is one of a checkpoint of a run, whose record says what each of them holds. */
function expectNoCheckpoint({ long }: OutputOption<string>, path: string): void {
  const file = realpathSync(path);
  if (!isStepFolder(dirname(file)) || !OF_CHECKPOINT.test(basename(file))) return;
  throw new UserError(
    `${long} ${path} would overwrite a file of a checkpoint, which could then no longer be opened`,
    "give another file",
    EXIT.usage,
    "writes-input",
  );
}

/** Throws UserError where the command that is running here is to write the file of that path, which it reads. */
export function expectKept(path: string): void {
  const outputs = claimed.getStore();
  const file = outputs === undefined ? null : identityOf(path);
  const output = file === null ? undefined : outputs?.get(file);
  if (output === undefined) return;
  throw new UserError(
    `${output} would overwrite ${path}, which the command reads`,
    "give another file",
    EXIT.usage,
    "writes-input",
  );
}

/** Names of a checkpoint's files. */
const OWN = /^(?:config|generation_config|tokenizer_config|tokenizer|special_tokens_map)\.json$|\.jinja$|\.safetensors/;

/**
 * The same of a folder's files, and of those of the base that its weights lie over. `described`: its model is what its
 * configuration says, and model.mod is not read.
 */
export function expectAllKept(path: string, { described }: { readonly described: boolean }): void {
  if (!isFolder(path)) return expectKept(path);
  const names = readdirSync(path);
  const trained = names.includes(MANIFEST); // and whatever is there is its own
  for (const name of names)
    if (trained || OWN.test(name) || (name === MODEL_FILE && !described)) expectKept(join(path, name));
  if (names.includes(BASE)) for (const file of baseFilesOf(path)) expectKept(file);
}

/** The same for all names of a file; null where no regular file is there, so that nothing is lost. */
function identityOf(path: string): string | null {
  try {
    const stats = statSync(path, { bigint: true });
    return stats.isFile() ? `${stats.dev}:${stats.ino}` : null;
  } catch (fault) {
    if (errnoOf(fault) === null && !(fault instanceof TypeError)) throw fault; // told where the file is used
    return null;
  }
}

/** Paths among the values of an option: the values of options that take paths, and `@path` in others. */
function pathsOf(flags: string, value: unknown): readonly string[] {
  const takesPath = /<(?:path|what)>/.test(flags);
  return textsOf(value).flatMap((text) => (text.startsWith("@") ? [text, text.slice(1)] : takesPath ? [text] : []));
}

/** All texts of a value: one, a list, or those by name. */
function textsOf(value: unknown): readonly string[] {
  const all: readonly unknown[] = typeof value === "object" && value !== null ? Object.values(value) : [value];
  return all.filter((one) => typeof one === "string");
}

const MOST_START = 1024;

/** JSON whose field `format` is early in the text. */
const ofFormat =
  (format: string) =>
  (start: string): boolean =>
    start.startsWith("{") && new RegExp(`"format":\\s*"${format}`).test(start);

/** A kind of file, and a test whether a file with this beginning (bytes as Latin-1) is of the kind. */
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
