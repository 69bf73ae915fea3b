// Diagnostics of tensors: types, shapes, operators, built-in functions.
import { code } from "./define.js";

const list = (items: readonly string[]): string =>
  items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} or ${items[items.length - 1] ?? ""}`;

/** Example operand for each operator, for the hint about a missing operand. */
const GIVE: Readonly<Record<string, string>> = {
  "two tensors": "numbers are multiplied with `*`; `@` is the product of two tensors",
  "a list of tensors": "put tensors in the list: `concat([a, b], axis: -1)`",
  "a list of whole numbers": "list the size of each part: `split(x, [4, 4], axis: -1)`",
  "a list of numbers":
    "give numbers known when compiling: `[1.0, 0.5]`, or `[for i in 0..n: 1 / 2 ^ i]`; a tensor is not known then",
};

export const tensorCodes = {
  "shape-mismatch": code<{
    readonly what: string;
    readonly left: string;
    readonly right: string;
    readonly reason: string | null;
    readonly hint?: string;
  }>({
    severity: "error",
    message: ({ what, left, right, reason }) =>
      `${what} cannot combine ${left} with ${right}${reason === null ? "" : `: ${reason}`}`,
    hint: ({ hint, what }) =>
      hint ??
      (what === "`rope`"
        ? "choose a width of heads that is even"
        : what === "`@`"
          ? "the last axis on the left must equal the last but one on the right; `transpose` swaps the last two"
          : "sizes must be equal, or 1: `x[..., None]` adds an axis of 1, `rearrange` moves axes"),
    explain: `Shapes are compared from the last dimension to the first, as NumPy does: two sizes fit if they are
equal or one of them is 1. Axes are equal only to themselves: T and S may be equal in one run and
not in another.

  x: f32[B, T, 64], bias: f32[32]
  x + bias                                        // 64 and 32 differ
  x: f32[B, T, 64], gate: f32[B, T]
  x * gate                                        // write gate[..., None]: f32[B, T, 1]`,
  }),
  "dtype-mismatch": code<{
    readonly what: string;
    readonly left: string;
    readonly right: string;
    readonly cast: string;
  }>({
    severity: "error",
    message: ({ what, left, right }) => `${what} cannot combine ${left} with ${right}: their dtypes differ`,
    hint: ({ cast }) => `cast one side, for instance with \`${cast}(…)\``,
    explain: `modc never converts silently: f16 with f32, or f32 with u32, needs a cast that shows where
precision is gained or lost. Compile-time numbers have no dtype and take the tensor's.

  counts: u32[B, T]
  x * f32(counts)`,
  }),
  "wrong-dtype": code<{
    readonly what: string;
    readonly needs: readonly string[];
    readonly found: string;
    readonly hint: string | null;
  }>({
    severity: "error",
    message: ({ what, needs, found }) => `${what} needs ${list(needs)}, found ${found}`,
    hint: ({ hint, needs }) => hint ?? `cast it first, for instance with \`${needs[0] ?? "f32"}(x)\``,
    explain: `Each operator accepts the dtypes for which its meaning is clear. \`/\` and \`^\` on whole numbers would
have to round or overflow, functions such as \`exp\` need fractions, and bool tensors take part in
\`and or not where == !=\` only.

  mean(f32(mask))                                 // the share of true entries`,
  }),
  "unsupported-operator": code<{ readonly op: string; readonly found: string; readonly hint: string | null }>({
    severity: "error",
    message: ({ op, found }) => `\`${op}\` does not apply to ${found}`,
    hint: ({ hint }) => hint ?? "tensors know `+ - * / ^ @`, comparison, and on bool tensors `and or not`",
    explain: `Tensors know \`+ - * / ^ @\`, unary \`-\`, comparison, and on bool tensors \`and or not\`. The remainder
\`%\` is for compile-time numbers. A route is not a tensor, but its members mask, index and count
are.`,
  }),
  "wrong-operand": code<{
    readonly what: string;
    readonly needs: string;
    readonly found: string;
    readonly hint?: string;
  }>({
    severity: "error",
    message: ({ what, needs, found }) => `${what} needs ${needs}, found ${found}`,
    hint: ({ hint, needs, found }) =>
      hint ??
      (found.startsWith("an instance") ? "an instance is called: `proj(x)` is a tensor, `proj` is not" : GIVE[needs]) ??
      `give ${needs}`,
    explain: `Each operand of an operator or built-in function has a kind: a tensor, a route, a compile-time
number, a list. \`modc doc\` prints the signature of every built-in function.`,
  }),
  "number-does-not-fit": code<{ readonly number: string; readonly dtype: string; readonly reason: string }>({
    severity: "error",
    message: ({ number, dtype, reason }) => `${number} does not fit ${dtype}: ${reason}`,
    hint: ({ dtype, number }) =>
      dtype === "f16" || dtype === "f32"
        ? null
        : `cast the tensor first: \`${/^-\d+$/.test(number) ? "i32" : "f32"}(x)\``,
    explain: `A compile-time number takes the dtype of the tensor it meets, so it must be a value of that dtype:
whole for u32 and i32, not negative for u32, within range for all.

  indices: u32[B, T]
  indices * 0.5                                   // write f32(indices) * 0.5`,
  }),
  "wrong-rank": code<{ readonly what: string; readonly needs: string; readonly found: string; readonly hint?: string }>(
    {
      severity: "error",
      message: ({ what, needs, found }) => `${what} needs ${needs}, found ${found}`,
      hint: ({ hint, needs }) =>
        hint ??
        (needs.startsWith("one number a token")
          ? "choose one number: `x[..., 0]`, or a score `router(x)[..., 0]`"
          : null) ??
        "`x[..., None]` adds an axis, `x[..., 0]` takes one away, and `rearrange` merges or splits axes",
      explain: `The rank of a tensor is the number of its dimensions. \`x[..., None]\` adds one of size 1, \`x[...,
0]\` takes one away.`,
    },
  ),
  "axis-out-of-range": code<{ readonly axis: number; readonly shape: string; readonly rank: number }>({
    severity: "error",
    message: ({ axis, shape }) => `${shape} has no axis ${axis}`,
    hint: ({ rank }) =>
      rank === 0 ? "a scalar has no axes" : `its axes are 0 to ${rank - 1}, or ${-rank} to -1 from the end`,
    explain: `Axes are counted from 0; negative ones count from the end, so that \`axis: -1\` is the last.`,
  }),
  "repeated-axis": code<{ readonly axis: number }>({
    severity: "error",
    message: ({ axis }) => `axis ${axis} is named twice`,
    hint: () => "name each axis once; a negative axis counts from the end",
    explain: `A list of axes names each once: -1 and the number of the last axis are the same axis.`,
  }),
  "position-out-of-range": code<{ readonly index: number; readonly extent: number; readonly shape: string }>({
    severity: "error",
    message: ({ index, extent, shape }) => `index ${index} is outside an axis of ${extent} in ${shape}`,
    hint: ({ extent }) => `indices run from 0 to ${extent - 1}, or from ${-extent} to -1 from the end`,
    explain: `An integer index must exist. Slices are clamped instead, as in Python: \`x[..., 0:100]\` of 8 is all
8.`,
  }),
  "too-many-indices": code<{ readonly count: number; readonly shape: string }>({
    severity: "error",
    message: ({ count, shape }) => `${count} ${count === 1 ? "index is" : "indices are"} too many for ${shape}`,
    hint: ({ count }) =>
      `leave out ${count === 1 ? "one index" : `${count} indices`}; \`...\` stands for the axes not named`,
    explain: `Each index except \`None\` and \`...\` selects from one dimension, in order; \`...\` stands for all
dimensions not named, and may appear once.`,
  }),
  "bad-index": code<{ readonly problem: string; readonly hint: string | null }>({
    severity: "error",
    message: ({ problem }) => problem,
    hint: ({ hint }) => hint ?? "an index is a whole number, a slice `a:b`, `...` once, or `None`",
    explain: `A tensor is indexed by whole numbers, slices \`a:b\`, \`...\` and \`None\`, or alone by one tensor of
whole numbers, which reads rows: \`table[tokens]\`. A mask does not select rows; \`where\` chooses
between tensors, routes choose tokens.`,
  }),
  "empty-slice": code<{ readonly shape: string }>({
    severity: "error",
    message: ({ shape }) => `the slice of ${shape} is empty`,
    hint: () => "let it contain at least one entry",
    explain: `A slice \`a:b\` goes from a up to, not including, b; after clamping it must contain something, since
every size is at least 1.`,
  }),
  "unknown-extent": code<{ readonly what: string; readonly size: string }>({
    severity: "error",
    message: ({ what, size }) =>
      `${what} must know the size of the axis, but ${size} is known only when the program runs`,
    hint: () => "make the dimension a compile-time number",
    explain: `An axis other than the batch and the sequence can be reduced, broadcast and multiplied, but slicing
or splitting it needs its size when compiling.`,
  }),
  "batch-axis": code<{ readonly what: string; readonly batch: string; readonly reduces?: true }>({
    severity: "error",
    message: ({ what, batch }) => `${what} would mix the sequences of the batch axis ${batch}`,
    hint: ({ reduces }) =>
      reduces
        ? "also reduce the tokens, as `mean(x, axis: [0, 1])` does, or all axes, as `mean(x)` does"
        : "keep the batch as the first axis: sequences are independent",
    explain: `The results of a sequence never depend on the others in the batch, so they are the same in any
batch. The batch is the first axis of every tensor that has it; it cannot be indexed, merged,
moved, joined or reduced alone. A mean over the batch and all tokens, as in a loss, is fine.

  mean(x)                                         // over everything
  mean(x, axis: [0, 1])                           // over all tokens of all sequences
  mean(x, axis: 0)                                // refused`,
  }),
  "contrast-outside-loss": code<{ readonly reader: "result" | "update" | "observed value" }>({
    severity: "error",
    message: ({ reader }) =>
      `${reader === "result" ? "a" : "an"} ${reader} reads \`contrast\`, which compares all sequences of the step`,
    hint: () => "use it in a loss: `loss pairs = contrast(a, b, scale: 20)`",
    explain: `\`contrast\` takes the other sequences of a batch as wrong answers, so its value depends on the
batch that a sequence is in. A loss may depend on that; a result, an update or an observed value
may not.`,
  }),
  "mixed-sequences": code<{ readonly result: string | null }>({
    severity: "warning",
    message: ({ result }) =>
      "this combines all sequences of the batch, and " +
      `${result === null ? "the result" : `\`${result}\``} of each sequence depends on it`,
    hint: () => "reduce each sequence by itself, as `mean(x, axis: 1)` does",
    explain: `A sequence then has different results alone and in a batch: \`modc generate\` and \`modc serve\`
compute something else than training did, and \`modc verify\` fails. Losses and updates may combine
the batch, because they belong to the whole step.

  x - mean(x)                                     // a warning, if a result reads it
  x - mean(x, axis: 1, keep: true)                // each sequence by its own mean
  loss spread = mean(x ^ 2)                       // fine`,
  }),
  "bad-pattern": code<{ readonly pattern: string; readonly problem: string; readonly hint?: string }>({
    severity: "error",
    message: ({ pattern, problem }) => `the pattern "${pattern}" ${problem}`,
    hint: ({ hint }) => hint ?? 'a pattern names every axis before and after: "b t (h d) -> b h t d", h: heads',
    explain: `\`rearrange\` reads the shape on the left of \`->\` and writes the one on the right. Each name appears
once on both sides, 1 is a dimension of size 1, \`...\` all dimensions not named. Parentheses split a
dimension on the left and merge on the right; in one pair the size of at most one name may be left
out.

  rearrange(x, "b t (h d) -> b h t d", h: heads)`,
  }),
  "argument-out-of-range": code<{
    readonly what: string;
    readonly needs: string;
    readonly found: string;
    readonly hint?: string;
  }>({
    severity: "error",
    message: ({ what, needs, found }) => `${what} must be ${needs}, found ${found}`,
    hint: ({ hint, needs }) => hint ?? `give a value that is ${needs}`,
    explain: `The function is not defined for this value. \`modc doc\` prints the arguments of each built-in
function.`,
  }),
  "heads-mismatch": code<{
    readonly query: number;
    readonly key: number;
    /** The operand of `linear_attention` whose heads do not divide those of v. */
    readonly beside?: string;
  }>({
    severity: "error",
    message: ({ query, key, beside }) =>
      beside === undefined
        ? `${query} query heads cannot share ${key} heads of keys and values`
        : `${query} heads of \`v\` cannot share ${key} heads of \`${beside}\``,
    hint: ({ beside }) =>
      beside === undefined
        ? "the number of query heads must be a multiple of the number of key and value heads"
        : `heads of \`v\` must be a multiple of heads of \`${beside}\`: \`heads\` of \`groups\` in \`Mamba2\``,
    explain: `In grouped-query attention each head of keys and values serves a group of query heads of equal
size. In \`linear_attention\` each head of the other operands serves a group of heads of v: the
groups of \`Mamba2\` divide its heads.`,
  }),
  "split-sum": code<{ readonly sum: number; readonly extent: number; readonly shape: string }>({
    severity: "error",
    message: ({ sum, extent, shape }) =>
      `the parts of \`split\` add up to ${sum}, but the axis of ${shape} has ${extent}`,
    hint: ({ extent }) => `list the size of each part: they add up to ${extent}`,
    explain: `\`split(x, sizes, axis:)\` cuts an axis into parts of the given sizes, in order; together they must
make up the whole axis.`,
  }),
} as const;
