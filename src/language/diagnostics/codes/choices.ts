// Diagnostics about choices of entries, and about indexed lists of blocks.
import { code } from "./define.js";

export const choiceCodes = {
  "choice-too-large": code<{ readonly k: number; readonly among: number }>({
    severity: "error",
    message: ({ k, among }) => `\`top\` cannot choose ${k} of ${among} ${among === 1 ? "entry" : "entries"}`,
    hint: ({ among }) => (among === 1 ? "k is 1" : `k is a number from 1 to ${among}`),
    explain: `Along an axis of fixed size every token chooses exactly k entries, so the axis needs at least k.

  top(score, 2, axis: -1)                         // of f32[B, T, 8]: two entries a token
  top(score, 9, axis: -1)                         // refused`,
  }),
  "list-and-choice": code<{ readonly blocks: number; readonly entries: number }>({
    severity: "error",
    message: ({ blocks, entries }) =>
      `a list of ${blocks} ${blocks === 1 ? "block" : "blocks"} cannot be indexed by a choice among ${entries}`,
    hint: ({ blocks, entries }) =>
      `the list has ${blocks} ${blocks === 1 ? "block" : "blocks"}, the score ` +
      `${entries} ${entries === 1 ? "entry" : "entries"} a token: \`Linear(dim, len(experts))\``,
    explain: `Entry e of the score belongs to block e of the list, so the score needs as many entries as the list
has blocks.

  router:  Linear(dim, 8, bias: false)
  experts: [for e in 0..4: SwiGLU(dim, hidden)]
  experts[top(router(x), 2, axis: -1)](x)         // entries 4 to 7 have no block`,
  }),
  "unlike-blocks": code<{
    readonly first: string;
    readonly second: string;
    readonly left: string;
    readonly right: string;
  }>({
    severity: "error",
    message: ({ first, second, left, right }) =>
      "the blocks of a list indexed by a choice must return one type, " +
      `found ${left} of ${first} and ${right} of ${second}`,
    hint: ({ first, second }) => `\`${first}\` and \`${second}\` are the first two that differ`,
    explain: `Which block computes an entry is known only when the program runs, so all of them return tensors of
one type. Their kinds may differ.

  experts: [Linear(dim, dim), Linear(dim, 2 * dim)]
  experts[chosen](x)                              // dim columns, or twice as many?`,
  }),
};
