// A command line from its words to its exit code, in this process: what `modc` does, and what tests and other programs call.
import { CommanderError } from "commander";
import { commandLine } from "./command-line.js";
import { EXIT, judge, type ExitCode } from "./exit.js";
import { io, withIo, type CliIo } from "./io.js";
import { error, say } from "./terminal.js";

/**
 * Runs `modc …` and returns the code it ends with. `words` are what follows the program's name: `["check", "model.mod", "--json"]`. What `other` leaves out is the process's own: its streams and
 * its environment; relative paths begin at its working directory.
 *
 * Never throws, and leaves nothing behind: it does not end the process nor set its exit code, no listener of a signal or stream outlives it, and the device it opened is gone. Several may run at
 * the same time. Interrupts: a command that keeps what it did so far (`train`, `generate`, `eval`, `tune`) hears SIGINT and SIGTERM while it runs; others leave them to the caller.
 */
export const runCli = (words: readonly string[], other: Partial<CliIo> = {}): Promise<ExitCode> =>
  withIo(other, async () => {
    let exit: ExitCode = EXIT.fine;
    try {
      await commandLine((code) => void (exit = code)).parseAsync(words, { from: "user" });
      return exit;
    } catch (fault) {
      return fault instanceof CommanderError ? (fault.exitCode === 0 ? EXIT.fine : EXIT.usage) : report(fault);
    }
  });

function report(fault: unknown): ExitCode {
  const { exit, message, hint } = judge(fault);
  if (message !== null) error(message, hint);
  if (io().env["MODC_DEBUG"] && fault instanceof Error) say(fault.stack ?? "");
  return exit;
}
