// Commands for help, and shell completion.
import * as o from "./options.js";
import { declare } from "./declare.js";

export const aboutCommands = {
  help: declare({
    takes: "[command]",
    does: "print what a command takes; without one, which there are",
    options: [],
  }),
  explain: declare({
    takes: "[code]",
    does: "explain a diagnostic's code; without one, list them",
    options: [o.json],
  }),
  completion: declare({
    takes: "<shell>",
    does: "print the script by which a shell completes what is typed: bash, zsh or fish",
    options: [],
    choices: ["bash", "zsh", "fish"],
    note: `To install:
  bash  add  eval "$(modc completion bash)"  to ~/.bashrc
  zsh   add  source <(modc completion zsh)  to ~/.zshrc, behind compinit
  fish  modc completion fish > ~/.config/fish/completions/modc.fish`,
  }),
  doc: declare({
    takes: "[what] [name]",
    does: "print the documentation of a file, of std, or of builtins",
    options: [o.json],
  }),
};
