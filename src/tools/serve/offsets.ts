// Where in an echoed prompt each of its tokens begins.
import type { PlacedText } from "../../models/tokenizer/text-stream.js";
import type { Tokenizer } from "../../models/tokenizer/tokenizer.js";
import { alignedPlaces, lettersOf, type Letters } from "./alignment.js";
import { placed } from "./placed.js";

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
