// Checks inputs beside the tokens: given ones, whole when a prompt is read, and those with a value for each token.
import { inspect } from "../../ground/base/shown.js";
import { countOf } from "../../ground/base/collections.js";
import type { LengthList } from "../../ground/size/lengths.js";
import { checkLengths, inferExtents } from "../../runtime/run/extents.js";
import { flatten, flattenAll, type FlatInput, type InputValue } from "../../runtime/run/inputs.js";
import { parseAxes } from "../../runtime/steps/sizes.js";
import { InputError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Program } from "../../runtime/program/program.js";
import type { BesideRows, BesideToken, GivenInputs, InputOptions } from "../types.js";

/** The inputs of a group of prompts, apart from the tokens. */
export interface Beside {
  readonly given: GivenInputs | null;
  /** For each sequence; null if the model has no such inputs. */
  readonly rows: readonly (BesideRows | null)[];
}

/** Prompts, each with the most tokens that are added to it. */
export interface Continued {
  readonly prompts: readonly ArrayLike<number>[];
  readonly most: readonly number[];
}

/** Checks the inputs beside the tokens; throws InputError. */
export function besideOf(
  generation: Generation,
  continued: Continued,
  { inputs = {}, lengths = {}, next }: InputOptions,
): Beside {
  const { prompts } = continued;
  const { given, beside = [] } = generation;
  const known = [...(given?.inputs.map(({ name }) => name) ?? []), ...beside];
  if (typeof inputs !== "object" || inputs === null)
    throw new InputError("inputs", `inputs is ${inspect(inputs)}: it must be an object of tensors by name`);
  for (const name of Object.keys(inputs)) {
    if (name === generation.input)
      throw new InputError(name, `the input ${name} is the prompt`, "leave it out of `inputs`");
    if (!known.includes(name))
      throw new InputError(name, `the model takes no input ${name} with a prompt`, takes(generation));
  }
  for (const name of known)
    if (!Object.hasOwn(inputs, name)) throw new InputError(name, `input ${name} is missing`, takes(generation));
  if (!given && Object.keys(lengths).length > 0)
    throw new InputError("lengths", "lengths are given, but the model takes no sequences with a prompt");
  if (next !== undefined && typeof next !== "function")
    throw new InputError("next", `next is ${inspect(next)}: it must be a function`);
  if (beside.length === 0 && next !== undefined)
    throw new InputError("next", "the model has no input with a value for each token, which `next` could give");
  return {
    given: given ? givenInputs(given, prompts.length, inputs, lengths) : null,
    rows: prompts.map((_, i) => (beside.length === 0 ? null : rowsOf(generation, continued, i, inputs, next))),
  };
}

/** The hint that lists the inputs of the model apart from its tokens. */
function takes({ given, prompt, beside = [] }: Generation): string {
  const all = [...(given?.inputs ?? []), ...prompt.inputs.filter(({ name }) => beside.includes(name))];
  const list = all.map(({ name, dtype, shape }) => `${name}: ${dtype}[${shape.join(", ")}]`).join(" and ");
  return list === "" ? "it takes its tokens alone" : `it takes ${list}, as \`inputs\` or \`--input name=value\``;
}

function givenInputs(
  program: Program,
  sequences: number,
  values: Readonly<Record<string, InputValue>>,
  given: Readonly<Record<string, LengthList>>,
): GivenInputs {
  const axes = parseAxes(program);
  const inputs = new Map(program.inputs.map(({ name }) => [name, values[name]!] as const));
  const batch = axes.find(({ role }) => role === "batch");
  const rows = batch ? { [batch.name]: sequences } : {};
  const all = inferExtents(program, axes, flattenAll(program, inputs), rows, "the prompts");
  const lengths = checkLengths(Object.keys(given).length > 0 ? given : undefined, axes, all);
  const own = [...all].filter(([name]) => name !== batch?.name);
  return { inputs, lengths: Object.fromEntries(lengths), extents: Object.fromEntries(own) };
}

/** The rows of one prompt. Later tokens have theirs from `next`; without `next` the input has them too. */
function rowsOf(
  generation: Generation,
  { prompts, most }: Continued,
  sequence: number,
  inputs: Readonly<Record<string, InputValue>>,
  next: InputOptions["next"],
): BesideRows {
  const names = generation.beside!;
  const longest = prompts.reduce((n, prompt) => Math.max(n, prompt.length), 0);
  // The last token is chosen, but not read.
  const read = prompts.reduce((n, prompt, i) => Math.max(n, prompt.length + Math.max(0, most[i]! - 1)), 0);
  const flat = new Map(names.map((name) => [name, checked(generation, name, flatten(name, inputs[name]))] as const));
  for (const [name, { shape }] of flat)
    if (shape[0] !== prompts.length || (next ? shape[1] !== longest : shape[1]! < longest))
      throw new InputError(
        name,
        `input ${name} has shape [${shape.join(", ")}], but there are ${prompts.length} prompts of at most ` +
          `${longest} tokens`,
        "give a value for each token of the prompts, padded to the longest",
      );
    else if (!next && shape[1]! < read)
      throw new InputError(
        name,
        `cannot generate: the input ${name} has values for ${shape[1]!} tokens, but up to ${read} are read`,
        "give them for the tokens to come too, or fewer tokens to generate; in code `next` can give them; or compute " +
          "the values from the tokens in the model, such as by `scan`",
      );
  const shapeOf = (name: string): readonly number[] => flat.get(name)!.shape.slice(2);
  const later = new Map<number, BesideToken>();
  return {
    names,
    shape: shapeOf,
    row(name, position, token) {
      const width = countOf(shapeOf(name));
      if (!next || position < prompts[sequence]!.length) {
        const { data, shape } = flat.get(name)!;
        const from = (sequence * shape[1]! + position) * width;
        return Array.prototype.slice.call(data, from, from + width) as number[]; // a list of numbers
      }
      let values = later.get(position);
      if (!values) later.set(position, (values = next(token, position, sequence)));
      const value = (values as BesideToken | undefined)?.[name];
      const row = typeof value === "number" ? [value] : value;
      if (!row || row.length !== width)
        throw new InputError(
          "next",
          `next gave ${row ? `${row.length} numbers` : "nothing"} for ${name}, which has ${width} for a token`,
        );
      return row;
    },
  };
}

/** Throws InputError for a tensor that the input does not take: its first dimensions are prompts and tokens. */
function checked({ prompt }: Generation, name: string, flat: FlatInput): FlatInput {
  const { shape } = prompt.inputs.find((input) => input.name === name)!; // `beside` names inputs
  const fits = flat.shape.length === shape.length && shape.every((size, i) => i < 2 || size === flat.shape[i]);
  if (fits) return flat;
  throw new InputError(
    name,
    `input ${name} has shape [${flat.shape.join(", ")}], the model takes [${shape.join(", ")}]`,
  );
}
