// How a command is declared: its words, what it does in a sentence, its options, and what it calls.
import type { Command, Option } from "commander";
import type { ExitCode } from "../exit.js";

/** `act` is given the arguments and then the options, as commander has them, and is loaded only when the command is called. */
export interface Declared {
  /** Name and arguments: `wgsl <file> [kernel]`. */
  readonly words: string;
  readonly does: string;
  readonly options: readonly Option[];
  /** Below the options of its help. */
  readonly note?: string;
  readonly act: (...given: never[]) => Promise<ExitCode> | ExitCode;
}

export function add(program: Command, { words, does, options, note, act }: Declared, finish: (code: ExitCode) => void): Command {
  const command = program.command(words).description(does);
  for (const option of options) command.addOption(option);
  if (note !== undefined) command.addHelpText("after", `\n${note}\n`);
  const given = command.registeredArguments.length + 1;
  return command.action(async (...all: unknown[]) => finish(await act(...(all.slice(0, given) as never[])))); // commander gives the command itself too; it has checked what stands there
}
