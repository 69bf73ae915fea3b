// Assembles the command line: all commands in order, and the general help.
import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { actsOf, COMMANDS, type CommandName } from "./acts.js";
import type { ExitCode } from "./terminal/exit.js";
import { io, type Output } from "./terminal/io.js";
import { add, SAFE } from "./add.js";
import type { Declared } from "./tree/declare.js";
import { modcVersion } from "./tree/version.js";

const EXIT_CODES = `Exit codes: 0 fine, 1 error in source, input or weights, 2 usage, 3 no GPU or
GPU lost, 4 check failed, 70 bug in modc, 130 interrupted. With --json an error
is an object with exit, code, message, hint and spans, alone on a line. Ctrl-C
and SIGTERM end a command that has nothing to save with the signal itself; shells
report 130 and 143.`;

/** The width of the terminal; 80 where there is none. */
const widthOf = ({ isTTY, columns }: Output): number => (isTTY && columns ? columns : 80);

/**
 * The command line, ready to parse. `finish` is called with the exit code of a command. Parsing throws CommanderError
 * for an invalid call, without printing it.
 */
export function commandLine(finish: (code: ExitCode) => void): CommandUnknownOpts {
  const program = new Command("modc")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io().stdout.write(text),
      writeErr: (text) => io().stderr.write(text),
      outputError: () => undefined,
      getOutHelpWidth: () => widthOf(io().stdout),
      getErrHelpWidth: () => widthOf(io().stderr),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .description("Compiles Mixture-of-Depths models to GPU kernels and runs them.")
    .version(modcVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .enablePositionalOptions() // `modc build --version 1.2.0` is an option of the command
    .option("--safe", SAFE)
    .helpCommand(false)
    .addHelpText("after", `\n${EXIT_CODES}\n`);
  const acts = actsOf(program);
  for (const [group, commands] of Object.entries(COMMANDS))
    for (const [name, declared] of Object.entries<Declared>(commands))
      add(program, name, declared, acts[name as CommandName], finish).helpGroup(group); // the keys of constant tables
  return program;
}
