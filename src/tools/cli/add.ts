// Adds a declared command to the command line, with the common handling of arguments before it and of errors after it.
import { Option, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { BeyondBoundError, WeightsError, InputError, LimitError } from "../../runtime/device/errors.js";
import type { Opened } from "./source/opened.js";
import { UserError, type ExitCode, misuse } from "./terminal/exit.js";
import type { Declared } from "./tree/declare.js";
import { ModcError } from "../../ground/base/errors.js";
import { TrainError } from "../train/errors.js";
import { TRAIN_OPTIONS } from "../train/options.js";

/** The description of `--safe`, which stands before or after any command. */
export const SAFE = "use the device without 16-bit floats and matrix units, and skip their self-test (any command)";

/** `act` is called with the arguments and then the flags, as by commander. */
export function add(
  program: CommandUnknownOpts,
  name: string,
  { takes, does, options, choices, note, opens = false }: Declared,
  act: (...given: never[]) => Promise<ExitCode> | ExitCode,
  finish: (code: ExitCode) => void,
): CommandUnknownOpts {
  const command: CommandUnknownOpts = program.command(`${name} ${takes}`.trim()).description(does);
  for (const option of options) command.addOption(option);
  command.addOption(new Option("--safe", SAFE).hideHelp()); // `runCli` reads it
  if (choices) command.registeredArguments[0]!.choices(choices);
  if (note !== undefined) command.addHelpText("after", `\n${note}\n`);
  const wordCount = command.registeredArguments.length + 1;
  return command.action(async (...all: unknown[]) => {
    const words = all.slice(0, wordCount); // commander also passes the command itself
    const opened = opens ? await opening(command, words) : null;
    try {
      const { keepingInputs } = await import("./source/outputs.js");
      // commander has checked the arguments
      finish(await keepingInputs(command, opened?.named ?? words, () => act(...((opened?.words ?? words) as never[]))));
    } catch (fault) {
      throw opened ? await withExplanation(spoken(fault, command), command.name(), opened) : spoken(fault, command);
    } finally {
      await opened?.model.close();
    }
  });
}

/** Opens the model of a command; null if none is named. */
async function opening(command: CommandUnknownOpts, [path, ...others]: readonly unknown[]): Promise<Opened | null> {
  if (typeof path !== "string") return null;
  const { openFor } = await import("./source/opened.js");
  return openFor(command, path, others);
}

/** Adds hints to errors: the parameter that explains weights that do not fit, or the one that raises a bound. */
async function withExplanation(fault: unknown, command: string, { model, flags }: Opened): Promise<unknown> {
  if (model.kind === "program") return fault;
  if (fault instanceof WeightsError && fault.tensors !== null) {
    const { explained } = await import("./source/beyond-bound.js");
    return explained(fault, model, flags);
  }
  const { BeyondBound, ofInput, raisingBound, settingInstead } = await import("./source/beyond-bound.js");
  const notLive = Object.keys(flags.live ?? {}).find(
    (name) => fault instanceof Error && fault.message.endsWith(`has no live parameter ${name}`),
  );
  if (fault instanceof ModcError && notLive !== undefined) return settingInstead(fault, notLive, model, flags);
  const beyond = fault instanceof BeyondBoundError ? ofInput(fault) : fault;
  if (!(beyond instanceof BeyondBound)) return fault;
  const ofObjective = ["train", "eval", "routes"].includes(command);
  return raisingBound(beyond, model, flags, ofObjective ? { phase: "train", enter: "objective" } : {});
}

/** Options that say how large a run is. */
const SIZES = ["--batch", "--length", "--at"];

/** The same fault, or one that says it as the command's options have it. */
function spoken(fault: unknown, command: CommandUnknownOpts): unknown {
  if (fault instanceof InputError) {
    const option = command.options.find((o) => o.attributeName() === fault.input);
    return option?.long && fault.message.startsWith(`${fault.input} `)
      ? new UserError(
          fault.message.replace(fault.input!, () => option.long!),
          fault.hint,
          fault.exit,
        )
      : fault;
  }
  if (fault instanceof TrainError && fault.code === "bad-option") {
    const [name = ""] = fault.message.split(" ", 1);
    const flag = TRAIN_OPTIONS.find(([setting]) => setting === name)?.[1].flag.split(" ")[0];
    const option = command.options.find((o) => o.long === flag || o.attributeName() === name);
    return option?.long ? misuse(`${option.long}${fault.message.slice(name.length)}`, fault.hint) : fault;
  }
  if (!(fault instanceof LimitError) || fault.hint === null) return fault;
  const sizes = SIZES.filter((name) => command.options.some(({ long }) => long === name));
  const hint = fault.sizes
    ? sizes.length > 0
      ? `give smaller sizes: ${sizes.join(", ")}`
      : "give fewer or shorter inputs"
    : "compile it for this device: give its source, or use `modc compile --device best`";
  return new UserError(fault.message, hint, fault.exit, fault.code);
}
