// `modc completion`: prints a shell's completion script for commands, options and their values, generated from the
// command line.
import type { Argument, CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { bash } from "../completion/bash.js";
import { fish } from "../completion/fish.js";
import type { Completed, CompletedOption, Values } from "../completion/words.js";
import { zsh } from "../completion/zsh.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";
import { io } from "../terminal/io.js";
import { REPEATABLE } from "../tree/options.js";

const SCRIPTS = { bash, zsh, fish } as const;
export type Shell = keyof typeof SCRIPTS;

export async function completion(shell: Shell, program: CommandUnknownOpts): Promise<ExitCode> {
  const { catalogue } = await import("../../../language/diagnostics/catalogue.js");
  io().stdout.write(SCRIPTS[shell](wordsOf(program, Object.keys(catalogue).sort())));
  return EXIT.fine;
}

/** The completions of each command. `codes`: the arguments of `explain`. */
export function wordsOf(program: CommandUnknownOpts, codes: readonly string[]): readonly Completed[] {
  const names = program.commands.map((c) => c.name());
  const help = {
    short: "-h",
    long: "--help",
    does: "print this",
    values: null,
    optional: false,
    repeatable: false,
  } as const;
  return program.commands.map((command) => ({
    name: command.name(),
    does: command.description(),
    options: [...command.options.map(optionOf), help],
    arguments: command.registeredArguments.map((a) => ({
      name: a.name(),
      values: argumentValues(a, { command: names, code: codes }),
      variadic: a.variadic,
    })),
  }));
}

const optionOf = (o: Option): CompletedOption => ({
  short: o.short ?? null,
  long: o.long!, // every option of modc has one
  does: o.description,
  values: o.required || o.optional ? optionValues(o) : null,
  optional: o.optional,
  repeatable: o.variadic || o.description.endsWith(REPEATABLE),
});

/** The kind of an option's values, by their name in its help. */
function optionValues({ argChoices, flags }: Option): Values {
  if (argChoices) return { kind: "words", words: argChoices };
  const name = /[<[]([^\s>\]]+)/.exec(flags)?.[1] ?? "";
  return { kind: name === "path" || name === "what" ? "file" : name === "folder" ? "folder" : "other" };
}

function argumentValues(argument: Argument, known: Readonly<Record<string, readonly string[]>>): Values {
  const words = argument.argChoices ?? known[argument.name()];
  if (words) return { kind: "words", words };
  return {
    kind:
      argument.name() === "folder"
        ? "folder"
        : ["file", "files", "what", "checkpoint"].includes(argument.name())
          ? "file"
          : "other",
  };
}
