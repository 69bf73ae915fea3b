// Where tokens stand in a text that their tokenizer has changed: by lower case, without accents, with other blanks.
import type { PlacedText } from "../../models/tokenizer/text-stream.js";

/** Characters of a text that may lie between two tokens: what no token stands for, or one for what is unknown. */
const MOST_BETWEEN = 256;

/** Letters as all their forms have them, and the place in the text of the character that each comes of. */
export interface Letters {
  readonly text: string;
  readonly letters: string;
  readonly origins: readonly number[];
}

/**
 * The places of tokens in a text from `from` on, and where they end. Tokens are found by their letters, blanks aside;
 * one that is not there has the place behind the one before. Places never decrease. The letters are made once for all
 * runs of a text: what a run takes does not grow with the text behind it.
 */
export function alignedPlaces(
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

export function lettersOf(text: string): Letters {
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
