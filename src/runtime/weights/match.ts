// Matches the tensors of a checkpoint to the weights of a program: strictly, listing every fault at once.
import { bug } from "../../ground/base/invariant.js";
import { quotedName } from "../../ground/base/shown.js";
import type { Program, ProgramWeight } from "../program/program.js";
import { WeightsError } from "../device/errors.js";
import type { Words } from "../../ground/base/dtype.js";
import { converts, fromBytes } from "./formats/convert.js";
import type { WeightSource } from "./formats/source.js";
import { keyText, readStored, storedEntry, storedKey, whyIndivisible } from "./parts.js";
import { readPart, storedShape } from "../../ground/base/stored-part.js";

/** For each weight, the keys of the source that hold it: one, or several whose tensors must be equal. */
export type Matched = ReadonlyMap<ProgramWeight, readonly string[]>;

/** The tensors of a source, by key. */
export type Tensors = ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>;

/** The part of a source that matching needs. */
type Listed = { readonly name: string; readonly tensors: Tensors };

/** Most faults of a kind that are listed. */
const MOST_LISTED = 10;

/**
 * Finds every weight by the keys of the model's `names` or, in a file keyed by paths, by its path. Throws one
 * WeightsError that lists missing weights, tensors that the model neither declares nor ignores, and wrong shapes and
 * types.
 */
export function matchWeights(program: Pick<Program, "weights" | "ignore">, source: Listed): Matched {
  const { matched, faults } = bestAttempt(program, source.tensors);
  expectNone(faults, source);
  return matched;
}

/** The result of matching a source with a model's weights. */
export interface PartlyMatched {
  /** For weights that it lacks, no keys. */
  readonly matched: Matched;
  /** The weights that it lacks, with the key under which it would have each. */
  readonly missing: ReadonlyMap<ProgramWeight, string>;
}

/** The same where weights may be missing; anything else is as wrong as ever. */
export function matchPresent(program: Pick<Program, "weights" | "ignore">, source: Listed): PartlyMatched {
  const { matched, faults, missing } = bestAttempt(program, source.tensors);
  expectNone(
    faults.filter(({ kind }) => kind !== "missing"),
    source,
  );
  return { matched, missing };
}

function expectNone(faults: readonly Fault[], source: Listed): void {
  if (faults.length === 0) return;
  // Unexpected keys first: they reveal a mistyped name or another model's file.
  const lines = KINDS.flatMap((kind) => {
    // Several parts of a tensor may have the same fault.
    const texts = [...new Set(faults.filter((f) => f.kind === kind).map(({ text }) => `${kind}: ${text}`))];
    return texts.length > MOST_LISTED
      ? [...texts.slice(0, MOST_LISTED), `… and ${texts.length - MOST_LISTED} more ${kind}`]
      : texts;
  });
  throw new WeightsError(`${source.name} does not fit the model:${lines.map((line) => `\n  ${line}`).join("")}`, {
    tensors: source.tensors,
  });
}

const KINDS = ["unexpected", "wrong shape", "wrong type", "missing"] as const;

interface Fault {
  readonly kind: (typeof KINDS)[number];
  readonly text: string;
}

/** How many weights and tensors have no counterpart. */
export const mismatches = (program: Pick<Program, "weights" | "ignore">, tensors: Tensors): number =>
  bestAttempt(program, tensors).faults.length;

/** Matches by the keys of `names`, or by paths if those fit better. */
function bestAttempt(program: Pick<Program, "weights" | "ignore">, tensors: Tensors): Attempt {
  const mapped = attempt(program, tensors, (w) => w.keys);
  if (mapped.faults.length === 0) return mapped;
  const byPath = attempt(program, tensors, (w) => [w.path]);
  return byPath.faults.length < mapped.faults.length ? byPath : mapped;
}

interface Attempt extends PartlyMatched {
  readonly faults: readonly Fault[];
}

function attempt(
  program: Pick<Program, "weights" | "ignore">,
  tensors: Tensors,
  keysOf: (weight: ProgramWeight) => readonly string[],
): Attempt {
  const matched = new Map<ProgramWeight, readonly string[]>();
  const faults: Fault[] = [];
  const expected = new Set<string>();
  const missing = new Map<ProgramWeight, string>();
  for (const weight of program.weights) {
    const keys = keysOf(weight);
    for (const key of keys) expected.add(key).add(storedKey(key));
    const present = keys.filter((key) => storedEntry(tensors, key) !== undefined);
    if (present.length === 0) {
      missing.set(weight, keys[0] ?? weight.path);
      faults.push({
        kind: "missing",
        text: `${keys.map(keyText).join(" or ")}, ${weight.dtype}[${weight.shape.join(", ")}]`,
      });
    }
    for (const key of present) {
      const { dtype, shape, misfit } = storedEntry(tensors, key)!;
      const part = tensors.has(key) ? null : readPart(key);
      const indivisible = part && whyIndivisible(part, dtype);
      if (misfit !== null)
        faults.push({
          kind: "wrong shape",
          text: `${quote(storedKey(key))} is [${misfit.join(", ")}], the model has [${storedShape(part!).join(", ")}]`,
        });
      else if (!sameShape(shape, weight.shape))
        faults.push({
          kind: "wrong shape",
          text: `${keyText(key)} is [${shape.join(", ")}], the model has [${weight.shape.join(", ")}]`,
        });
      else if (indivisible !== null)
        faults.push({ kind: "wrong type", text: `${keyText(key)}: the tensor ${indivisible}` });
      else if (!converts(dtype, weight.dtype))
        faults.push({
          kind: "wrong type",
          text: `${keyText(key)} is ${dtype}, which does not convert to ${weight.dtype}`,
        });
    }
    matched.set(weight, present);
  }
  const ignore = program.ignore.map(keyPattern);
  for (const [key, { dtype, shape }] of tensors)
    if (!expected.has(key) && !ignore.some((matches) => matches(key)))
      faults.push({ kind: "unexpected", text: `${quote(key)}, ${dtype}[${shape.join(", ")}]` });
  return { matched, faults, missing };
}

/** Compares and converts the bytes of a checkpoint, with or without pauses between pieces. */
export interface Reading {
  equal(a: Uint8Array, b: Uint8Array): boolean | Promise<boolean>;
  /** The values as words, or a text that says what is wrong with them. */
  words(bytes: Uint8Array, from: string, weight: ProgramWeight): Words | string | Promise<Words | string>;
}

const AT_ONCE: Reading = {
  equal: (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]),
  words: (bytes, from, { dtype }) => fromBytes(bytes, from, dtype),
};

/** Reads one weight, checking that its copies are equal byte for byte. */
export async function readWeight(
  weight: ProgramWeight,
  keys: readonly string[],
  source: WeightSource,
  reading: Reading = AT_ONCE,
): Promise<Words> {
  const [first] = keys;
  if (first === undefined) bug(`weight ${weight.path} was not matched`);
  const bytes = await readCopies([first, ...keys.slice(1)], source, (a, b) => reading.equal(a, b));
  const words = await reading.words(bytes, storedEntry(source.tensors, first)!.dtype, weight);
  if (typeof words === "string") throw new WeightsError(`${source.name}: tensor ${keyText(first)}: ${words}`);
  return words;
}

/** The bytes of the tensors under these keys, checking that they are equal byte for byte. Throws WeightsError. */
export async function readCopies(
  [first, ...copies]: readonly [string, ...string[]],
  source: WeightSource,
  equal: Reading["equal"] = (a, b) => AT_ONCE.equal(a, b),
): Promise<Uint8Array> {
  const bytes = await readStored(source, first);
  const dtypeOf = (key: string): string | undefined => storedEntry(source.tensors, key)?.dtype;
  for (const copy of copies)
    if (dtypeOf(copy) !== dtypeOf(first) || !(await equal(bytes, await readStored(source, copy))))
      throw new WeightsError(`${source.name}: ${keyText(first)} and ${keyText(copy)} are one weight, but differ`);
  return bytes;
}

/** A pattern of keys: `{x}` stands for one or more characters within a segment between dots. */
export function keyPattern(pattern: string): (key: string) => boolean {
  const segments = pattern.split(".").map((s) => s.split(/\{[^{}.]*\}/));
  return (key) => {
    const parts = key.split(".");
    return parts.length === segments.length && segments.every((pieces, i) => matchSegment(pieces, parts[i]!));
  };
}

/**
 * Whether the segment consists of the pieces in order with at least one character between two; linear in the segment.
 */
function matchSegment(pieces: readonly string[], segment: string): boolean {
  const first = pieces[0]!;
  if (pieces.length === 1) return segment === first;
  const last = pieces[pieces.length - 1]!;
  if (!segment.startsWith(first) || !segment.endsWith(last)) return false;
  let at = first.length;
  const end = segment.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const index = segment.indexOf(piece, at + 1);
    if (index < 0) return false;
    at = index + piece.length;
  }
  return at < end;
}

const quote = (text: string): string => quotedName(text);
export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);
