// Encodes a row of data as the words of a record: its tokens, targets and numbers by the objective's inputs.
import type { Message } from "../../models/tokenizer/chat.js";
import { TrainError } from "./errors.js";
import { ofCompletion, ofMessages, ofText, type Learned, type Writer } from "./record-text.js";
import {
  alongOf,
  alongRows,
  badValue,
  isList,
  isTarget,
  noColumn,
  numbersOf,
  valueOf,
  wholeNumbers,
  type AlongRows,
  type NumberOptions,
  type Row,
} from "./record-numbers.js";
import { wordsOf, type RecordInput, type RecordPlan } from "./record-plan.js";

export type { Row } from "./record-numbers.js";

export interface TextOptions extends Writer {
  readonly plan: RecordPlan;
  /** Tokens at which each sequence of a record is cut. */
  readonly context: number;
  /** The column of a text. */
  readonly field: string;
}

export interface RecordOptions extends TextOptions, NumberOptions {}

/** A record in the form of the cache. */
export interface EncodedRecord {
  /** Tokens of the sequence along each axis of the plan. */
  readonly lengths: readonly number[];
  /** The values of each input, one after the other. */
  readonly words: Uint32Array;
  /** The number of targets. */
  readonly targets: number;
  readonly largestToken: number;
  /** Bytes of text that targets predict; null: the record holds token numbers. */
  readonly bytes: number | null;
  /** Tokens that the context cut off. */
  readonly cut: number;
  /** Whether a text is padded, as it shares an axis with a longer one. */
  readonly padded: boolean;
}

/** Encodes a row; null if nothing of it is learned. Throws TrainError with the place. */
export async function encodeRecord(row: Row, options: RecordOptions): Promise<EncodedRecord | null> {
  const { plan, context } = options;
  const texts = await textsOf(row, options);
  const along = new Map<string, AlongRows>();
  for (const input of plan.inputs)
    if (input.kind === "along") along.set(input.name, await alongRows(row, input, options));
  const wholes = plan.axes.map((_, axis) => wholeLength(row, plan, axis, texts, along));
  const lengths = wholes.map((whole, axis) => Math.min(whole, context, plan.axes[axis]!.bound ?? Infinity));
  const written = new Map<string, ArrayLike<number>>();
  /** For each axis, the targets of its first input of targets, before they are cut. */
  const uncut = new Map<number, readonly number[]>();
  let targets = 0;
  for (const input of plan.inputs) {
    if (input.kind !== "targets") continue;
    const { axis } = input;
    const whole = targetsOf(row, input, texts.get(input.of)!, wholes[axis]!);
    if (!uncut.has(axis)) uncut.set(axis, whole);
    const values = whole.slice(0, lengths[axis]);
    targets += values.filter(isTarget).length;
    written.set(input.name, values);
  }
  if (targets === 0 && written.size > 0) return null;
  for (const input of plan.inputs) {
    if (input.kind === "tokens") written.set(input.name, texts.get(input.name)!.tokens.slice(0, lengths[input.axis]));
    else if (input.kind === "along") {
      const rows = along.get(input.name)!;
      written.set(input.name, alongOf(row, input, rows, wholes[input.axis]!, uncut.get(input.axis) ?? null));
    } else if (input.kind === "record") written.set(input.name, await numbersOf(row, input, options));
  }
  const numbers = plan.inputs.flatMap((input) =>
    input.kind === "tokens" || input.kind === "targets" ? [written.get(input.name)!] : [],
  );
  return {
    lengths,
    words: packed(plan, written, lengths),
    targets,
    largestToken: numbers.reduce((most, list) => Array.from(list).reduce((a, b) => Math.max(a, b), most), 0),
    bytes: bytesOf(texts, written, plan, options),
    padded: plan.inputs.some(
      (input) => input.kind === "tokens" && written.get(input.name)!.length < lengths[input.axis]!,
    ),
    cut: wholes.reduce((n, whole, axis) => n + whole - lengths[axis]!, 0),
  };
}

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

/** The words of the inputs in order; shorter sequences along an axis are padded: 0, and −1 for targets. */
function packed(
  plan: RecordPlan,
  written: ReadonlyMap<string, ArrayLike<number>>,
  lengths: readonly number[],
): Uint32Array {
  const inputs = plan.inputs.filter(({ name }) => written.has(name));
  const words = new Uint32Array(inputs.reduce((n, input) => n + wordsOf(input, lengths), 0));
  let at = 0;
  for (const input of inputs) {
    const values = written.get(input.name)!;
    const size = wordsOf(input, lengths);
    const isFloat = (input.kind === "record" || input.kind === "along") && input.type === "f32";
    const data = new (isFloat ? Float32Array : Int32Array)(words.buffer, 4 * at, size);
    if (input.kind === "targets") data.fill(-1);
    if (values.length <= size) data.set(values);
    else for (let i = 0; i < size; i++) data[i] = values[i]!;
    at += size;
  }
  return words;
}

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

function messagesIn(row: Row, column: string, values: readonly unknown[]): readonly Message[] {
  for (const [i, value] of values.entries()) {
    const fields = typeof value === "object" && value !== null ? value : {};
    const { role, content } = fields as Partial<Message>; // any fields
    if (typeof role !== "string" || typeof content !== "string")
      throw badValue(row, column, `needs a role and a content in message ${i}, both text`);
  }
  return values as readonly Message[]; // checked just above
}

/** The tokens along an axis before they are cut: the longest text, else the most values. */
function wholeLength(
  { place }: Row,
  { inputs }: RecordPlan,
  axis: number,
  texts: ReadonlyMap<string, Learned>,
  along: ReadonlyMap<string, AlongRows>,
): number {
  const own = inputs.filter((input) => input.kind !== "record" && input.axis === axis);
  const tokens = own.flatMap(({ name }) => texts.get(name)?.tokens.length ?? []);
  const counts = tokens.length > 0 ? tokens : own.flatMap(({ name }) => along.get(name)?.count ?? []);
  const longest = Math.max(0, ...counts);
  if (longest === 0) throw new TrainError("bad-data", `${place}: the record is empty`);
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
