// Encodes a row of data as the words of a record: its tokens, targets and numbers by the objective's inputs.
import type { Message } from "../../models/tokenizer/chat.js";
import { TrainError } from "./errors.js";
import { ofCompletion, ofMessages, ofText, type Learned, type Writer } from "./record-text.js";
import { product, wordsOf, type RecordInput, type RecordPlan } from "./record-plan.js";
import type { DataRow } from "./rows-node.js";

/** A row of data: values by column. */
export type Row = Pick<DataRow, "place" | "values" | "columns">;

export interface TextOptions extends Writer {
  readonly plan: RecordPlan;
  /** Tokens at which a record is cut. */
  readonly context: number;
  /** The column of a text. */
  readonly field: string;
}

export interface RecordOptions extends TextOptions {
  /** The names of classes by input. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  /** Reads the numbers of a file that a row names, such as features. Throws TrainError with the place. */
  readonly numbersIn: (
    path: string,
    place: string,
  ) => Promise<{ readonly shape: readonly number[]; readonly data: ArrayLike<number> }>;
}

/** A record in the form of the cache. */
export interface EncodedRecord {
  /** Tokens of the record. */
  readonly length: number;
  /** The values of each input, one after the other. */
  readonly words: Uint32Array;
  /** The number of targets. */
  readonly targets: number;
  readonly largestToken: number;
  /** Bytes of text that targets predict; null: the record holds token numbers. */
  readonly bytes: number | null;
  /** Tokens that the context cut off. */
  readonly cut: number;
}

/** Encodes a row; null if nothing of it is learned. Throws TrainError with the place. */
export async function encodeRecord(row: Row, options: RecordOptions): Promise<EncodedRecord | null> {
  const { plan, context } = options;
  const texts = await textsOf(row, options);
  const whole = wholeLength(row, plan, texts);
  const length = Math.min(whole, context);
  const written = new Map<string, ArrayLike<number>>();
  let targets = 0;
  let firstTargets: readonly number[] | null = null;
  for (const input of plan.inputs) {
    if (input.kind !== "targets") continue;
    const uncut = targetsOf(row, input, texts.get(input.of)!, whole);
    firstTargets ??= uncut;
    const values = uncut.slice(0, length);
    targets += values.filter(isTarget).length;
    written.set(input.name, values);
  }
  if (targets === 0 && written.size > 0) return null;
  for (const input of plan.inputs) {
    if (input.kind === "tokens") written.set(input.name, texts.get(input.name)!.tokens.slice(0, length));
    else if (input.kind === "along") written.set(input.name, alongOf(row, input, whole, firstTargets));
    else if (input.kind === "record") written.set(input.name, await numbersOf(row, input, options));
  }
  const numbers = plan.inputs.flatMap((input) =>
    input.kind === "tokens" || input.kind === "targets" ? [written.get(input.name)!] : [],
  );
  return {
    length,
    words: packed(plan, written, length),
    targets,
    largestToken: numbers.reduce((most, list) => Array.from(list).reduce((a, b) => Math.max(a, b), most), 0),
    bytes: bytesOf(texts, written, plan, options),
    cut: whole - length,
  };
}

const isTarget = (target: number): boolean => target >= 0;

/** The text of each input of tokens. Throws TrainError with the place. */
async function textsOf(row: Row, options: TextOptions): Promise<ReadonlyMap<string, Learned>> {
  const texts = new Map<string, Learned>();
  for (const input of options.plan.inputs)
    if (input.kind === "tokens") texts.set(input.name, await learnedOf(row, input.name, options));
  return texts;
}

/**
 * The tokens of each text of a row, cut at the context, with the targets of each token as training has them. Throws
 * TrainError with the place.
 */
export async function targetedTexts(
  row: Row,
  options: TextOptions,
): Promise<ReadonlyMap<string, { readonly tokens: readonly number[]; readonly targets: Int32Array }>> {
  const texts = await textsOf(row, options);
  const targeted = options.plan.inputs.flatMap((input) => {
    if (input.kind !== "targets") return [];
    const text = texts.get(input.of)!;
    const tokens = text.tokens.slice(0, options.context);
    return [[input.of, { tokens, targets: Int32Array.from(targetsOf(row, input, text, tokens.length)) }] as const];
  });
  return new Map(targeted);
}

/** Bytes of the text of all targets; null if a text was given as token numbers. */
function bytesOf(
  texts: ReadonlyMap<string, Learned>,
  written: ReadonlyMap<string, ArrayLike<number>>,
  plan: RecordPlan,
  { tokenizer }: RecordOptions,
): number | null {
  let bytes = 0;
  for (const input of plan.inputs) {
    if (input.kind !== "targets") continue;
    if (texts.get(input.of)!.given) return null;
    const targets = Array.from(written.get(input.name)!).filter((target) => target >= 0);
    bytes += new TextEncoder().encode(tokenizer.decode(targets)).length;
  }
  return bytes;
}

/** The words of the inputs in order; shorter sequences are padded: 0, and −1 for targets. */
function packed(plan: RecordPlan, written: ReadonlyMap<string, ArrayLike<number>>, length: number): Uint32Array {
  const parts = plan.inputs.flatMap((input): Uint32Array[] => {
    const values = written.get(input.name);
    if (!values) return [];
    const size = wordsOf(input, length);
    const isFloat = (input.kind === "record" || input.kind === "along") && input.type === "f32";
    const data = isFloat ? new Float32Array(size) : new Int32Array(size);
    if (input.kind === "targets") data.fill(-1);
    for (let i = 0; i < Math.min(size, values.length); i++) data[i] = values[i]!;
    return [new Uint32Array(data.buffer)];
  });
  const words = new Uint32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    words.set(part, at);
    at += part.length;
  }
  return words;
}

const noColumn = (row: Row, wanted: string): TrainError =>
  new TrainError("no-column", `${row.place}: there is no column ${wanted}`, {
    hint: `the columns are ${row.columns.join(", ") || "none"}`,
  });

const badValue = (row: Row, column: string, message: string, hint: string | null = null): TrainError =>
  new TrainError("bad-data", `${row.place}: ${column} ${message}`, { hint });

/** An own column's value; null counts as missing. */
const valueOf = ({ values }: Row, column: string): unknown =>
  Object.hasOwn(values, column) ? (values[column] ?? undefined) : undefined;

/** The text of an input of tokens: the column of its name, or one of the usual forms if it is the only such input. */
async function learnedOf(row: Row, name: string, options: TextOptions): Promise<Learned> {
  const { plan, field } = options;
  const alone = plan.inputs.filter(({ kind }) => kind === "tokens").length === 1;
  const [own, prompt] = [valueOf(row, name), valueOf(row, "prompt")];
  if (own !== undefined) {
    if (typeof own === "string")
      return typeof prompt === "string" ? ofCompletion(options, prompt, own) : ofText(options, own);
    if (isList(own) && typeof own[0] === "object" && own[0] !== null) {
      const before = isList(prompt) ? messagesIn(row, "prompt", prompt) : [];
      const messages = [...before, ...messagesIn(row, name, own)];
      return ofMessages(
        options,
        messages,
        before.length > 0 ? before.length : alone ? 0 : sharedMessages(row, plan),
        row.place,
      );
    }
    const tokens = wholeNumbers(row, name, own, 0, 0xffffffff);
    if (tokens.length === 0) throw badValue(row, name, "has no tokens");
    return { tokens, learned: tokens.map(() => true), given: true };
  }
  if (!alone) throw noColumn(row, name);
  const messages = valueOf(row, "messages");
  if (isList(messages)) return ofMessages(options, messagesIn(row, "messages", messages), 0, row.place);
  const completion = valueOf(row, "completion");
  if (typeof prompt === "string" && typeof completion === "string") return ofCompletion(options, prompt, completion);
  if (isList(prompt) && isList(completion)) {
    const before = messagesIn(row, "prompt", prompt);
    return ofMessages(options, [...before, ...messagesIn(row, "completion", completion)], before.length, row.place);
  }
  const text = valueOf(row, field);
  if (typeof text === "string") return ofText(options, text);
  if (text !== undefined) throw badValue(row, field, "is no text");
  if (prompt !== undefined && completion !== undefined)
    throw badValue(row, "prompt", "and completion are neither two texts nor two lists of messages");
  throw noColumn(
    row,
    [name, field, "messages", "prompt and completion"].filter((c, i, all) => all.indexOf(c) === i).join(", or "),
  );
}

/** The number of messages with which all chats of a row begin. */
function sharedMessages(row: Row, plan: RecordPlan): number {
  const chats = plan.inputs.flatMap(({ kind, name }) => {
    const value = kind === "tokens" ? valueOf(row, name) : undefined;
    return isList(value) ? [value.map((message) => JSON.stringify(message))] : [];
  });
  let n = 0;
  while (chats.every((chat) => n < chat.length && chat[n] === chats[0]![n])) n++;
  return n;
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

function messagesIn(row: Row, column: string, values: readonly unknown[]): readonly Message[] {
  for (const [i, value] of values.entries()) {
    const fields = typeof value === "object" && value !== null ? value : {};
    const { role, content } = fields as Partial<Message>; // any fields
    if (typeof role !== "string" || typeof content !== "string")
      throw badValue(row, column, `needs a role and a content in message ${i}, both text`);
  }
  return values as readonly Message[]; // checked just above
}

/** The tokens of a record before it is cut: its longest sequence. */
function wholeLength(row: Row, plan: RecordPlan, texts: ReadonlyMap<string, Learned>): number {
  const lengths = [...texts.values()].map(({ tokens }) => tokens.length);
  if (lengths.length === 0)
    for (const input of plan.inputs) {
      const value = input.kind === "along" ? valueOf(row, input.name) : undefined;
      if (isList(value)) lengths.push(value.length);
    }
  const longest = Math.max(0, ...lengths);
  if (longest === 0 && plan.inputs.some(({ kind }) => kind !== "record"))
    throw new TrainError("bad-data", `${row.place}: the record is empty`);
  return longest;
}

/** The targets of a text: the column if there is one, else each next token that is learned. */
function targetsOf(row: Row, { name }: RecordInput, { tokens, learned }: Learned, length: number): readonly number[] {
  const own = valueOf(row, name);
  if (own === undefined)
    return Array.from({ length }, (_, i) => (i + 1 < tokens.length && learned[i + 1]! ? tokens[i + 1]! : -1));
  const values = wholeNumbers(row, name, own, -1, 0x7fffffff);
  if (values.length !== tokens.length)
    throw badValue(row, name, `has ${values.length} values, the text has ${tokens.length} tokens`);
  return values.slice(0, length);
}

/** Values for each token: one for each token of the record, or one for each target, placed at its token. */
function alongOf(
  row: Row,
  { name, type, inner }: Extract<RecordInput, { kind: "along" }>,
  whole: number,
  targets: readonly number[] | null,
): ArrayLike<number> {
  const own = valueOf(row, name);
  if (own === undefined) throw noColumn(row, name);
  if (!isList(own)) throw badValue(row, name, "is no list of numbers");
  const size = product(inner);
  const values = numbersIn(row, name, own, type, [null, ...inner]);
  if (own.length === whole) return values;
  const places = targets === null ? [] : targets.flatMap((target, i) => (isTarget(target) ? [i] : []));
  if (targets === null || size !== 1 || own.length !== places.length) {
    const either = targets === null || size !== 1 ? "" : `, ${places.length} of them targets`;
    throw badValue(row, name, `has ${own.length} values, the record has ${whole} tokens${either}`);
  }
  const placed = new Float64Array(targets.length);
  for (const [i, place] of places.entries()) placed[place] = values[i]!;
  return placed;
}

/** The numbers of a record, or the number of a label. */
async function numbersOf(
  row: Row,
  { name, type, shape }: Extract<RecordInput, { kind: "record" }>,
  { labels, numbersIn: read }: RecordOptions,
): Promise<ArrayLike<number>> {
  const own = valueOf(row, name);
  if (own === undefined) throw noColumn(row, name);
  if (typeof own === "boolean") return numbersIn(row, name, Number(own), type, shape);
  if (typeof own !== "string") return numbersIn(row, name, own, type, shape);
  const names = labels.get(name);
  if (names !== undefined) {
    const at = names.indexOf(own);
    if (at < 0)
      throw badValue(row, name, `is ${JSON.stringify(own)}, which is no label`, `the labels are ${names.join(", ")}`);
    return numbersIn(row, name, at, type, shape);
  }
  if (shape.length === 0)
    throw badValue(
      row,
      name,
      `is ${JSON.stringify(own)}, which is no number`,
      `name the labels: --labels ${name}=first,second`,
    );
  const { shape: found, data } = await read(own, row.place);
  if (found.length !== shape.length || found.some((size, i) => size !== shape[i]))
    throw badValue(row, name, `has the shape [${found.join(", ")}] in ${own}, the model takes [${shape.join(", ")}]`);
  return data;
}

const LIMITS = { u32: [0, 0xffffffff], i32: [-0x80000000, 0x7fffffff] } as const;

/** The numbers of nested lists, row-major. `null` in `shape` is any size. */
function numbersIn(
  row: Row,
  name: string,
  value: unknown,
  type: "u32" | "i32" | "f32",
  shape: readonly (number | null)[],
): readonly number[] {
  const numbers: number[] = [];
  const walk = (v: unknown, depth: number): void => {
    if (depth < shape.length) {
      if (!isList(v))
        throw badValue(row, name, `is nested less than the model's [${shape.map((s) => s ?? "T").join(", ")}]`);
      const size = shape[depth]!;
      if (size !== null && v.length !== size)
        throw badValue(row, name, `has ${v.length} values where the model takes ${size}`);
      for (const each of v) walk(each, depth + 1);
      return;
    }
    const number = typeof v === "boolean" ? Number(v) : v;
    if (typeof number !== "number" || !Number.isFinite(Math.fround(number)))
      throw badValue(row, name, `contains ${JSON.stringify(v) ?? "nothing"}, which is no number`);
    if (type !== "f32" && !(Number.isInteger(number) && number >= LIMITS[type][0] && number <= LIMITS[type][1]))
      throw badValue(row, name, `contains ${number}, which is no ${type}`);
    numbers.push(number);
  };
  walk(value, 0);
  return numbers;
}

function wholeNumbers(row: Row, name: string, value: unknown, least: number, most: number): readonly number[] {
  if (!isList(value)) throw badValue(row, name, "is neither a text nor a list of whole numbers");
  for (const number of value)
    if (typeof number !== "number" || !Number.isInteger(number) || number < least || number > most)
      throw badValue(
        row,
        name,
        `contains ${JSON.stringify(number) ?? "nothing"}: it must hold whole numbers from ${least}`,
      );
  return value as readonly number[]; // checked just above
}
