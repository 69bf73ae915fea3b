// Commands that explain, and the one that completes what is typed.
import type { Command } from "commander";
import { EXIT } from "../exit.js";
import * as o from "../options.js";
import { UsageError } from "../usage.js";
import type { Declared } from "./add.js";

export const aboutCommands = (program: Command): readonly Declared[] => [
  {
    words: "help [command]",
    does: "print what a command takes; without one, which there are",
    options: [],
    act: async (name: string | undefined) => {
      const named = name === undefined ? program : program.commands.find((c) => c.name() === name);
      if (!named) throw await unknown(name!, program);
      named.outputHelp();
      return EXIT.fine;
    },
  },
  {
    words: "explain [code]",
    does: "explain a diagnostic's code; without one, list them",
    options: [o.json],
    act: async (code, flags) => (await import("../commands/explain.js")).explain(code, flags),
  },
  {
    words: "completion <shell>",
    does: "print the script by which a shell completes what is typed: bash, zsh or fish",
    options: [],
    choices: ["bash", "zsh", "fish"],
    note: `To install:
  bash  add  eval "$(modc completion bash)"  to ~/.bashrc
  zsh   add  source <(modc completion zsh)  to ~/.zshrc, behind compinit
  fish  modc completion fish > ~/.config/fish/completions/modc.fish`,
    act: async (shell) => (await import("../commands/completion.js")).completion(shell, program),
  },
  {
    words: "doc [what] [name]",
    does: "print the documentation of a file, of std, or of builtins",
    options: [o.json],
    act: async (what, name, flags) => (await import("../commands/doc.js")).doc(what, name, flags),
  },
];

async function unknown(name: string, program: Command): Promise<UsageError> {
  const { didYouMean } = await import("../did-you-mean.js");
  const names = program.commands.map((c) => c.name());
  return new UsageError(
    "unknown-command",
    `there is no command ${JSON.stringify(name)}`,
    didYouMean(name, names) ?? "`modc help` lists them",
  );
}
