// Holds, before any work, that a command writes over no file that it reads, and over no file of another kind.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { AsyncLocalStorage } from "node:async_hooks";
import { readdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errnoOf } from "../../../ground/base/errno.js";
import { MODEL_FILE } from "../../../models/families/files-node.js";
import { BASE, baseFilesOf } from "../../../runtime/weights/base-node.js";
import { MANIFEST } from "../../../models/runs/manifest.js";
import { isStepFolder } from "../../../models/runs/trained-node.js";
import { isFolder } from "../../../models/tokenizer/folder-node.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { OutputOption } from "../tree/options.js";
import { expectOfKind } from "./output-kinds.js";

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
  const found = file === null ? undefined : outputs?.get(file);
  if (found === undefined) return;
  throw new UserError(
    `${found} would overwrite ${path}, which the command reads`,
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
    const found = statSync(path, { bigint: true });
    return found.isFile() ? `${found.dev}:${found.ino}` : null;
  } catch (fault) {
    if (errnoOf(fault) === null && !(fault instanceof TypeError)) throw fault; // told where the file is used
    return null;
  }
}

/** Paths among the values of an option: those of options that take paths, and `@path` in others. */
function pathsOf(flags: string, value: unknown): readonly string[] {
  const takesPath = /<(?:path|what)>/.test(flags);
  return textsOf(value).flatMap((text) => (text.startsWith("@") ? [text, text.slice(1)] : takesPath ? [text] : []));
}

/** All texts of a value: one, a list, or those by name. */
function textsOf(value: unknown): readonly string[] {
  const all: readonly unknown[] = typeof value === "object" && value !== null ? Object.values(value) : [value];
  return all.filter((one) => typeof one === "string");
}
