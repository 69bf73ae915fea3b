// Runs a command line in this process, from its words to its exit code: for `modc` itself, tests and other programs.
import { CommanderError } from "@commander-js/extra-typings";
import { commandLine } from "./command-line.js";
import { EXIT, UserError, type ExitCode } from "./terminal/exit.js";
import { report } from "./terminal/failure.js";
import { withIo, type CliIo } from "./terminal/io.js";
import { asForeign, expectNamed, expectOneReader, usageError } from "./tree/usage.js";

/**
 * Runs `modc …` and returns its exit code. `words` are the arguments after the program's name: `["check", "model.mod",
 * "--json"]`. `other` overrides streams and environment of the process; relative paths start at its working directory.
 *
 * Never throws, and leaves nothing behind: it does not set the process's exit code, no listener of a signal or stream
 * outlives it for more than two turns of the event loop, and the device it opened is gone. Several may run at the same
 * time.
 *
 * Interrupts (SIGINT, SIGTERM, SIGHUP) are left to the caller, but for two times. While a command does what it can keep
 * (`train`, `generate`, `tune`, an answer of `chat`), the first one stops it, and the next ends the process. While a
 * command has temporary files, an interrupt that stops nothing removes them, and ends the process by the same signal.
 */
export const runCli = (words: readonly string[], other: Partial<CliIo> = {}): Promise<ExitCode> =>
  withIo(asSafe(words, other), async () => {
    let exit: ExitCode = EXIT.fine;
    const program = commandLine((code) => void (exit = code));
    try {
      program.hook("preAction", (_, command) => {
        expectNamed(command);
        expectOneReader(command);
      });
      await program.parseAsync(words, { from: "user" });
      return exit;
    } catch (fault) {
      if (fault instanceof UserError && fault.exit === EXIT.usage)
        return report(asForeign(fault, program, words), asJson(words));
      if (!(fault instanceof CommanderError)) return report(fault, asJson(words));
      if (fault.code.startsWith("commander.help") || fault.code === "commander.version")
        return fault.exitCode === 0 ? EXIT.fine : EXIT.usage; // help or version was printed
      return report(usageError(fault, program, words), asJson(words));
    }
  });

/** Whether faults are reported as JSON: `--json` is searched in the words, as a usage error may prevent its parsing. */
const asJson = (words: readonly string[]): boolean => hasOption(words, "--json");

/** `--safe` says the same as the environment, which every place that opens a device reads. */
const asSafe = (words: readonly string[], other: Partial<CliIo>): Partial<CliIo> =>
  hasOption(words, "--safe") ? { ...other, env: { ...(other.env ?? process.env), MODC_SAFE: "1" } } : other;

function hasOption(words: readonly string[], option: string): boolean {
  const end = words.indexOf("--");
  return (end < 0 ? words : words.slice(0, end)).includes(option);
}
