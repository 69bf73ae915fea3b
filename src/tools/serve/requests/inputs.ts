// `modc.inputs`: the inputs of one text beside its tokens. All prompts and choices of a request share them.
import type { EngineInput } from "../../../generation/engine/index.js";
import type { InputError, InputValue, Nested } from "../../../runtime/index.js";
import type { Read } from "../../../runtime/program/reader.js";
import { hinted, invalid, type RequestError } from "./errors.js";
import type { Served } from "./options.js";

const fieldOf = (name: string): string => `modc.inputs.${name}`;

/** Numbers in nested lists, of equal length on each level. Throws RequestError, whose `param` is the whole input. */
export const nested: Read<Nested> = ({ value, path }) => {
  const shape = shapeOf(value);
  const walk = (item: unknown, at: string, depth: number): void => {
    const fail = (what: string): never => {
      throw invalid(`${path}${at} ${what}`, path);
    };
    if (typeof item === "string")
      fail("is a text, but inputs are numbers in nested lists, such as the tokens that /tokenize gives");
    if (depth === shape.length) {
      if (typeof item === "boolean" || (typeof item === "number" && Number.isFinite(item))) return;
      fail(Array.isArray(item) ? "is a list, but the first entry beside it is not" : "is not a number");
    }
    if (!Array.isArray(item)) return fail("is not a list, but the first entry beside it is");
    if (item.length === 0) fail("is an empty list: each list has at least one entry");
    if (item.length !== shape[depth]) fail(`has ${item.length} entries, but the first list beside it ${shape[depth]}`);
    item.forEach((own, i) => walk(own, `${at}[${i}]`, depth + 1));
  };
  walk(value, "", 0);
  return value as Nested; // checked
};

/** The lengths of the first list on each level. */
function shapeOf(value: unknown): readonly number[] {
  const shape: number[] = [];
  for (let item = value; Array.isArray(item); item = item[0]) shape.push(item.length);
  return shape;
}

/** The inputs of each text; null if there are none. Throws RequestError for other inputs than the model takes. */
export function inputsOf(
  { engine }: Pick<Served, "engine">,
  given: ReadonlyMap<string, Nested> = new Map(),
): Readonly<Record<string, InputValue>> | null {
  const { inputs } = engine.model;
  for (const name of given.keys())
    if (!inputs.some((input) => input.name === name))
      throw invalid(
        `the model takes no ${fieldOf(name.slice(0, 80))}: ` +
          (inputs.length === 0 ? "it takes its tokens alone" : `it takes ${inputs.map(described).join(" and ")}`),
        fieldOf(name.slice(0, 80)),
      );
  for (const input of inputs) {
    const field = fieldOf(input.name);
    const value = given.get(input.name);
    if (value === undefined) throw invalid(`${field} is missing: the model takes ${described(input)}`, field);
    const shape = shapeOf(value);
    const isAlike = (size: EngineInput["shape"][number], i: number): boolean =>
      typeof size === "string" || size === shape[i];
    if (shape.length === input.shape.length && input.shape.every(isAlike)) continue;
    const isOfSeveral = shape.length === input.shape.length + 1;
    throw invalid(
      `${field} has shape [${shape.join(", ")}], the model takes [${input.shape.join(", ")}]` +
        (isOfSeveral ? ": give the values of one text, without an axis of texts" : ""),
      field,
    );
  }
  if (inputs.length === 0) return null;
  return Object.fromEntries([...given].map(([name, value]) => [name, [value]]));
}

const described = ({ name, dtype, shape }: EngineInput): string => `${fieldOf(name)}: ${dtype}[${shape.join(", ")}]`;

/**
 * A fault of the engine over an input, in the words of the request: the engine's input has an axis of texts in front.
 * `names`: of all inputs.
 */
export function inputFault(fault: InputError, names: readonly string[]): RequestError {
  const any = names.join("|");
  const place = new RegExp(`(?:the )?\\binput (${any})\\b|(?<=^|\\bin )(${any})\\b(?:\\[0\\])?`, "g");
  const message = hinted(fault)
    .replaceAll(place, (_, input: string | undefined, other: string) => fieldOf(input ?? other))
    .replaceAll("has shape [1, ", "has shape [");
  return invalid(message, fieldOf(fault.input ?? ""));
}
