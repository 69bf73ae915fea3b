// Diagnostics of functions: their inputs, results, losses and observed values.
import { code } from "./define.js";
import { plural } from "./hints.js";

export const functionCodes = {
  "wrong-input": code<{
    readonly callee: string;
    readonly input: string;
    readonly expected: string;
    readonly found: string;
    readonly reason: string | null;
  }>({
    severity: "error",
    message: ({ callee, input, expected, found, reason }) =>
      `\`${input}\` of \`${callee}\` is ${expected}, but the argument is ` +
      `${found}${reason === null ? "" : `: ${reason}`}`,
    hint: ({ callee, input }) =>
      `give a tensor of the declared type, or change the type of \`${input}\` in \`${callee}\``,
    explain: `An argument must fit the type of the input: the same dtype, as many dimensions, equal sizes.
Each axis that the function introduces (B, T) stands for one size throughout, and \`...\`
accepts any leading axes.`,
  }),
  "repeated-rest": code<Record<never, never>>({
    severity: "error",
    message: () => "`...` appears twice in one type",
    hint: () => "one `...` accepts any number of axes; name the axes after it",
    explain: `\`...\` in the type of an input accepts any axes, so if it appears twice the axes cannot be assigned
to one or the other.

  forward(x: f32[..., dim]) -> f32[..., dim]      // any leading axes`,
  }),
  "bound-exceeded": code<{
    readonly callee: string;
    readonly axis: string;
    readonly bound: number;
    readonly found: string;
  }>({
    severity: "error",
    message: ({ callee, axis, bound, found }) =>
      `\`${axis}\` of \`${callee}\` is at most ${bound}, but the argument's ${found}`,
    hint: ({ axis, bound }) => `bound the axis where it is introduced: \`${axis} <= ${bound}\``,
    explain: `If a function bounds an axis (\`T <= context\`), every caller's axis needs the same or a smaller
bound, so that no input at run time can be too long.`,
  }),
  "wrong-result": code<{
    readonly callee: string;
    readonly result: string;
    readonly expected: string;
    readonly found: string;
    readonly reason: string | null;
    readonly hint?: string;
  }>({
    severity: "error",
    message: ({ callee, result, expected, found, reason }) =>
      `\`${callee}\` declares ${result} as ${expected}, but computes ${found}${reason === null ? "" : `: ${reason}`}`,
    hint: ({ hint }) => hint ?? "change the declared type, or the expression that computes the result",
    explain: `The value of the last expression must have the type declared after \`->\`.`,
  }),
  "result-count": code<{ readonly callee: string; readonly expected: number; readonly found: string }>({
    severity: "error",
    message: ({ callee, expected, found }) =>
      `\`${callee}\` declares ${plural(expected, "result")}, but ends with ${found}`,
    hint: ({ expected }) =>
      expected > 1 ? "end with all of them: `(logits, hidden)`" : "the last expression of a function is its result",
    explain: `The last expression of a function is its result. A function with several named results ends with
as many values, \`(logits, hidden)\` or the list \`[logits, hidden]\`.`,
  }),
  "objective-result": code<Record<never, never>>({
    severity: "error",
    message: () => "an `objective` declares a result",
    hint: () => "remove what follows `->`: training minimises its losses",
    explain: `The losses of an \`objective\`, \`loss name = …\`, are what training minimises; it returns no value.
Compute other values in \`forward\`, or show them with \`observe\`.`,
  }),
  "unpack-count": code<{ readonly targets: number; readonly found: string }>({
    severity: "error",
    message: ({ targets, found }) => `${plural(targets, "name")} cannot take apart ${found}`,
    hint: ({ found }) =>
      found.startsWith("a tensor")
        ? "a single result is bound by one name: `x = …`; `split` cuts a tensor into parts"
        : "write one name for each value",
    explain: `\`(a, b) = f(x)\` takes apart the results of a function, or a list, with exactly as many values
as there are names.`,
  }),
  "no-value": code<{ readonly what: string }>({
    severity: "error",
    message: ({ what }) => `${what} returns no value`,
    hint: () => "let the function end with an expression, or call it as a separate statement",
    explain: `A function without a result, such as an \`objective\`, can be called as a statement, but the call has
no value.`,
  }),
  "unused-value": code<Record<never, never>>({
    severity: "warning",
    message: () => "the value of this expression is not used",
    hint: () =>
      "a line that starts with `-` or `(` starts a statement; end the line before with the operator, or drop this one",
    explain: `Only the last expression of a function is its result. An expression elsewhere computes something
that nobody reads, often because a line was broken before an operator:

  y = a
    - b                                           // this is a separate statement`,
  }),
  "not-observable": code<{ readonly name: string; readonly found: string }>({
    severity: "error",
    message: ({ name, found }) => `\`observe ${name}\` needs a tensor or a route, found ${found}`,
    hint: () =>
      "observe a value that a function computes; for an instance, observe the result of a call: `y = lin(x)`, " +
      "`observe y`",
    explain: `\`observe\` makes a value of the running program readable by tools, so it must be a tensor or a
route.`,
  }),
  "loss-not-scalar": code<{ readonly name: string; readonly found: string }>({
    severity: "error",
    message: ({ name, found }) => `the loss \`${name}\` must be one number, f32[], found ${found}`,
    hint: () => "take its mean or sum",
    explain: `Training minimises the sum of the losses, so each is a scalar, such as \`cross_entropy\`, \`bce\` or
\`mean(x)\`.`,
  }),
  "open-entry-input": code<{ readonly input: string; readonly reason: string }>({
    severity: "error",
    message: ({ input, reason }) => `the program cannot be entered with \`${input}\`: ${reason}`,
    hint: ({ input }) =>
      input === "lengths"
        ? "give it another name; the lengths of the sequences are given at run time without being declared"
        : "write out its shape: `f32[B, T <= 64, dim]`",
    explain: `The inputs of the compiled function define the axes of the program. Each of its dimensions is a
compile-time integer or the name of one axis; \`...\` and sizes computed from axes are for functions
that other functions call.`,
  }),
  "misplaced-axis": code<{ readonly axis: string; readonly reason: string }>({
    severity: "error",
    message: ({ axis, reason }) => `the axis \`${axis}\` ${reason}`,
    hint: () => "give this dimension another name",
    explain: `The first axis of the inputs is the batch: it is first in every input that has it. The axis after
the batch is a sequence, each with its own length, so it is the second axis. Only a value for each
pair of tokens has sequences as its last two axes: [B, T, S], or with heads [B, H, T, S].`,
  }),
} as const;
