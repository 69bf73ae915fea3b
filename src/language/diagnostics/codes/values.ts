// Diagnostics of compile-time values.
import { code } from "./define.js";
import { OPERANDS } from "./hints.js";

export const valueCodes = {
  "not-an-integer": code<{ readonly what: string; readonly value: string; readonly hint?: string }>({
    severity: "error",
    message: ({ what, value }) => `${what} must be a whole number, found ${value}`,
    hint: ({ hint }) => hint ?? "round it with ceil, floor or round, or choose numbers that divide",
    explain: `\`/\` is exact: 7 / 2 is three and a half, never 3. A size, an index or an int must come out
whole.

  q: Linear(dim, dim / heads)                     // with dim 100 and heads 8 this is 12.5`,
  }),
  "division-by-zero": code<{ readonly op: string }>({
    severity: "error",
    message: ({ op }) => `the right side of \`${op}\` is zero`,
    hint: () => "choose a divisor that is not zero, or guard it: `if n == 0 then … else a / n`",
    explain: `Compile-time arithmetic is exact and has no infinity: dividing by zero, or taking a remainder by
it, has no value.`,
  }),
  "index-out-of-range": code<{ readonly index: string; readonly length: number }>({
    severity: "error",
    message: ({ index, length }) => `index ${index} is outside a list of ${length}`,
    hint: ({ length }) => (length === 0 ? "the list is empty" : `the last item has index ${length - 1}`),
    explain: `\`list[i]\` counts from 0; a negative index counts from the end, -1 being the last item.`,
  }),
  "number-too-large": code<{ readonly bits: number }>({
    severity: "error",
    message: ({ bits }) => `the number needs more than ${bits} bits`,
    hint: () => "use a smaller number; values this large do not fit any tensor",
    explain: `Compile-time numbers are exact and may be large, but have a limit: a program that exceeds it is
more likely wrong than in need of the digits.`,
  }),
  "inexact-power": code<{ readonly exponent: string }>({
    severity: "error",
    message: ({ exponent }) => `a compile-time power needs a whole exponent, found ${exponent}`,
    hint: () => "in a function, take the root of a tensor: `sqrt(x)`",
    explain: `Compile-time numbers are exact fractions, and few roots are fractions. Whole exponents, also
negative ones, are exact.`,
  }),
  "wrong-operands": code<{
    readonly op: string;
    readonly left: string | null;
    readonly right: string;
    readonly hint?: string;
  }>({
    severity: "error",
    message: ({ op, left, right }) =>
      left === null ? `\`${op}\` does not apply to ${right}` : `\`${op}\` does not apply to ${left} and ${right}`,
    hint: ({ op, hint }) => hint ?? OPERANDS[op] ?? "arithmetic is for numbers",
    explain: `Arithmetic takes numbers, \`and or not\` take booleans, order compares numbers, equality
compares numbers, strings or booleans of the same kind, and \`+\` also joins two lists. Tensors
and lists have indices; an instance of a block is called.`,
  }),
  "size-out-of-range": code<{ readonly what: string; readonly value: string; readonly max: number }>({
    severity: "error",
    message: ({ what, value, max }) => `${what} must be between 1 and ${max}, found ${value}`,
    hint: ({ max }) => `use a whole number from 1 to ${max}`,
    explain: `Every dimension of a tensor, and every bound of an axis, is at least 1. The upper limit is what
a 32-bit index can reach.`,
  }),
  "constant-cycle": code<{ readonly chain: readonly string[] }>({
    severity: "error",
    message: ({ chain }) => `these constants are defined by one another: ${chain.join(" → ")}`,
    hint: ({ chain }) => `give \`${chain[0] ?? ""}\` a value that does not use the others`,
    explain: `A constant is computed from others when it is first needed; in a circle no constant can be computed
first.`,
  }),
  "not-a-value": code<{ readonly name: string; readonly what: string }>({
    severity: "error",
    message: ({ name, what }) => `\`${name}\` is ${what}, not a value`,
    hint: ({ name, what }) =>
      what.startsWith("a block") ? `make an instance: \`${name}(…)\`` : `call it: \`${name}(…)\``,
    explain: `Blocks and functions are not values. A parameter of kind \`block\` takes an instance: \`Layer(64, 4)\`.`,
  }),
  "not-callable": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `${found} cannot be called`,
    hint: ({ found }) =>
      found.startsWith("a tensor")
        ? "multiply with `*`; rows are read by `table[indices]`"
        : found.startsWith("a list")
          ? "call its items: `for block in blocks { x = block(x) }`, or the chosen ones, `blocks[chosen](x)`"
          : "call a block, its functions or a built-in function; is this a member that an `if` left out?",
    explain: `You can call blocks (in a member, to make an instance), instances (in a function, which runs
\`forward\`), functions of a block, and built-in functions.`,
  }),
  "not-a-list": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `\`for\` goes through a list, found ${found}`,
    hint: () => "give it a list: `0..n` is the numbers 0 to n − 1",
    explain: `\`for\` is unrolled by the compiler over a list: a range, a list of numbers, or a member that is
a list of blocks.`,
  }),
  "not-a-condition": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `a condition must be true or false, found ${found}`,
    hint: () => "compare it with something: `n > 0`",
    explain: `Only booleans are conditions; numbers, strings and lists are not taken for true or false.`,
  }),
} as const;

export const limitCodes = {
  "endless-instances": code<{ readonly block: string; readonly limit: number }>({
    severity: "error",
    message: ({ block, limit }) => `\`${block}\` makes instances more than ${limit} levels deep`,
    hint: () => "guard the member with `if`, so that the block stops making itself",
    explain: `Making an instance makes its members. A block that contains itself, directly or through others,
never ends.`,
  }),
  "recursive-function": code<{ readonly name: string }>({
    severity: "error",
    message: ({ name }) => `\`${name}\` calls itself`,
    hint: () => "use `for` over a list",
    explain: `Functions are unrolled by the compiler, so one that calls itself, directly or through others,
would never end.`,
  }),
  "limit-exceeded": code<{
    readonly what: string;
    readonly limit: number;
    /** The most frequent item, and its number of occurrences. */
    readonly most?: { readonly name: string; readonly times: number } | null;
  }>({
    severity: "error",
    message: ({ what, limit, most }) =>
      `the model has more than ${limit} ${what}${most ? `, ${most.times} of them of \`${most.name}\`` : ""}`,
    hint: ({ most }) =>
      most
        ? "make the model smaller, or look for a number that is larger than meant; calling or making the next block " +
          "twice doubles the count at every level"
        : "make the model smaller, or look for a number that is larger than meant",
    explain: `Limits guard against input that would keep the compiler busy without end. They are far above any
known model.

  block Two(inner: block) {
    forward(x: f32[B, T, 64]) -> f32[B, T, 64] { inner(inner(x)) }
  }
  tower: Two(Two(Two(Two(Linear(64, 64)))))       // 16 calls of one Linear; 40 levels are 2 ^ 40`,
  }),
} as const;
