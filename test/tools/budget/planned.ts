// Plans for examples and for source texts, which tests of their output share.
import { readFileSync } from "node:fs";
import { planBudget, type BudgetPlan, type PlanOptions } from "../../../src/tools/budget/plan.js";

const USUAL: PlanOptions = {
  budget: null,
  batch: 1,
  length: 64,
  devices: 1,
  memory: null,
  varied: new Map(),
  growth: new Map(),
  convention: "executed",
  curve: null,
  engine: "modc",
};

export const exampleText = (name: string): string =>
  readFileSync(new URL(`../../../examples/${name}`, import.meta.url), "utf8");

export const planOf = (
  text: string,
  set: Readonly<Record<string, string>>,
  options: Partial<PlanOptions>,
): BudgetPlan => planBudget({ source: { file: "model.mod", text }, read: () => null, set }, { ...USUAL, ...options });
