// Usage errors of a command line, with suggestions.
import type { CommandUnknownOpts, CommanderError } from "@commander-js/extra-typings";
import { EXIT, UserError } from "../terminal/exit.js";
import { foreignHint, formerOption, valueOf } from "./other-names.js";
import { nearest } from "../../../ground/numerics/nearest.js";

/** A fault of the command line itself. */
export class UsageError extends UserError {
  constructor(code: string, message: string, hint: string | null) {
    super(message, hint, EXIT.usage, code);
  }
}

/** Converts commander's error, with a hint. The command is `words[0]`, if there is such a command. */
export function usageError(found: CommanderError, program: CommandUnknownOpts, words: readonly string[]): UsageError {
  const command = program.commands.find((c) => c.name() === words[0]) ?? program;
  // split gives one part at least
  const [message, meant] = found.message.replace(/^error: /, "").split(/\n\(Did you mean |\?\)$/) as [string, string?];
  const code = found.code.replace(/^commander\./, "").replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  // An earlier name explains any other fault.
  const former = formerOption(command, words);
  if (former)
    return new UsageError("renamed-option", `${former.former} is now called ${former.option}`, `write ${former.write}`);
  const help =
    command === program ? "`modc help` lists the commands" : `\`modc help ${command.name()}\` lists its options`;
  const near = meant === undefined ? help : `did you mean ${meant.replace(/^one of /, "")}?`;
  const foreign = command === program ? null : foreignHint(command, words);
  return new UsageError(code, message, missingModel(found, words) ?? foreign ?? near);
}

/** The hint if the model follows an option, as in other programs. */
function missingModel({ code }: CommanderError, [command, ...words]: readonly string[]): string | null {
  if (code !== "commander.missingArgument") return null;
  const paths = ["-m", "--model", "-hf", "--hf-repo", "--model-path"].map((name) => valueOf(name, words));
  const given = paths.find((value) => value !== null);
  return given === undefined ? null : `the model is the first argument: modc ${command} ${given}`;
}

/** A fault in an option's value, with a hint if it stems from another program's option: `-ngl 99` is read as `-n gl`. */
export function asForeign(fault: UserError, program: CommandUnknownOpts, words: readonly string[]): UserError {
  const command = program.commands.find((c) => c.name() === words[0]);
  const hint = command ? foreignHint(command, words) : null;
  return hint === null ? fault : new UserError(fault.message, hint, fault.exit, fault.code);
}

/** Options and arguments that read a file, `@file` in a text among them. */
const READERS = ["weights", "tokenizer", "tunings", "data", "prompt", "text", "input"];
const NAMES_FILES = new Set(["file", "files", "what"]);

/** Throws UsageError for an option that is given and has no effect. `why` says under which condition. */
export function expectNone<F extends object>(flags: F, names: readonly (keyof F & string)[], why: string): void {
  const unused = names.find((name) => flags[name] !== undefined);
  if (unused === undefined) return;
  const option = unused.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError("no-effect", `--${option} has no effect ${why}`, `leave out --${option}`);
}

/** The path that an option or an argument names. Throws UsageError for an empty path. */
export function expectNamed(command: CommandUnknownOpts): void {
  const paths: readonly (readonly [string, unknown])[] = [
    ...command.registeredArguments.map((a, i) => [`<${a.name()}>`, command.processedArgs[i]] as const),
    ...command.options.flatMap((o) =>
      /<(?:path|folder|what)>/.test(o.flags) ? [[o.long!, command.opts()[o.attributeName()]] as const] : [],
    ),
  ];
  const empty = paths.find(([, value]) => value === "" || (Array.isArray(value) && value.includes("")));
  if (empty) throw new UsageError("empty-name", `${empty[0]} is empty: give a name`, null);
}

/** Standard input can be read once. Throws UsageError where two ask for it. */
export function expectOneReader(command: CommandUnknownOpts): void {
  const asks = (value: unknown): boolean => value === "-" || value === "@-";
  const values = (value: unknown): readonly unknown[] =>
    typeof value === "object" && value !== null ? Object.values(value) : [value];
  const readers = [
    ...command.registeredArguments.flatMap((argument, i) =>
      NAMES_FILES.has(argument.name())
        ? values(command.processedArgs[i]).flatMap((v) => (v === "-" ? [`<${argument.name()}>`] : []))
        : [],
    ),
    ...READERS.flatMap((name) => values(command.opts()[name]).flatMap((v) => (asks(v) ? [`--${name}`] : []))),
  ];
  const [first, second] = readers;
  if (second !== undefined)
    throw new UsageError(
      "stdin-twice",
      `standard input can be read only once, but ${first!} and ${second} both read it`,
      "read one from a file",
    );
  const unseekable = ["weights", "tokenizer"].find((name) => asks(command.opts()[name]));
  if (unseekable !== undefined)
    throw new UsageError(
      "stdin-unseekable",
      `--${unseekable} - cannot be read from standard input`,
      "give a file: it is read in several places, or together with other files",
    );
}

/** `did you mean check?` with the nearest name; null where none is near. */
export function didYouMean(name: string, names: Iterable<string>): string | null {
  const near = nearest(name, names);
  return near === null ? null : `did you mean ${near}?`;
}
