// `modc completion`: prints a shell's completion script for commands, options and their values, generated from the
// command line.
import type { Argument, CommandUnknownOpts, Option } from "@commander-js/extra-typings";
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

export function bash(commands: readonly Completed[]): string {
  const cases = commands.flatMap(({ name, options, arguments: args }) => [
    ...options.flatMap(({ short, long, values }) =>
      values === null
        ? []
        : [
            `    ${[long, ...(short === null ? [] : [short])].map((o) => `'${name} ${o}'`).join("|")}) ` +
              `${offer(values)} ;;`,
          ],
    ),
    `    '${name} '*) ` +
      `options='${options.flatMap(({ short, long }) => (short === null ? [long] : [short, long])).join(" ")}'; ` +
      `${args.length === 0 ? ":" : offer(args[0]!.values)} ;;`,
  ]);
  return script("bash", 'add  eval "$(modc completion bash)"  to ~/.bashrc', [
    "_modc() {",
    "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} options= " +
      "words= files= at IFS=$' \\t\\n'",
    "  # --option=value comes as three words",
    "  if [[ $word == = ]]; then word=",
    "  elif [[ $before == = ]] && ((COMP_CWORD > 2)); then before=${COMP_WORDS[COMP_CWORD-2]}",
    "  fi",
    "  if ((COMP_CWORD == 1)); then",
    `    COMPREPLY=($(compgen -W '${[...commands.map((c) => c.name), "--version", "--help"].join(" ")}' -- "$word"))`,
    "    return",
    "  fi",
    '  case "$command $before" in',
    ...cases,
    "  esac",
    '  if [[ $word == -* && -n $options ]]; then COMPREPLY=($(compgen -W "$options" -- "$word")); return; fi',
    "  # @file in a text or a file, name=@file after a name",
    "  at=; case $word in @*) at=@ files=-f ;; esac",
    "  COMPREPLY=()",
    '  if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$word"))',
    "  elif [[ -n $files ]]; then",
    "    IFS=$'\\n'",
    '    COMPREPLY=($(compgen "$files" -P "$at" -- "${word#@}"))',
    "    compopt -o filenames 2>/dev/null",
    "  fi",
    "}",
    "complete -F _modc modc",
  ]);
}

/** The bash code that offers values. Words have only letters, digits, dots and hyphens, and need no quotes. */
function offer(values: Values): string {
  switch (values.kind) {
    case "words":
      return `words='${values.words.join(" ")}'`;
    case "file":
      return "files=-f";
    case "folder":
      return "files=-d";
    case "other":
      return ":";
    default:
      return values satisfies never;
  }
}

export function zsh(commands: readonly Completed[]): string {
  return `#compdef modc\n${script("zsh", "add  source <(modc completion zsh)  to ~/.zshrc, after compinit", [
    "_modc() {",
    "  local curcontext=$curcontext state line",
    "  typeset -A opt_args",
    "  _arguments -C '(- *)'{-V,--version}'[print the version]' '(- *)'{-h,--help}'[print the help]' '1: " +
      ":->command' '*:: :->rest'",
    "  case $state in",
    "    command)",
    "      local -a commands=(",
    ...commands.map(({ name, does }) => `        ${quoted(`${name}:${does}`)}`),
    "      )",
    "      _describe -t commands command commands ;;",
    "    rest)",
    "      case $words[1] in",
    ...commands.flatMap(({ name, options, arguments: args }) => [
      `        ${name})`,
      "          _arguments -s -S \\",
      ...options.flatMap(optionSpecs).map((spec) => `            ${quoted(spec)} \\`),
      ...args.map(
        (a, i) => `            ${quoted(`${a.variadic ? "*" : String(i + 1)}:${a.name}:${action(a.values)}`)} \\`,
      ),
      "            && return ;;",
    ]),
    "      esac ;;",
    "  esac",
    "}",
    'if [[ $funcstack[1] == _modc ]]; then _modc "$@"; else compdef _modc modc; fi',
  ])}`;
}

/** `(-o --output)--output=[the file to write]:path:_files`, one for each way to write it. */
function optionSpecs({ short, long, does, values, optional, repeatable }: CompletedOption): readonly string[] {
  const both = [...(short === null ? [] : [short]), long];
  const apart = repeatable ? "*" : both.length > 1 ? `(${both.join(" ")})` : "";
  const text = does.replaceAll(/[\\[\]:]/g, String.raw`\$&`);
  const value = values === null ? "" : `${optional ? "::" : ":"}${long.slice(2)}:${action(values)}`;
  return both.map(
    (name) => `${apart}${name}${values === null ? "" : name.startsWith("--") ? "=" : "+"}[${text}]${value}`,
  );
}

function action(values: Values): string {
  switch (values.kind) {
    case "words":
      return `(${values.words.join(" ")})`;
    case "file":
      return "_files";
    case "folder":
      return "_files -/";
    case "other":
      return " ";
    default:
      return values satisfies never;
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

export function fish(commands: readonly Completed[]): string {
  return script("fish", "modc completion fish > ~/.config/fish/completions/modc.fish", [
    "function __modc_command",
    "    set -l words (commandline -opc)",
    "    test (count $words) -ge 2; and test $words[2] = $argv[1]",
    "end",
    "complete -c modc -f",
    "complete -c modc -n __fish_use_subcommand -s V -l version -d 'print the version'",
    "complete -c modc -n __fish_use_subcommand -s h -l help -d 'print the help'",
    ...commands.flatMap(({ name, does, options, arguments: args }) => {
      const command = `complete -c modc -n '__modc_command ${name}'`;
      return [
        `complete -c modc -n __fish_use_subcommand -a ${name} -d ${fishQuoted(does)}`,
        ...options.map(
          (o) =>
            `${command}${o.short === null ? "" : ` -s ${o.short.slice(1)}`} -l ` +
            `${o.long.slice(2)}${o.values === null ? "" : value(o.values, o.optional)} -d ${fishQuoted(o.does)}`,
        ),
        ...args.slice(0, 1).flatMap((a) => (a.values.kind === "other" ? [] : [`${command}${argument(a.values)}`])),
      ];
    }),
  ]);
}

function value(values: Values, optional: boolean): string {
  if (values.kind === "words") return ` -x -a '${values.words.join(" ")}'`;
  if (values.kind === "folder") return " -x -a '(__fish_complete_directories)'";
  return values.kind === "file" ? " -r -F" : optional ? "" : " -x";
}

function argument(values: Values): string {
  if (values.kind === "words") return ` -a '${values.words.join(" ")}'`;
  return values.kind === "folder" ? " -a '(__fish_complete_directories)'" : " -F";
}

const fishQuoted = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;

/** The kind of an option's value or of an argument: one of some words, a file, a folder, or anything. */
type Values =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file" | "folder" | "other" };

interface CompletedOption {
  /** `-o` */
  readonly short: string | null;
  /** `--output` */
  readonly long: string;
  readonly does: string;
  /** Null if the option takes no value. */
  readonly values: Values | null;
  /** Whether the value may be left out. */
  readonly optional: boolean;
  readonly repeatable: boolean;
}

interface Completed {
  readonly name: string;
  readonly does: string;
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly { readonly name: string; readonly values: Values; readonly variadic: boolean }[];
}

/** The text of a script, with instructions for its installation. */
export const script = (shell: string, install: string, lines: readonly string[]): string =>
  `# Completion of modc for ${shell}, as \`modc completion ${shell}\` prints it. To install: ` +
  `${install}\n${lines.join("\n")}\n`;
