// Adds a declared command to the command line, with the common handling of arguments before it and of errors after it.
import { Option, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { isFolder } from "../../../models/tokenizer/folder-node.js";
import { WeightsError } from "../../../runtime/device/errors.js";
import type { BeyondBound } from "../source/beyond-bound.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { spoken } from "../terminal/spoken.js";
import type { Pairs } from "./arguments.js";
import type { Declared } from "./declare.js";
import { keptLive, weightsAs } from "./options.js";

/** The description of `--safe`, which stands before or after any command. */
export const SAFE =
  "with any command: use a device without 16-bit floats and matrix units, and without their self-test";

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
  const given = command.registeredArguments.length + 1;
  return command.action(async (...all: unknown[]) => {
    const words = await withRunWeights(command, all.slice(0, given)); // commander also passes the command itself
    const [model, ...others] = words;
    const trained = await withKeptLive(
      command,
      opens && typeof model === "string" && isFolder(model) ? await asTrained(command, model, others) : words,
    );
    try {
      const opened = await inBlocks(command, trained);
      const { keepingInputs } = await import("../source/outputs.js");
      // commander has checked the arguments
      finish(await keepingInputs(command, opened, () => act(...(opened as never[]))));
    } catch (fault) {
      throw await withExplanation(spoken(fault, command), command.name(), trained);
    }
  });
}

/** Completes the options if the weights are a run's folder or its checkpoint. */
async function withRunWeights(command: CommandUnknownOpts, words: readonly unknown[]): Promise<readonly unknown[]> {
  const flags = words.at(-1) as { readonly weights?: unknown }; // the options stand last
  const { weights } = flags;
  if (typeof weights !== "string" || !isFolder(weights)) return words;
  const { withRunWeights: completed } = await import("../source/trained.js");
  return [...words.slice(0, -1), await completed(command, words[0], { ...flags, weights })];
}

/** Makes the values of live parameters the model's defaults if the command writes or serves the model. */
async function withKeptLive(command: CommandUnknownOpts, words: readonly unknown[]): Promise<readonly unknown[]> {
  const [model, ...others] = words;
  if (typeof model !== "string" || !command.options.includes(keptLive)) return words;
  const flags = others.at(-1) as { readonly live?: Pairs }; // the options stand last
  if (flags.live === undefined) return words;
  const { withKeptLive: completed } = await import("../source/trained.js");
  return [model, ...others.slice(0, -1), await completed(model, flags)];
}

/** Completes the options if the model is a run's folder. */
async function asTrained(
  command: CommandUnknownOpts,
  path: string,
  others: readonly unknown[],
): Promise<readonly unknown[]> {
  const { withTrained } = await import("../source/trained.js");
  const [model, flags] = withTrained(command, path, others.at(-1) as object); // the options stand last
  return [model, ...others.slice(0, -1), flags];
}

/** Completes the options if the weights are in blocks, which a device reads as they are. */
async function inBlocks(command: CommandUnknownOpts, words: readonly unknown[]): Promise<readonly unknown[]> {
  const [model] = words;
  // training stores only weights that do not learn in blocks
  if (typeof model !== "string" || !command.options.includes(weightsAs) || command.name() === "train") return words;
  const { withBlocks } = await import("../source/in-blocks.js");
  return [...words.slice(0, -1), await withBlocks(model, words.at(-1) as object)]; // the options stand last
}

/** Adds hints to errors: the parameter that explains weights that do not fit, or the one that raises a bound. */
async function withExplanation(
  fault: unknown,
  command: string,
  [path, ...others]: readonly unknown[],
): Promise<unknown> {
  const misfit = fault instanceof WeightsError && fault.tensors !== null;
  const beyond = fault instanceof UserError && "asked" in fault;
  if ((!misfit && !beyond) || typeof path !== "string" || path.endsWith(".json")) return fault;
  if (!misfit) {
    const { raisingBound } = await import("../source/beyond-bound.js");
    const ofObjective = ["train", "eval", "routes"].includes(command);
    // As its field says; the options stand last.
    return raisingBound(
      fault as BeyondBound,
      path,
      others.at(-1) as object,
      ofObjective ? { phase: "train", enter: "objective" } : {},
    );
  }
  const { explained } = await import("../source/misfit.js");
  return explained(fault, path, others.at(-1) as object); // the options stand last
}
