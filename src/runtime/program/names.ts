// The names of the programs compiled from a model; `recipes.ts` defines each.

export const PROGRAM_NAMES = [
  "infer",
  "objective",
  "gradients",
  "given",
  "prompt",
  "step",
  "draft",
  "verify-draft",
  "train-step",
  "micro-batch",
  "evaluate",
  "evaluate-causal",
] as const;
export type ProgramName = (typeof PROGRAM_NAMES)[number];
