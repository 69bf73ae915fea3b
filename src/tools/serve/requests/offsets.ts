// Where in an echoed prompt each of its tokens begins.
import type { PlacedText } from "../../../models/tokenizer/text-stream.js";
import type { Tokenizer } from "../../../models/tokenizer/tokenizer.js";
import { placed } from "./token-text.js";

/** The length of a text as Python counts it, where OpenAI's clients are at home: not in UTF-16's units. */
export function codePoints(text: string): number {
  let n = 0;
  for (const _ of text) n++;
  return n;
}

/**
 * `text`: that of the prompt in the reply. In code points. What a tokenizer puts around texts takes no place, nor do
 * special tokens of a list, whose text is without them. A part of a character has the place of the character. Where the
 * tokenizer changes texts, as by lower case, a token has the place of what it was made of, as far as that can be found.
 */
export async function promptOffsets(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  text: string,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const plain = await placed(tokenizer, prompt, { signal });
  return inCodePoints(text, plain.text === text ? plain.starts : await placesIn(tokenizer, prompt, text, signal));
}

/** Of a text that has special tokens, or that its tokens do not decode to: each run between such is found in it. */
async function placesIn(
  tokenizer: Tokenizer,
  prompt: readonly number[],
  text: string,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const [first, last] = ownTokens(prompt, await tokenizer.encodeAsync(text, { signal }));
  const shown = await placed(tokenizer, prompt, { special: true, signal });
  const placeOf = placesOf(text);
  const places: number[] = [];
  let letters: Letters | null = null;
  let at = 0;
  while (places.length < prompt.length) {
    const i = places.length;
    let end = i;
    while (end < prompt.length && !tokenizer.isSpecial(prompt[end]!)) end++;
    if (end === i) {
      const name = tokenizer.decode([prompt[i]!], { special: true });
      const found = i >= first && i <= last ? placeOf(name, at) : null;
      places.push(found ?? at);
      if (found !== null) at = found + name.length;
      continue;
    }
    // Tokenizers differ in whether what follows a special token begins as a text does, without its space.
    const ways = [await placed(tokenizer, prompt.slice(i, end), { signal }), partOf(shown, i, end)];
    const way = ways.find((one) => placeOf(one.text, at) !== null);
    if (way) {
      const begin = placeOf(way.text, at)!;
      for (const start of way.starts) places.push(begin + start);
      at = begin + way.text.length;
    } else {
      letters ??= lettersOf(text);
      const found = alignedPlaces(ways[1]!, letters, at);
      for (const place of found.places) places.push(place);
      at = found.end;
    }
  }
  return places;
}

function partOf({ text, starts }: PlacedText, from: number, to: number): PlacedText {
  const own = starts.slice(from, to);
  return { text: text.slice(own[0], starts[to]), starts: own.map((start) => start - own[0]!) };
}

/** The first and the last of the prompt's tokens that are of the text, not around it. */
function ownTokens(prompt: readonly number[], own: readonly number[]): readonly [number, number] {
  for (let first = prompt.length - own.length; first >= 0; first--)
    if (own.every((token, i) => token === prompt[first + i])) return [first, first + own.length - 1];
  return [0, prompt.length - 1];
}

/** Where a text goes on with a part, perhaps behind blanks that a special token swallows; null if it does not. */
type PlaceOf = (part: string, at: number) => number | null;

function placesOf(text: string): PlaceOf {
  // The blanks that were looked at last: `at` only grows, and they may be long.
  let [from, behind] = [0, -1];
  return (part, at) => {
    if (text.startsWith(part, at)) return at;
    if (!(from <= at && at <= behind)) [from, behind] = [at, text.length - text.slice(at).trimStart().length];
    return text.startsWith(part, behind) ? behind : null;
  };
}

function inCodePoints(text: string, places: readonly number[]): readonly number[] {
  let [before, points] = [0, 0];
  return places.map((place) => {
    points += codePoints(text.slice(before, place));
    before = place;
    return points;
  });
}

// Where tokens stand in a text that their tokenizer has changed: by lower case, without accents, with other blanks.

/** Characters of a text that may lie between two tokens: what no token stands for, or one for what is unknown. */
const MOST_BETWEEN = 256;

/** Letters as all their forms have them, and the place in the text of the character that each comes of. */
interface Letters {
  readonly text: string;
  readonly letters: string;
  readonly origins: readonly number[];
}

/**
 * The places of tokens in a text from `from` on, and where they end. Tokens are found by their letters, blanks aside;
 * one that is not there has the place behind the one before. Places never decrease. The letters are made once for all
 * runs of a text: what a run takes does not grow with the text behind it.
 */
function alignedPlaces(
  tokens: PlacedText,
  { text, letters, origins }: Letters,
  from: number,
): { readonly places: readonly number[]; readonly end: number } {
  const { starts } = tokens;
  const places: number[] = [];
  let [at, end] = [firstFrom(origins, from), from];
  while (places.length < starts.length) {
    // Parts of one character begin together, and only the last has its text.
    const start = starts[places.length]!;
    let next = places.length;
    while (next < starts.length && starts[next] === start) next++;
    const piece = tokens.text.slice(start, starts[next]);
    const sought = lettersOf(piece).letters;
    let place = end;
    if (sought === "" && text.startsWith(piece, end)) end += piece.length;
    const near = sought === "" ? -1 : letters.slice(at, at + MOST_BETWEEN + sought.length).indexOf(sought);
    if (near >= 0) {
      place = origins[at + near]!;
      for (let blanks = leadingBlanks(piece); blanks > 0 && place > end && isBlank(text[place - 1]!); blanks--) place--;
      at += near + sought.length;
      const last = origins[at - 1]!;
      end = last + String.fromCodePoint(text.codePointAt(last)!).length;
    }
    while (places.length < next) places.push(place);
  }
  return { places, end };
}

function lettersOf(text: string): Letters {
  const parts: string[] = [];
  const origins: number[] = [];
  let at = 0;
  for (const character of text) {
    // The upper case has one form of sigma.
    const part = character
      .normalize("NFKD")
      .replace(/[\p{M}\s]/gu, "")
      .toUpperCase();
    parts.push(part);
    for (let i = 0; i < part.length; i++) origins.push(at);
    at += character.length;
  }
  return { text, letters: parts.join(""), origins };
}

/** The index of the first of rising places that is not before `from`. */
function firstFrom(places: readonly number[], from: number): number {
  let [low, high] = [0, places.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (places[middle]! < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

const isBlank = (character: string): boolean => /^\s$/.test(character);
const leadingBlanks = (text: string): number => text.length - text.trimStart().length;
