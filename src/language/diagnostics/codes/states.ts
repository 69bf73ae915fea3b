// Diagnostics of states, which `update` changes in training.
import { code } from "./define.js";

export const stateCodes = {
  "not-a-state": code<{ readonly name: string; readonly found: string; readonly weight: boolean }>({
    severity: "error",
    message: ({ name, found }) => `\`update ${name}\` needs a state of this block, found ${found}`,
    hint: ({ name, weight }) =>
      weight
        ? `declare it as \`state ${name}: f32[…]\` if an update shall set it; weights change by their gradients`
        : `declare it among the members, \`state ${name}: f32[…]\`; a local with this name hides it`,
    explain: `\`update name = e\` sets the value that a state of the same block has after a step of training. Only
states can be updated: weights learn by their gradients, and all other values are computed again in
each step.

  state level: f32[]
  forward(x: f32[B, T, 8]) -> f32[B, T, 8] { update level = 0.9 * level + 0.1 * mean(x); x }`,
  }),
  "state-set-twice": code<{
    readonly state: string;
    readonly calls: readonly [string, string];
    /** Whether a library block updates the state. */
    readonly library: boolean;
  }>({
    severity: "error",
    message: ({ state, calls: [first, second] }) =>
      `the state \`${state}\` is updated twice in a step: ` +
      (first === second ? `both times in ${called(first)}` : `in ${called(first)} and in ${called(second)}`),
    hint: ({ library }) =>
      library
        ? "make an instance for each call, or one that does not update it, `MoE(…, loss_free: false)`"
        : "update it once, from the results of all calls, or make an instance for each call",
    explain: `A state has one value after a step, so at most one \`update\` of it may be reached: a later update
does not replace an earlier one. An instance that is called twice updates its states twice; its
calls are numbered, \`shared#0\` and \`shared#1\`.`,
  }),
  "two-pass-update": code<{
    readonly state: string;
    readonly what: "reduction" | "variance" | "size";
    readonly size?: string;
  }>({
    severity: "error",
    message: ({ state, what, size }) =>
      what === "size"
        ? `the update of \`${state}\` reads ${size}, which is known only after the step has seen every sequence`
        : `the update of \`${state}\` reduces over the batch a value that already depends on ` +
          (what === "variance" ? "the mean over the batch, as `var` does" : "a reduction over it"),
    hint: ({ what }) =>
      what === "variance"
        ? "write it as one pass: `mean(x ^ 2) - mean(x) ^ 2`"
        : what === "size"
          ? "let a reduction count, such as `mean`, or use a multiple of the batch next to the reductions"
          : "reduce a value of each sequence, and combine the results",
    explain: `An update sees all sequences of a step, even if they are computed in parts (\`--accumulate\`): each
part adds to sums, means, maxima and minima over the batch, and the rest is computed once, at the
end. So a value reduced over the batch may not itself depend on a reduction over the batch: that
would need a second pass over earlier parts. \`var\` over the batch needs its mean first.

  update spread = mean((x - mean(x)) ^ 2)         // refused
  update spread = mean(x ^ 2) - mean(x) ^ 2       // the same in one pass`,
  }),
} as const;

const called = (path: string): string => (path === "" ? "the model itself" : `\`${path}\``);
