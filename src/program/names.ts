// The programs that a model becomes, by name: `recipes.ts` says how each is made.

export const PROGRAM_NAMES = [
  "infer",
  "objective",
  "gradients",
  "prompt",
  "step",
  "train-step",
  "micro-batch",
  "evaluate",
  "evaluate-causal",
] as const;
export type ProgramName = (typeof PROGRAM_NAMES)[number];
