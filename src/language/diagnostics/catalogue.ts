// Every diagnostic the compiler can report, by code. The entries are in `codes/`, one file per topic.
import type { CodeDef } from "./codes/define.js";
import { syntaxCodes } from "./codes/syntax.js";
import { nameCodes } from "./codes/names.js";
import { argumentCodes } from "./codes/arguments.js";
import { valueCodes, limitCodes } from "./codes/values.js";
import { blockCodes } from "./codes/blocks.js";
import { functionCodes } from "./codes/functions.js";
import { tensorCodes } from "./codes/tensors.js";
import { routingCodes } from "./codes/routing.js";
import { stateCodes } from "./codes/states.js";
import { choiceCodes } from "./codes/choices.js";

export const catalogue = {
  ...syntaxCodes,
  ...nameCodes,
  ...argumentCodes,
  ...valueCodes,
  ...blockCodes,
  ...functionCodes,
  ...limitCodes,
  ...tensorCodes,
  ...routingCodes,
  ...stateCodes,
  ...choiceCodes,
};

export type Code = keyof typeof catalogue;

const known: Readonly<Record<string, { readonly severity: string }>> = Object.assign(
  Object.create(null) as object,
  catalogue,
);

export const warnings: readonly string[] = Object.keys(known).filter((code) => known[code]!.severity === "warning");

/** Whether the text is the code of a warning. */
export const isWarning = (text: string): boolean => known[text]?.severity === "warning";

export type DataOf<C extends Code> = (typeof catalogue)[C] extends CodeDef<infer D> ? D : never;
