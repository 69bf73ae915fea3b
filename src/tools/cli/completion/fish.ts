// Completion for fish: a line for each command, option and argument.
import { script, type Completed, type Values } from "./words.js";

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
      const here = `complete -c modc -n '__modc_command ${name}'`;
      return [
        `complete -c modc -n __fish_use_subcommand -a ${name} -d ${quoted(does)}`,
        ...options.map(
          (o) =>
            `${here}${o.short === null ? "" : ` -s ${o.short.slice(1)}`} -l ` +
            `${o.long.slice(2)}${o.values === null ? "" : value(o.values, o.optional)} -d ${quoted(o.does)}`,
        ),
        ...args.slice(0, 1).flatMap((a) => (a.values.kind === "other" ? [] : [`${here}${argument(a.values)}`])),
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

const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
