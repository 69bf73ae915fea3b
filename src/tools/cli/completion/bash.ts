// Completion for bash, from 3.2 on: words by the command and the word before.
import { script, type Completed, type Values } from "./words.js";

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
