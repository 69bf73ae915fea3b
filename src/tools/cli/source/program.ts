// The program of a command: compiled from a source, or read from the output of `modc compile`.
import { CompilerBug } from "../../../ground/base/invariant.js";
import type { Graph } from "../../../compiler/ir/graph.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import type { Program } from "../../../runtime/program/program.js";
import { parseProgram, ProgramError } from "../../../runtime/program/serialize.js";
import { KernelError } from "../../../runtime/device/errors.js";
import { UserError, misuse } from "../terminal/exit.js";
import { readText, STDIN, STDIN_NAME } from "./files.js";
import { otherThanSource } from "./model-file.js";
import { compileFile, type ForTarget } from "./frontend.js";
import type { ModelFlags, PrecisionFlags, TuningsFlags } from "../tree/options.js";

export interface Given {
  readonly program: Program;
  /** Null if the program was compiled already. */
  readonly graph: Graph | null;
  /** Compiles the program for a device; null: it is compiled already. */
  readonly forTarget: ForTarget | null;
}

/** Opens the program. A compiled one has fixed parameters and phase, and no graph. */
export async function programOf(
  opened: OpenedModel,
  flags: ModelFlags & PrecisionFlags & TuningsFlags,
): Promise<Given> {
  if (!isProgram(opened)) return compileFile(opened, flags);
  const file = opened.path;
  const built = [
    ["--set", flags.set],
    ["--phase", flags.phase],
    ["--enter", flags.enter],
    ["--program", flags.program],
    ["--model", flags.model],
    ["--tunings", flags.tunings],
    ["--activations-as", flags.activationsAs],
    ["--weights-as", flags.weightsAs],
  ].find(([, value]) => value !== undefined);
  if (built)
    throw misuse(`${file} is already compiled: ${String(built[0])} has no effect`, "pass it to `modc compile`");
  return { program: readProgram(file), graph: null, forTarget: null };
}

/** Throws UserError that names the file, and says what it is where that is known. */
function readProgram(file: string): Program {
  const text = readText(file);
  try {
    return parseProgram(text);
  } catch (fault) {
    if (!(fault instanceof ProgramError)) throw fault;
    const other = otherThanSource(file, text);
    const name = file === STDIN ? STDIN_NAME : file;
    throw new UserError(
      `${name} is ${fault.message}`,
      other === null || other.what === "a compiled program"
        ? "write one with `modc compile`"
        : `it is ${other.what}: ${other.hint}`,
      fault.exit,
      fault.code,
    );
  }
}

/** Whether the file is a compiled program: by its name or, for standard input, its first character. */
const isProgram = ({ kind, path }: OpenedModel): boolean =>
  kind === "program" || (path === STDIN && /^\s*\{/.test(readText(path)));

/**
 * The error to report: a ProgramError for a program that this process compiled is a bug of modc; for a file it is the
 * file's fault.
 */
export function faultOf(file: string, { graph }: Given, fault: unknown): unknown {
  if (graph !== null || !(fault instanceof CompilerBug || fault instanceof KernelError)) return fault;
  const [what] = fault.what.split("\n", 1);
  return new UserError(
    `${file} does not run: ${what}`,
    "compile it again from source; if it still fails, this is a bug in modc",
  );
}
