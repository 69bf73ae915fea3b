// Diagnostics of blocks, parameters, compile-time values, functions, weights and limits.
import { code } from "../define.js";
import { byName, EXAMPLES, ofTensor, OPERANDS } from "./hints.js";

const didYouMean = ({ suggestion }: { readonly suggestion: string | null }): string | null =>
  suggestion === null ? null : `did you mean \`${suggestion}\`?`;
const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`;

export const blockCodes = {
  // --- arguments
  "unknown-argument": code<{
    readonly callee: string;
    readonly name: string;
    readonly suggestion: string | null;
    readonly takes: readonly string[];
  }>({
    severity: "error",
    message: ({ callee, name }) => `\`${callee}\` has no parameter \`${name}\``,
    hint: (d) => didYouMean(d) ?? (d.takes.length > 0 ? `it takes ${d.takes.join(", ")}` : "it takes none"),
    explain: `A named argument, or a name given to --set, must be that of a parameter of what is called.

  norm: RMSNorm(dim: 64, epsilon: 1e-6)           // the parameter is called \`eps\``,
  }),
  "unknown-option": code<{
    readonly callee: string;
    readonly name: string;
    readonly value: string;
    readonly options: readonly string[];
    readonly suggestion: string | null;
  }>({
    severity: "warning",
    message: ({ callee, name, value }) =>
      `\`${callee}\` does not know ${JSON.stringify(value)} as a value of \`${name}\``,
    hint: ({ name, options, suggestion }) =>
      suggestion === null
        ? `\`${name}\` is ${options.map((o) => JSON.stringify(o)).join(" or ")}`
        : `did you mean ${JSON.stringify(suggestion)}?`,
    explain: `A block that does nothing with a string but compare it with literals chooses among them; a string
that is none of them, and not the default, takes the last \`else\`, or leaves a member out.

  mlp: Layer(64, 8, mlp: "gelus")                 // "swiglu" or "gelu"`,
  }),
  "missing-argument": code<{ readonly callee: string; readonly name: string }>({
    severity: "error",
    message: ({ callee, name }) => `\`${callee}\` needs a value for \`${name}\``,
    hint: ({ name }) => `add \`${name}: …\``,
    explain: `A parameter without a default must be given in every call.

  proj: Linear(64)                                // \`d_out\` is missing`,
  }),
  "surplus-argument": code<{
    readonly callee: string;
    readonly takes: number;
    /** Parameters given by name only. */ readonly named: readonly string[];
  }>({
    severity: "error",
    message: ({ callee, takes }) =>
      `\`${callee}\` takes ${takes === 0 ? "no arguments" : `at most ${plural(takes, "argument")}`} by position`,
    hint: ({ callee, named }) => byName(callee, named),
    explain: `More arguments are given by position than what is called can take. Parameters that are given by
name only, such as \`axis:\`, do not count.`,
  }),
  "duplicate-argument": code<{ readonly callee: string; readonly name: string }>({
    severity: "error",
    message: ({ callee, name }) => `\`${name}\` is given twice to \`${callee}\``,
    hint: () => "an argument by position fills the parameters in order; remove one of the two",
    explain: `Each parameter takes one value, by position or by name.

  proj: Linear(64, 128, d_in: 64)                 // the first argument is \`d_in\` already`,
  }),
  "positional-after-named": code<{ readonly callee: string }>({
    severity: "error",
    message: ({ callee }) => `an argument by position follows a named one in the call of \`${callee}\``,
    hint: () => "put arguments by position first",
    explain: `As in Python, arguments by position come before the named ones, so that a reader can count them.`,
  }),
  "wrong-kind": code<{ readonly what: string; readonly expected: string; readonly found: string }>({
    severity: "error",
    message: ({ what, expected, found }) => `${what} must be ${expected}, found ${found}`,
    hint: ({ expected }) => `give ${expected}${EXAMPLES[expected] ?? ""}`,
    explain: `A value must have the kind that its place asks for: int, float, ratio, bool, string, block, or a
list such as [int]. All numbers are exact, so a whole number serves as int whatever it was
computed from, and any number as float or ratio.`,
  }),
  "parameter-without-default": code<{ readonly model: string; readonly name: string }>({
    severity: "error",
    message: ({ model, name }) => `the parameter \`${name}\` of the model \`${model}\` has no default`,
    hint: () => "give it one; --set can override it",
    explain: `A model can be compiled as it stands, so each of its parameters needs a default. A block's need
not have one.`,
  }),
  "block-parameter-of-model": code<{ readonly name: string }>({
    severity: "error",
    message: ({ name }) => `a model cannot take the block \`${name}\` as a parameter`,
    hint: () => "make the block a member of the model",
    explain: `The value of a model's parameter is known before any instance exists, so it cannot be a block.`,
  }),
  "live-outside-model": code<{ readonly name: string; readonly block: string }>({
    severity: "error",
    message: ({ name, block }) => `\`${name}\` is live, but \`${block}\` is a block and not a model`,
    hint: () => "declare it live on the model and pass it on",
    explain: `A live parameter is an input of the session that runs the model, so only a model can declare
one. It may be passed on to blocks whose parameter is a ratio or float.`,
  }),
  "live-kind": code<{ readonly name: string; readonly kind: string }>({
    severity: "error",
    message: ({ name, kind }) => `the live parameter \`${name}\` is ${kind}, but must be a ratio or float`,
    hint: () => "what decides shapes or structure must be known when compiling; drop `live`",
    explain: `A live parameter is given at run time and changed without compiling again. It may scale tensors
and size axes (\`ceil(capacity * T)\`), which needs a ratio or float; whatever decides the
structure of the model cannot be live.`,
  }),
  "not-compile-time": code<{ readonly what: string; readonly value: string; readonly hint?: string }>({
    severity: "error",
    message: ({ what, value }) =>
      `${what} must be known when compiling, but ${value} is known only when the program runs`,
    hint: ({ hint }) =>
      hint ??
      "use a number known when compiling, such as a parameter of the block; the structure of a model cannot depend on its inputs",
    explain: `Conditions, lengths of lists, shapes of weights and the structure of a model are decided by the
compiler. Tensors, axes such as T and live parameters have no value then. To choose between
tensors element by element, use \`where\`.`,
  }),

  // --- compile-time values
  "not-an-integer": code<{ readonly what: string; readonly value: string }>({
    severity: "error",
    message: ({ what, value }) => `${what} must be a whole number, found ${value}`,
    hint: () => "round it with ceil, floor or round, or choose numbers that divide",
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
    message: ({ index, length }) => `index ${index} lies outside a list of ${length}`,
    hint: ({ length }) => (length === 0 ? "the list is empty" : `the last item has index ${length - 1}`),
    explain: `\`list[i]\` counts from 0; a negative index counts from the end, -1 being the last item.`,
  }),
  "number-too-large": code<{ readonly bits: number }>({
    severity: "error",
    message: ({ bits }) => `the number needs more than ${bits} bits`,
    hint: () => "use a smaller number; values this large do not fit any tensor",
    explain: `Compile-time numbers are exact and may be large, but not without limit: beyond this a program is
more likely mistaken than in need of the digits.`,
  }),
  "inexact-power": code<{ readonly exponent: string }>({
    severity: "error",
    message: ({ exponent }) => `a compile-time power needs a whole exponent, found ${exponent}`,
    hint: () => "in a function, take the root of a tensor: `sqrt(x)`",
    explain: `Compile-time numbers are exact fractions; a root is seldom one. Whole exponents, negative ones
too, are exact.`,
  }),
  "wrong-operands": code<{ readonly op: string; readonly left: string | null; readonly right: string }>({
    severity: "error",
    message: ({ op, left, right }) =>
      left === null ? `\`${op}\` does not apply to ${right}` : `\`${op}\` does not apply to ${left} and ${right}`,
    hint: ({ op }) => OPERANDS[op] ?? "arithmetic is for numbers",
    explain: `Arithmetic takes numbers, \`and or not\` take booleans, order compares numbers, equality
compares numbers, strings or booleans of the same kind, and \`+\` also joins two lists.`,
  }),
  "size-out-of-range": code<{ readonly what: string; readonly value: string; readonly max: number }>({
    severity: "error",
    message: ({ what, value, max }) => `${what} must lie between 1 and ${max}, found ${value}`,
    hint: ({ max }) => `use a whole number from 1 to ${max}`,
    explain: `Every dimension of a tensor, and every bound of an axis, is at least 1. The upper limit is what
a 32-bit index can reach.`,
  }),
  "constant-cycle": code<{ readonly chain: readonly string[] }>({
    severity: "error",
    message: ({ chain }) => `these constants are defined by one another: ${chain.join(" → ")}`,
    hint: ({ chain }) => `give \`${chain[0] ?? ""}\` a value that needs none of the others`,
    explain: `A constant is computed from others when it is first needed; in a circle there is none to begin
with.`,
  }),
  "not-a-value": code<{ readonly name: string; readonly what: string }>({
    severity: "error",
    message: ({ name, what }) => `\`${name}\` is ${what}, not a value`,
    hint: ({ name, what }) =>
      what.startsWith("a block") ? `make an instance: \`${name}(…)\`` : `call it: \`${name}(…)\``,
    explain: `Blocks and functions are not values themselves. What a parameter of kind \`block\` takes is an
instance: \`Layer(64, 4)\`.`,
  }),
  "not-callable": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `${found} cannot be called`,
    hint: ({ found }) =>
      found.startsWith("a tensor")
        ? "multiply with `*`; rows are read by `table[indices]`"
        : "only blocks, their functions and built-in functions are called; is it a member that an `if` left out?",
    explain: `What can be called are blocks (in a member, to make an instance), instances (in a function,
which runs \`forward\`), functions of a block, and the built-in functions.`,
  }),
  "not-a-list": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `\`for\` goes through a list, found ${found}`,
    hint: () => "`0..n` is the list of the numbers 0 to n − 1",
    explain: `\`for\` is unrolled by the compiler over a list: a range, a list of numbers, or a member that is
a list of blocks.`,
  }),
  "not-a-condition": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `a condition must be true or false, found ${found}`,
    hint: () => "compare it with something: `n > 0`",
    explain: `Only booleans are conditions; numbers, strings and lists are not taken for true or false.`,
  }),

  // --- blocks and members
  "instance-in-function": code<{ readonly block: string; readonly where: string }>({
    severity: "error",
    message: ({ block, where }) => `\`${block}(…)\` makes an instance with weights, which ${where} cannot do`,
    hint: () => "make it a member, and use the member's name",
    explain: `Weights belong to members: they are named by them in a checkpoint. So an instance is made by a
member, and functions call it.

  forward(x: f32[B, 8]) -> f32[B, 8] { Linear(8, 8)(x) }   // make it a member`,
  }),
  "not-a-block": code<{ readonly name: string; readonly found: string }>({
    severity: "error",
    message: ({ name, found }) => `the member \`${name}\` must be a block or a list of blocks, found ${found}`,
    hint: () => "name a number with `const`, or as a parameter with a default",
    explain: `\`name: expr\` among the members makes sub-blocks: an instance, or a list of instances that may
nest.`,
  }),
  "unknown-member": code<{ readonly object: string; readonly name: string; readonly suggestion: string | null }>({
    severity: "error",
    message: ({ object, name }) => `${object} has no member \`${name}\``,
    hint: (d) =>
      didYouMean(d) ??
      (d.object.startsWith("a tensor")
        ? ofTensor(d.name)
        : "name a member that it declares, in a branch that is taken"),
    explain: `\`a.b\` reads a weight, a sub-block or a function of the instance a, or one named result of a
function. A member inside an \`if\` exists only where its branch was taken.`,
  }),
  "no-function": code<{ readonly block: string; readonly name: string }>({
    severity: "error",
    message: ({ block, name }) => `\`${block}\` has no \`${name}\``,
    hint: ({ name }) => `write \`${name}(…) { … }\` among its members`,
    explain: `Calling an instance runs its \`forward\`; a model is entered by \`forward\`, or by \`objective\`
when training.`,
  }),
  "path-taken": code<{ readonly path: string }>({
    severity: "error",
    message: ({ path }) => `two members have the path "${path}"`,
    hint: () => "rename one: an instance made in an argument is named by the parameter that receives it",
    explain: `The path of a weight is its key in a checkpoint, so no two may be equal. A block passed as an
argument takes the name of the parameter, \`wrap.inner\`; a member of that block called
\`inner\` would have the same path.`,
  }),

  // --- weights
  "unread-weight": code<{ readonly kind: "weight" | "sub-block"; readonly name: string }>({
    severity: "warning",
    message: ({ kind, name }) =>
      kind === "weight" ? `nothing reads the weight \`${name}\`` : `nothing calls or reads \`${name}\``,
    hint: ({ kind }) =>
      `${kind === "weight" ? "use it in a function of the block" : "call it in a function of the block"}, or remove it`,
    explain: `A weight that no function mentions, in any phase, is loaded, kept and saved for nothing, and no
training changes it; so are the weights of a sub-block that nothing calls. Mostly a line was
forgotten.

  weight scale: f32[dim]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x }`,
  }),
  "unknown-initialiser": code<{ readonly found: string }>({
    severity: "error",
    message: ({ found }) => `a weight cannot start as ${found}`,
    hint: () => "use zeros, ones, normal(std), uniform(lo, hi) or orthogonal(gain)",
    explain: `After \`=\` stands how a weight starts: \`zeros\`, \`ones\`, \`normal(std)\`, \`uniform(lo,
hi)\`, \`orthogonal(gain)\`, or an \`if … then … else …\` between them. Without one it is
normal(1/√n) with n the last axis, and zeros for a single axis.`,
  }),
  "bad-initialiser": code<{ readonly reason: string }>({
    severity: "error",
    message: ({ reason }) => reason,
    hint: () => "the initialisers are `zeros`, `ones`, `normal(deviation)`, `uniform(low, high)` and `orthogonal`",
    explain: `A deviation is not negative, \`uniform(lo, hi)\` has lo ≤ hi, \`orthogonal\` needs at least two
axes, and weights of whole numbers start as \`zeros\` or \`ones\`.`,
  }),
  "weight-type": code<{ readonly reason: string }>({
    severity: "error",
    message: ({ reason }) => `a weight ${reason}`,
    hint: () => "write `weight w: f32[8, 4]`: a dtype of numbers, and dimensions known when compiling",
    explain: `A weight is a tensor of f32, f16, u32 or i32 whose dimensions are all known when compiling: it
exists once, before any input.`,
  }),

  // --- functions
  "wrong-input": code<{
    readonly callee: string;
    readonly input: string;
    readonly expected: string;
    readonly found: string;
    readonly reason: string | null;
  }>({
    severity: "error",
    message: ({ callee, input, expected, found, reason }) =>
      `\`${input}\` of \`${callee}\` is ${expected}, but the argument is ${found}${reason === null ? "" : `: ${reason}`}`,
    hint: ({ callee, input }) =>
      `give a tensor of the declared type, or change the type of \`${input}\` in \`${callee}\``,
    explain: `An argument must fit the type of the input: the same dtype, as many dimensions, equal sizes.
Each axis that the function introduces (B, T) stands for one size throughout, and \`...\`
accepts any leading axes.`,
  }),
  "repeated-rest": code<Record<never, never>>({
    severity: "error",
    message: () => "`...` stands twice in one type",
    hint: () => "one `...` stands for any number of axes; name those behind it",
    explain: `\`...\` in the type of an input accepts any axes, so where it stands twice nothing tells which
axis belongs to which.

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
    explain: `Where a function bounds an axis (\`T <= context\`), every caller's axis needs a bound that is no
larger, so that no input at run time can break the promise.`,
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
    hint: ({ hint }) => hint ?? "change the declared type, or compute what it says",
    explain: `The value of the last expression must have the type that stands after \`->\`.`,
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
    explain: `An \`objective\` says what training minimises by its losses, \`loss name = …\`, and gives no value.
What else the program shall compute belongs to \`forward\`, or is shown with \`observe\`.`,
  }),
  "unpack-count": code<{ readonly targets: number; readonly found: string }>({
    severity: "error",
    message: ({ targets, found }) => `${plural(targets, "name")} cannot take apart ${found}`,
    hint: ({ found }) =>
      found.startsWith("a tensor")
        ? "a single result is bound by one name: `x = …`; `split` cuts a tensor into parts"
        : "write as many names as there are values",
    explain: `\`(a, b) = f(x)\` takes apart the results of a function, or a list, with exactly as many values
as there are names.`,
  }),
  "no-value": code<{ readonly what: string }>({
    severity: "error",
    message: ({ what }) => `${what} gives no value`,
    hint: () => "let the function end with an expression, or call it as a statement of its own",
    explain: `A function without a result, such as an \`objective\`, can be called as a statement, but its
call is no value.`,
  }),
  "unused-value": code<Record<never, never>>({
    severity: "warning",
    message: () => "the value of this expression is not used",
    hint: () =>
      "a line that starts with `-` or `(` starts a statement; end the line before with the operator, or drop this one",
    explain: `Only the last expression of a function is its result. An expression elsewhere computes something
that nobody reads, often because a line was broken before an operator:

  y = a
    - b                                           // this is a statement of its own`,
  }),
  "not-observable": code<{ readonly name: string; readonly found: string }>({
    severity: "error",
    message: ({ name, found }) => `\`observe ${name}\` needs a tensor or a route, found ${found}`,
    hint: () =>
      "observe what a function computes; an instance can be observed by the result of calling it: `y = lin(x)`, `observe y`",
    explain: `\`observe\` makes a value of the running program readable by tools, so it must be a tensor or a
route.`,
  }),
  "loss-not-scalar": code<{ readonly name: string; readonly found: string }>({
    severity: "error",
    message: ({ name, found }) => `the loss \`${name}\` must be one number, f32[], found ${found}`,
    hint: () => "take its mean or sum",
    explain: `Training minimises the sum of the losses, so each is a scalar: the value of \`cross_entropy\`,
of \`bce\`, of \`mean(x)\`.`,
  }),
  "open-entry-input": code<{ readonly input: string; readonly reason: string }>({
    severity: "error",
    message: ({ input, reason }) => `the program cannot be entered with \`${input}\`: ${reason}`,
    hint: ({ input }) =>
      input === "lengths"
        ? "give it another name; the lengths of the sequences are given at run time without being declared"
        : "write out its shape: `f32[B, T <= 64, dim]`",
    explain: `The inputs of the function that is entered make the axes of the program. Each dimension there is
a compile-time integer or the name of one axis; \`...\` and sizes computed from axes are for
functions called by others.`,
  }),
  "misplaced-axis": code<{ readonly axis: string; readonly reason: string }>({
    severity: "error",
    message: ({ axis, reason }) => `the axis \`${axis}\` ${reason}`,
    hint: () => "give this dimension a name of its own",
    explain: `The first axis of the inputs is the batch: it stands first wherever it stands. An axis behind
the batch is a sequence, each with a length of its own, so it always stands second, behind the
batch.`,
  }),
} as const;
