// Commands for help, and shell completion.
import * as o from "./options.js";
import { declare } from "./declare.js";

export const aboutCommands = {
  help: declare({
    takes: "[command]",
    does: "print the arguments and options of a command; without one, list the commands",
    options: [],
  }),
  explain: declare({
    takes: "[code]",
    does: "explain the code of an error or warning; without one, list all codes",
    options: [o.json],
  }),
  completion: declare({
    takes: "<shell>",
    does: "print the completion script of a shell: bash, zsh or fish",
    options: [],
    choices: ["bash", "zsh", "fish"],
    note: `To install:
  bash  add  eval "$(modc completion bash)"  to ~/.bashrc
  zsh   add  source <(modc completion zsh)  to ~/.zshrc, after compinit
  fish  modc completion fish > ~/.config/fish/completions/modc.fish`,
  }),
  doc: declare({
    takes: "[what] [name]",
    does: "print the documentation of a file, the standard library (std) or the built-in functions (builtins)",
    options: [o.json],
  }),
};
