// The form of answers from flags: a JSON schema or a grammar, each written out or in a file.
import { escapedName } from "../../../ground/base/shown.js";
import { compileForm, ConstraintError, type Form } from "../../../generation/constrain/index.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { readText } from "../source/files.js";
import type { Flags } from "../tree/declare.js";
import type { runningCommands } from "../tree/running.js";

/** The form that texts must have; null if any will do. Throws UserError for one that modc cannot follow. */
export function formOf({ jsonSchema, grammar }: Flags<typeof runningCommands.generate>): Form | null {
  if (jsonSchema !== undefined && grammar !== undefined)
    throw new UserError("--json-schema and --grammar exclude each other", "give one of them", EXIT.usage);
  const path = jsonSchema ?? grammar;
  if (path === undefined) return null;
  const text = isWritten(path) ? path : readText(path);
  const form: Form =
    jsonSchema === undefined ? { kind: "grammar", grammar: text } : { kind: "schema", schema: parsed(text, path) };
  try {
    compileForm(form);
    return form;
  } catch (fault) {
    if (fault instanceof ConstraintError) throw new UserError(`${escapedName(path)}: ${fault.message}`, fault.hint);
    throw fault;
  }
}

/** Whether a schema or a grammar itself is given, not its file. */
const isWritten = (given: string): boolean => /^\s*\{/.test(given) || given.includes("::=");

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (fault) {
    throw new UserError(`${escapedName(path)} is not JSON: ${fault instanceof Error ? fault.message : String(fault)}`);
  }
}
