// One small model for each way a logical operation is lowered: the table that `lower.test.ts` walks.
import type { Case } from "./case-forms.js";
import { entryCases } from "./cases-entries.js";
import { recurrenceCases } from "./cases-recurrences.js";
import { sortedCases } from "./cases-sorted.js";
import { tensorCases } from "./cases-tensors.js";
import { tokenCases } from "./cases-tokens.js";

export const cases: readonly Case[] = [
  ...tensorCases,
  ...tokenCases,
  ...recurrenceCases,
  ...entryCases,
  ...sortedCases,
];
