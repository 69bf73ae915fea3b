// A command line from its words to its exit code, in this process: what `modc` does, and what tests and other programs
// call.
import { CommanderError } from "@commander-js/extra-typings";
import { commandLine } from "./tree/command-line.js";
import { EXIT, type ExitCode } from "./terminal/exit.js";
import { report } from "./terminal/failure.js";
import { withIo, type CliIo } from "./terminal/io.js";
import { expectOneReader, usageError } from "./tree/usage.js";

/**
 * Runs `modc …` and returns the code it ends with. `words` are what follows the program's name: `["check", "model.mod",
 * "--json"]`. What `other` leaves out is the process's own: its streams and its environment; relative paths begin at
 * its working directory.
 *
 * Never throws, and leaves nothing behind: it does not set the process's exit code, no listener of a signal or stream
 * outlives it for more than two turns of the event loop, and the device it opened is gone. Several may run at the same
 * time.
 *
 * Interrupts (SIGINT, SIGTERM, SIGHUP) are left to the caller, but for two times. While a command does what it can keep
 * (`train`, `generate`, `tune`), the first one stops it, and the next ends the process. While a command has temporary
 * files, an interrupt that stops nothing removes them, and ends the process by the same signal.
 */
export const runCli = (words: readonly string[], other: Partial<CliIo> = {}): Promise<ExitCode> =>
  withIo(other, async () => {
    let exit: ExitCode = EXIT.fine;
    const program = commandLine((code) => void (exit = code));
    try {
      program.hook("preAction", (_, command) => expectOneReader(command));
      await program.parseAsync(words, { from: "user" });
      return exit;
    } catch (fault) {
      if (!(fault instanceof CommanderError)) return report(fault, asJson(words));
      if (fault.code.startsWith("commander.help") || fault.code === "commander.version")
        return fault.exitCode === 0 ? EXIT.fine : EXIT.usage; // it is printed
      return report(usageError(fault, program, words), asJson(words));
    }
  });

/**
 * Whether faults are told as JSON: where the option stands at all, for what is wrong with the others may be why nobody
 * has read it.
 */
function asJson(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return (end < 0 ? words : words.slice(0, end)).includes("--json");
}
