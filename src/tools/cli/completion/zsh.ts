// Completion for zsh: each command's options and arguments as its own `_arguments` has them.
import { script, type Completed, type CompletedOption, type Values } from "./words.js";

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
