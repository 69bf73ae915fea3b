// Reads the inputs of a run from the command line: tensors as JSON, from files, or from text. Makes random inputs.
import type { OpenedModel } from "../../../models/opened/model.js";
import { isFloat, type Words } from "../../../ground/base/dtype.js";
import type { Generation } from "../../../runtime/program/generation.js";
import type { Program, ProgramInput } from "../../../runtime/program/program.js";
import type { Lengths } from "../../../ground/size/lengths.js";
import { quotedName, escapedName, inspect } from "../../../ground/base/shown.js";
import { converts, fromBytes } from "../../../runtime/weights/formats/convert.js";
import { openWeights } from "../../../runtime/weights/weights-node.js";
import { UserError } from "../terminal/exit.js";
import { readText, pathIn, readTextBytes } from "../source/files.js";
import { say } from "../terminal/terminal.js";
import type { InputFlags } from "../tree/options.js";
import type { TokenizerSource } from "../../../models/tokenizer/source-node.js";
import { initialValues } from "../../../runtime/index.js";
import { resolveSizes, type RunSizes } from "../../../ground/size/axes.js";
import { checkLengths, inferExtents } from "../../../runtime/run/extents.js";
import { parseAxes } from "../../../runtime/steps/sizes.js";
import { sizeOfText } from "../../../ground/size/parse-size.js";

/** A tensor: flat values and a shape. */
interface GivenTensor {
  readonly shape: readonly number[];
  readonly data: readonly number[] | Words;
}

/** Texts encoded as tokens. */
export interface GivenTexts {
  /** The tokens of each text, cut to the model's bound. */
  readonly tokens: readonly (readonly number[])[];
  /** The number of different tokens that the model reads; null: any number. */
  readonly vocabulary: number | null;
  readonly reader: TextReader;
}

export interface GivenInputs {
  readonly inputs: ReadonlyMap<string, GivenTensor>;
  readonly lengths: Lengths | null;
  /** Null where the tokens do not come from texts. */
  readonly texts: GivenTexts | null;
  /** The extents of all axes of the inputs. */
  readonly extents: ReadonlyMap<string, number>;
}

/** `opened`: has the tokenizer of texts. */
export async function readInputs(
  program: Program,
  flags: InputFlags,
  opened: Pick<OpenedModel, "tokenizer"> = { tokenizer: null },
): Promise<GivenInputs> {
  const inputs = new Map<string, GivenTensor>();
  for (const [name, value] of Object.entries(flags.input ?? {})) {
    const declared = program.inputs.find((input) => input.name === name);
    if (!declared) throw new UserError(`the model has no input ${name}`, takes(program));
    inputs.set(name, await readTensor(declared, value));
  }
  const texts = flags.text?.length
    ? await textTokens(program, flags.text, inputs, await textReader(opened.tokenizer))
    : null;
  for (const { name } of program.inputs)
    if (!inputs.has(name)) throw new UserError(`input ${name} is missing`, takes(program));
  const given = flags.lengths ?? null;
  if (given && texts) throw new UserError("--lengths and --text exclude each other: texts have their own lengths");
  // Before a device is opened; the reference gets the same messages.
  const axes = parseAxes(program);
  const extents = inferExtents(program, axes, inputs);
  checkLengths(given ?? undefined, axes, extents);
  return { inputs, texts, lengths: given ?? lengthsOf(texts), extents };
}

/** Values of further inputs of a model that generates, by name. */
export async function readFurther(
  { given, prompt, beside = [] }: Generation,
  flags: Pick<InputFlags, "input">,
): Promise<Readonly<Record<string, GivenTensor>>> {
  const known = [...(given?.inputs ?? []), ...prompt.inputs.filter(({ name }) => beside.includes(name))];
  const values: Record<string, GivenTensor> = {};
  for (const [name, value] of Object.entries(flags.input ?? {})) {
    const declared = known.find((other) => other.name === name);
    if (!declared) {
      const all = known.map((other) => `${other.name}: ${other.dtype}[${other.shape.join(", ")}]`).join(" and ");
      throw new UserError(`the model takes no input ${name} with a prompt`, all === "" ? null : `it takes ${all}`);
    }
    values[name] = await readTensor(declared, value);
  }
  return values;
}

function takes(program: Program): string {
  const [first] = program.inputs;
  if (!first) return "it takes no inputs";
  const all = program.inputs.map((i) => `${i.name}: ${i.dtype}[${i.shape.join(", ")}]`).join(" and ");
  return (
    `it takes ${all}: give \`--input ${first.name}=[[…]]\`, \`=@file.json\` or ` +
    `\`=@file.safetensors\`${textInputs(program) ? ", or `--text`" : ""}`
  );
}

// --- tensors

async function readTensor(input: ProgramInput, value: string): Promise<GivenTensor> {
  if (!value.startsWith("@")) return fromJson(input, value, `--input ${input.name}`);
  const path = value.slice(1);
  return path.endsWith(".safetensors") ? fromSafetensors(input, path) : fromJson(input, readText(path), path);
}

function fromJson(input: ProgramInput, text: string, where: string): GivenTensor {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError(
      `${where} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      /NaN|Infinity/.test(text)
        ? IN_QUOTES
        : `write nested lists of numbers, such as --input ${input.name}=[[1,2],[3,4]]`,
    );
  }
  return flatten(input, value);
}

/** Numbers that JSON lacks, as `--json` prints them. */
const NOT_FINITE: ReadonlyMap<unknown, number> = new Map([NaN, Infinity, -Infinity].map((x) => [String(x), x]));
const IN_QUOTES = 'write such numbers in quotes: "NaN", "Infinity" or "-Infinity"';

/** Nested lists of numbers and booleans, all of one length on each level. */
function flatten({ name, dtype }: ProgramInput, value: unknown): GivenTensor {
  const float = isFloat(dtype);
  const shape: number[] = [];
  for (let v = value; Array.isArray(v); v = v[0]) shape.push(v.length);
  const data: number[] = [];
  const walk = (v: unknown, depth: number, place: string): void => {
    if (depth === shape.length) {
      const number =
        typeof v === "number" || typeof v === "boolean" ? Number(v) : float ? NOT_FINITE.get(v) : undefined;
      if (number === undefined) {
        const described = Array.isArray(v) ? "a list, but the first entry is not" : inspect(v);
        throw new UserError(
          NOT_FINITE.has(v)
            ? `${place} is ${String(v)}: ${dtype} takes ${dtype === "bool" ? "true and false" : "whole numbers"}`
            : `${place} is ${described}, which is not a number`,
          v === null && float ? IN_QUOTES : null,
        );
      }
      data.push(number);
      return;
    }
    if (!Array.isArray(v)) throw new UserError(`${place} is not a list, but its neighbours are`);
    if (v.length !== shape[depth])
      throw new UserError(
        `${place} has ${v.length} entries, its first neighbour ${shape[depth]}`,
        "pad sequences to one length and give `--lengths`",
      );
    v.forEach((inner, i) => walk(inner, depth + 1, `${place}[${i}]`));
  };
  if (shape.length > 16) throw new UserError(`${name} is nested more than 16 deep`);
  walk(value, 0, name);
  return { shape, data };
}

async function fromSafetensors(input: ProgramInput, path: string): Promise<GivenTensor> {
  const source = await openWeights(path);
  try {
    const entry = source.tensors.get(input.name);
    if (!entry)
      throw new UserError(
        `${path} holds no tensor ${JSON.stringify(input.name)}`,
        `it holds ${
          [...source.tensors.keys()]
            .slice(0, 8)
            .map((name) => escapedName(name))
            .join(", ") || "none"
        }`,
      );
    if (!converts(entry.dtype, input.dtype))
      throw new UserError(`${input.name} in ${path} is ${entry.dtype}, which does not convert to ${input.dtype}`);
    const values = fromBytes(await source.read(input.name), entry.dtype, input.dtype);
    if (typeof values === "string") throw new UserError(`${input.name} in ${path}: ${values}`);
    return { shape: entry.shape, data: values };
  } finally {
    await source.close();
  }
}

// --- text

interface TextInputs {
  readonly tokens: ProgramInput;
  /** The input for the next token of each token; null where there is none. */
  readonly targets: ProgramInput | null;
}

/** The inputs that a text can fill: an integer input with a value for each token, and one named `targets`. */
function textInputs(program: Program): TextInputs | null {
  const integerInputs = program.inputs.filter(
    (i) => (i.dtype === "u32" || i.dtype === "i32") && i.shape.length === 2 && i.packing !== null,
  );
  const targets = integerInputs.find((i) => i.name === "targets") ?? null;
  const [tokens, another] = integerInputs.filter((i) => i !== targets);
  return tokens && !another ? { tokens, targets } : null;
}

/** Encodes texts. Texts longer than the model's bound are cut, with a note. */
async function textTokens(
  program: Program,
  given: readonly string[],
  inputs: Map<string, GivenTensor>,
  reader: TextReader,
): Promise<GivenTexts> {
  const fed = textInputs(program);
  if (!fed) throw new UserError("--text needs a model with one input of tokens, u32[B, T]", takes(program));
  const { tokens, targets } = fed;
  const axis = program.axes.find((a) => a.name === tokens.packing?.axis);
  // With targets, the last token is only a target.
  const bound = (axis?.bound ?? Infinity) + (targets ? 1 : 0);
  const texts: (readonly number[])[] = [];
  for (const text of given) {
    const read = Array.from(await reader.encode(text));
    if (read.length <= (targets ? 1 : 0))
      throw new UserError(`--text ${quotedName(text)} is ${read.length === 0 ? "empty" : "too short for a target"}`);
    if (read.length > bound)
      say(
        `note: ${text.startsWith("@") ? text.slice(1) : "the text"} has ${read.length} ${reader.unit}s, the ` +
          `model reads the first ${bound}`,
      );
    texts.push(read.slice(0, bound));
  }
  const longest = Math.max(...texts.map((t) => t.length)) - (targets ? 1 : 0);
  const feed = (input: ProgramInput, from: number): void => {
    if (inputs.has(input.name)) throw new UserError(`--text and --input both give ${input.name}`);
    const data = new Uint32Array(texts.length * longest);
    texts.forEach((t, b) => data.set(t.slice(from, from + longest), b * longest));
    inputs.set(input.name, { shape: [texts.length, longest], data });
  };
  feed(tokens, 0);
  if (targets) feed(targets, 1);
  return { tokens: targets ? texts.map((t) => t.slice(0, -1)) : texts, vocabulary: tokens.below, reader };
}

/** The lengths of the texts; null where all are equal. */
function lengthsOf(texts: GivenTexts | null): readonly number[] | null {
  const lengths = texts?.tokens.map((t) => t.length) ?? [];
  return lengths.some((n) => n !== lengths[0]) ? lengths : null;
}

interface TextReader {
  readonly unit: "byte" | "token";
  /** Tokens of a text, or of a file (`@path`). */
  encode(text: string): Promise<ArrayLike<number>>;
  /** The text with one column for each token. */
  strip(tokens: ArrayLike<number>): string;
  /** One token in quotes, decoded after the tokens before it. */
  show(token: number, before: ArrayLike<number>): string;
}

const bytesReader: TextReader = {
  unit: "byte",
  async encode(text) {
    const path = pathIn(text);
    return path === null ? new TextEncoder().encode(text) : readTextBytes(path);
  },
  strip: (tokens) => printableBytes(Uint8Array.from(tokens)),
  show: showByte,
};

/** `'a'`, `'\n'`, `0xc3` */
function showByte(byte: number): string {
  if (byte === 10) return "'\\n'";
  return byte >= 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `0x${byte.toString(16).padStart(2, "0")}`;
}

/** A reader that uses a tokenizer, with its special tokens around a whole text; without one, bytes. */
export async function textReader(source: TokenizerSource | null): Promise<TextReader> {
  if (source === null) return bytesReader;
  const { noTokenizer } = await import("../../../models/tokenizer/tokenizer-node.js");
  const { piecesOf } = await import("../../../models/tokenizer/text-stream.js");
  const { textAfter } = await import("../../serve/requests/token-text.js");
  const opened = await source.open();
  if (opened === null) throw noTokenizer(source.path);
  const { tokenizer } = opened;
  return {
    unit: "token",
    encode(text) {
      const path = pathIn(text);
      return tokenizer.encodeAsync(path === null ? text : readText(path), { template: true, alone: true });
    },
    strip: (tokens) => printablePieces(piecesOf(tokenizer, Array.from(tokens))),
    show(token, before) {
      const text = textAfter(tokenizer, Array.from(before), token);
      return text === "" ? `token ${token}` : JSON.stringify(text);
    },
  };
}

/** Bytes as one column each: unprintable and continuation bytes become spaces. */
export function printableBytes(bytes: Uint8Array): string {
  const cells: string[] = [];
  for (let i = 0; i < bytes.length;) {
    const length = bytes[i]! < 0x80 ? 1 : bytes[i]! < 0xe0 ? 2 : bytes[i]! < 0xf0 ? 3 : 4;
    const character = new TextDecoder().decode(bytes.subarray(i, i + length));
    const width = Math.min(length, bytes.length - i);
    cells.push(isNarrow(character) ? character : " ", ...Array<string>(width - 1).fill(" "));
    i += width;
  }
  return cells.join("");
}

/** Whether a character is one column wide: combining and wide characters would misalign the lines below. */
const isNarrow = (character: string): boolean =>
  /^[\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff\u2010-\u2027]$/.test(character);

/** Tokens as one column each: the first printable character of each. */
export const printablePieces = (pieces: readonly string[]): string =>
  pieces.map((piece) => Array.from(piece.trim()).find(isNarrow) ?? " ").join("");

/** The limit of random integers for inputs without one. */
const USUAL_BELOW = 256;

/** Floats are normally distributed; integers are below their limit. */
export function madeInputs(program: Program, run: RunSizes, seed: number): GivenInputs {
  const sizes = resolveSizes(parseAxes(program), run);
  const inputs = program.inputs.map(({ name, dtype, shape, below }): [string, GivenTensor] => {
    const extents = shape.map((size) => sizes.number(sizeOfText(size)));
    const float = isFloat(dtype);
    const high = dtype === "bool" ? 2 : (below ?? USUAL_BELOW);
    const init = float ? { kind: "normal" as const, std: 1 } : { kind: "uniform" as const, low: 0, high };
    const data = initialValues({ path: `input ${name}`, dtype, shape: extents, init, keys: [], slots: [] }, seed);
    return [name, { shape: extents, data }];
  });
  return { inputs: new Map(inputs), lengths: null, texts: null, extents: run.extents };
}
