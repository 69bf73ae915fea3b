// Diagnostics of arguments and parameters.
import { code } from "./define.js";
import { byName, didYouMean, EXAMPLES, plural } from "./hints.js";

export const argumentCodes = {
  "unknown-argument": code<{
    readonly callee: string;
    readonly name: string;
    readonly suggestion: string | null;
    readonly takes: readonly string[];
  }>({
    severity: "error",
    message: ({ callee, name }) => `\`${callee}\` has no parameter \`${name}\``,
    hint: (d) => didYouMean(d) ?? (d.takes.length > 0 ? `it takes ${d.takes.join(", ")}` : "it takes none"),
    explain: `A named argument, or a name given to --set, must be the name of a parameter of the block or
function.

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
    explain: `The block only compares this string with literals. A string that equals no literal and is not the
default takes the last \`else\`, or leaves a member out.

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
    /** Names of keyword-only parameters. */ readonly named: readonly string[];
  }>({
    severity: "error",
    message: ({ callee, takes }) =>
      `\`${callee}\` takes ${takes === 0 ? "no arguments" : `at most ${plural(takes, "argument")}`} by position`,
    hint: ({ callee, named }) => byName(callee, named),
    explain: `The call has more arguments by position than the block or function takes. Parameters that must be
named, such as \`axis:\`, do not count.`,
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
    explain: `A value must have the kind that the parameter declares: int, float, ratio, bool, string, block, or
a list such as [int]. All numbers are exact: a whole number is an int even if it was computed from
fractions, and any number is a float or ratio.`,
  }),
  "parameter-without-default": code<{ readonly model: string; readonly name: string }>({
    severity: "error",
    message: ({ model, name }) => `the parameter \`${name}\` of the model \`${model}\` has no default`,
    hint: () => "give it one; --set can override it",
    explain: `A model can be compiled without further values, so each of its parameters needs a default.
Parameters of blocks need none.`,
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
    hint: () => "drop `live`: values that decide shapes or structure must be known when compiling",
    explain: `A live parameter is given at run time and changed without compiling again. It may scale tensors and
size axes (\`ceil(capacity * T)\`), which needs a ratio or float. A parameter that decides the
structure of the model cannot be live.`,
  }),
  "not-compile-time": code<{ readonly what: string; readonly value: string; readonly hint?: string }>({
    severity: "error",
    message: ({ what, value }) =>
      `${what} must be known when compiling, but ${value} is known only when the program runs`,
    hint: ({ hint }) =>
      hint ??
      "use a number known when compiling, such as a parameter of the block; the structure of a model cannot " +
        "depend on its inputs",
    explain: `Conditions, lengths of lists, shapes of weights and the structure of a model are decided by the
compiler. Tensors, axes such as T and live parameters have no value then. To choose between
tensors element by element, use \`where\`.`,
  }),
} as const;
