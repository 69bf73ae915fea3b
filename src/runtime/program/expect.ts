// Checks that a value is a program, for callers without types.
import { PROGRAM_FORMAT, PROGRAM_VERSION, type Program } from "./program.js";
import { ProgramError } from "./reader.js";

const LISTS = [
  "parameters",
  "axes",
  "live",
  "inputs",
  "outputs",
  "weights",
  "ignore",
  "states",
  "tables",
  "slots",
  "kernels",
  "steps",
  "works",
  "origins",
] as const;

/**
 * Throws ProgramError unless the value is a program of this version. Checks only the top level; `parseProgram` checks
 * everything.
 */
export function expectProgram(value: unknown): asserts value is Program {
  if (typeof value === "string")
    throw new ProgramError("not a compiled program: it is a string: parse it with `parseProgram`");
  if (typeof value !== "object" || value === null)
    throw new ProgramError(
      `not a compiled program: it is ${value === null ? "null (did the source compile?)" : typeof value}`,
    );
  // each field is checked
  const { format, version, ...fields } = value as { readonly [name in keyof Program]?: unknown };
  if (format !== PROGRAM_FORMAT)
    throw new ProgramError(`not a compiled program: format must be ${JSON.stringify(PROGRAM_FORMAT)}`);
  if (version !== PROGRAM_VERSION)
    throw new ProgramError(
      `not a compiled program: version must be ${PROGRAM_VERSION}, the version that this modc reads`,
    );
  for (const name of LISTS)
    if (!Array.isArray(fields[name])) throw new ProgramError(`not a compiled program: ${name} must be a list`);
  for (const name of ["target", "requires"] as const)
    if (typeof fields[name] !== "object" || fields[name] === null)
      throw new ProgramError(`not a compiled program: ${name} must be an object`);
}
