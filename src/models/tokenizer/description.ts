// Checks the contents of a `tokenizer.json` before they are used, and refuses the first fault with its place.
import { escapedName, quotedName } from "../../ground/base/shown.js";
import { TokenizerError } from "./errors.js";
import { isFixed, mayBeEmpty } from "./pattern-cost.js";

type Fields = Readonly<Record<string, unknown>>;

/** The content of a `tokenizer.json`; unknown parts are left to what reads them. */
export interface Description extends Fields {
  readonly model: Fields;
  readonly decoder?: unknown;
}

/** Throws a TokenizerError that names the file, the place and what is there; `hint` says how to mend it. */
type Refuse = (place: string, value: unknown, why: string, hint?: string) => never;

const MODELS = new Set<unknown>(["BPE", "Unigram", "WordLevel", "WordPiece", undefined]);

/** Parts that may be null. */
const PARTS = ["normalizer", "pre_tokenizer", "post_processor", "decoder"] as const;

/** Beyond any vocabulary: a reader of a vocabulary counts up to its largest id. */
const MOST_IDS = 2 ** 24;
/** Longer than the pieces of any vocabulary: texts are compared with the longest at each place. */
const MOST_CHARACTERS = 4096;
/** More than the added tokens of any vocabulary: a decoder compares each token with all. */
const MOST_ADDED = 65_536;
const ID = `it must be a whole number from 0 to ${MOST_IDS - 1}`;

/** Reads the text of a `tokenizer.json`. Throws TokenizerError for one with a fault. */
export function parseDescription(json: string, file: string): Description {
  const refuse: Refuse = (place, value, why, hint) => {
    const said = value === undefined ? `${file} has no ${place}` : `${file}: ${place} is ${shown(value)}: ${why}`;
    throw new TokenizerError("bad-tokenizer", said, { hint: hint ?? null });
  };
  const read: unknown = JSON.parse(json);
  if (!isFields(read) || !("model" in read)) throw new Error("it has no model");
  const { model } = read;
  if (!isFields(model)) throw new Error("its model is not an object");
  if (!MODELS.has(model["type"])) throw new Error(`its model is of an unknown type, ${shown(model["type"])}`);
  const pieces = checkModel(model, refuse);
  const added = addedTokens(read["added_tokens"] ?? [], pieces, refuse);
  for (const part of PARTS)
    if ((read[part] ?? null) !== null && !isFields(read[part]))
      refuse(part, read[part], "it must be an object or null");
  checkDecoder(read["decoder"] ?? null, "decoder", refuse);
  // The reader expects every part, but a file may omit a part.
  const absent = Object.fromEntries(PARTS.map((part) => [part, null]));
  const { unk_id: unknown, ...others } = model;
  return { ...absent, ...read, added_tokens: added, model: unknown === null ? others : model };
}

/** Pieces with their ids; a list of pieces with scores may have a piece twice. */
type Pieces = readonly (readonly [piece: string, id: number])[];

function checkModel(model: Fields, refuse: Refuse): Pieces {
  const { type, vocab, merges, unk_token: unknown, unk_id: unknownId, continuing_subword_prefix: prefix } = model;
  if (type === "Unigram" || (type === undefined && Array.isArray(vocab))) return checkScored(vocab, unknownId, refuse);
  for (const [name, text] of [
    ["unk_token", unknown],
    ["continuing_subword_prefix", prefix],
  ] as const)
    if ((text ?? null) !== null && typeof text !== "string") refuse(`model.${name}`, text, "it must be a string");
  const pieces = piecesOf(vocab, refuse);
  if (type === "BPE" || (type === undefined && merges !== undefined))
    checkMerges(
      merges,
      new Set(pieces.map(([piece]) => piece)),
      typeof prefix === "string" ? prefix.length : 0,
      refuse,
    );
  return pieces;
}

function checkScored(vocab: unknown, unknownId: unknown, refuse: Refuse): Pieces {
  if (!Array.isArray(vocab) || vocab.length === 0)
    refuse("model.vocab", vocab, "it must be a list of at least one piece with its score");
  vocab.forEach((scored: unknown, i) => {
    if (!Array.isArray(scored) || typeof scored[0] !== "string" || typeof scored[1] !== "number")
      refuse(`model.vocab[${i}]`, scored, "it must be a piece and its score");
    expectShort(scored[0], `a piece of model.vocab[${i}]`, refuse);
  });
  if ((unknownId ?? null) !== null && !(isId(unknownId) && unknownId < vocab.length))
    refuse("model.unk_id", unknownId, `there are ${vocab.length} pieces`);
  return vocab.map(([piece]: readonly [string, number], id) => [piece, id]);
}

/** The pieces of a vocabulary that gives their ids. */
function piecesOf(vocab: unknown, refuse: Refuse): Pieces {
  const all = isFields(vocab) ? vocab : {};
  const pieces = Object.keys(all);
  if (pieces.length === 0) refuse("model.vocab", vocab, "it must be an object of at least one piece with its id");
  const seen = new Set<number>();
  const ids: [string, number][] = [];
  for (const piece of pieces) {
    expectShort(piece, "a piece of model.vocab", refuse);
    const id = all[piece];
    if (!isId(id)) refuse(`model.vocab[${quotedName(piece)}]`, id, ID);
    if (seen.has(id)) {
      const other = pieces.find((p) => all[p] === id)!;
      refuse(`model.vocab[${quotedName(piece)}]`, id, `${quotedName(other)} has this id too`);
    }
    seen.add(id);
    ids.push([piece, id]);
  }
  return ids;
}

/** Merges are pairs, or texts with a space between the two, all of them alike. A second part loses its prefix. */
function checkMerges(merges: unknown, pieces: ReadonlySet<string>, prefix: number, refuse: Refuse): void {
  if (!Array.isArray(merges)) refuse("model.merges", merges, "it must be a list");
  const pairs = Array.isArray(merges[0]);
  const form = pairs ? "it must be a pair of pieces" : "it must be two pieces with a space between";
  const known = (piece: string): boolean => pieces.has(piece) || isCharacter(piece);
  merges.forEach((merge: unknown, i) => {
    if (typeof merge === "string" && merge.startsWith("#version")) return;
    const parts: unknown = pairs ? merge : typeof merge === "string" ? merge.split(" ") : null;
    if (!isPair(parts)) refuse(`model.merges[${i}]`, merge, form);
    const [first, second] = parts;
    const joined = first + second.slice(prefix);
    const unknown = !known(first) ? first : !known(second) ? second : pieces.has(joined) ? null : joined;
    if (unknown !== null) refuse(`model.merges[${i}]`, merge, `${quotedName(unknown)} is not in the vocabulary`);
  });
}

/**
 * Added tokens, which may be in the vocabulary too. One whose text has an id already, there or as an added token
 * before, keeps that id, whatever its own says: Hugging Face's reader takes it so, and so the model was trained.
 */
function addedTokens(added: unknown, pieces: Pieces, refuse: Refuse): readonly Fields[] {
  if (!Array.isArray(added)) refuse("added_tokens", added, "it must be a list");
  if (added.length > MOST_ADDED)
    refuse("added_tokens", added.length, `modc reads up to ${MOST_ADDED}`, "add them to model.vocab");
  const ids = new Map(pieces);
  const vocabulary = new Map(pieces.map(([piece, id]) => [id, piece]));
  const owners = new Map(vocabulary);
  return added.map((token: unknown, i) => {
    const field = `added_tokens[${i}]`;
    if (!isFields(token)) refuse(field, token, "it must be an object");
    const { id, content } = token;
    if (!isId(id)) refuse(`${field}.id`, id, ID);
    if (typeof content !== "string") refuse(`${field}.content`, content, "it must be a string");
    expectShort(content, `${field}.content`, refuse);
    // If a list has a piece twice, both ids are valid.
    if (owners.get(id) === content) return token;
    const listedId = ids.get(content);
    if (listedId !== undefined) return { ...token, id: listedId };
    const other = owners.get(id);
    if (other !== undefined)
      refuse(
        `${field}.id`,
        id,
        `${quotedName(other)} has this id too`,
        vocabulary.has(id)
          ? `if ${quotedName(content)} took its place, rename the piece ${quotedName(other)} in model.vocab too`
          : "give one of them another id",
      );
    ids.set(content, id);
    owners.set(id, content);
    return token;
  });
}

function expectShort(piece: string, place: string, refuse: Refuse): void {
  if (piece.length > MOST_CHARACTERS)
    refuse(place, piece, `it has ${piece.length} characters, a piece has ${MOST_CHARACTERS} at most`);
}

/** Limits on the number of decoders, and on the characters that all of them may make from one. */
const MOST_DECODERS = 32;
const MOST_GROWTH = 16;

/** The text that a decoder replaces by a space everywhere: between all characters if it is empty. */
const REPLACED: ReadonlyMap<unknown, { readonly field: string; readonly absent: string }> = new Map([
  ["BPEDecoder", { field: "suffix", absent: "" }],
  ["CTC", { field: "word_delimiter_token", absent: "" }],
  ["Metaspace", { field: "replacement", absent: "▁" }],
]);

/** Tokens are decoded one by one while others wait, so each decoder must take little time for any token. */
function checkDecoder(decoder: unknown, place: string, refuse: Refuse): void {
  let [growth, decoders] = [1, 0];
  const check = (part: unknown, place: string): void => {
    if (++decoders > MOST_DECODERS) refuse(place, part, `there are more than ${MOST_DECODERS} decoders`);
    if (!isFields(part)) return; // the library refuses it
    const { type, decoders: nested, pattern, content } = part;
    if (Array.isArray(nested)) nested.forEach((one: unknown, i) => check(one, `${place}.decoders[${i}]`));
    const replaced = REPLACED.get(type);
    if (replaced && (part[replaced.field] ?? replaced.absent) === "") growth *= 2;
    if (isFields(pattern)) growth *= replacing(pattern, content, place);
    if (growth > MOST_GROWTH) refuse(place, part, "the decoders lengthen tokens without limit");
  };
  /** How many times longer a Replace may make a token. */
  const replacing = ({ Regex: regex, String: text }: Fields, content: unknown, place: string): number => {
    if (typeof regex === "string" && !isFixed(regex))
      refuse(`${place}.pattern`, regex, "a decoder's pattern must not repeat", "write it as a String");
    const replacement = String(content ?? "");
    if (/\$[`']/.test(replacement))
      refuse(`${place}.content`, replacement, "it must not repeat the text around a match");
    const length = typeof text === "string" ? text.length : 1;
    if (typeof regex === "string" ? mayBeEmpty(regex) : length === 0) return 1 + replacement.length;
    return Math.max(1, Math.ceil(replacement.length / (replacement.includes("$") ? 1 : length)));
  };
  if (decoder !== null) check(decoder, place);
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isId = (id: unknown): id is number => Number.isInteger(id) && (id as number) >= 0 && (id as number) < MOST_IDS;

const isPair = (parts: unknown): parts is readonly [string, string] =>
  Array.isArray(parts) && parts.length === 2 && parts.every((part) => typeof part === "string");

/** Merges begin with characters, whether the vocabulary has them or not. */
const isCharacter = (text: string): boolean => text.length <= 2 && Array.from(text).length === 1;

const shown = (value: unknown): string => escapedName(JSON.stringify(value) ?? "missing", 60);
