// Ranges of code points as sequences of byte ranges of UTF-8.
import type { Range } from "./expression.js";

/** For each byte of a character, the range that the byte is in. */
export type ByteRanges = readonly Range[];

/** The last code points of one, two and three bytes. */
const LAST_OF = [0x7f, 0x7ff, 0xffff];
const SURROGATES: Range = [0xd800, 0xdfff];

/**
 * The encodings of a range of code points, in order. Surrogates have none. The method is that of Ken Thompson's and
 * Rob Pike's encoding read as a tree: a range is cut wherever its characters differ in more than a suffix of whole
 * subtrees.
 */
export function utf8Ranges([first, last]: Range): readonly ByteRanges[] {
  if (first > last) return [];
  const [low, high] = SURROGATES;
  if (first <= high && last >= low) return [...utf8Ranges([first, low - 1]), ...utf8Ranges([high + 1, last])];
  for (const end of LAST_OF)
    if (first <= end && end < last) return [...utf8Ranges([first, end]), ...utf8Ranges([end + 1, last])];
  if (last <= 0x7f) return [[[first, last]]];
  for (const bits of [6, 12, 18]) {
    const mask = 2 ** bits - 1;
    if (first >> bits === last >> bits) break;
    const cut = (first & mask) !== 0 ? first | mask : (last & mask) !== mask ? (last & ~mask) - 1 : null;
    if (cut !== null) return [...utf8Ranges([first, cut]), ...utf8Ranges([cut + 1, last])];
  }
  const [from, to] = [bytesOf(first), bytesOf(last)];
  return [from.map((byte, i): Range => [byte, to[i]!])];
}

/** The bytes of a character that is no surrogate. */
function bytesOf(point: number): readonly number[] {
  const low = (bits: number): number => 0x80 | ((point >> bits) & 0x3f);
  if (point <= 0x7f) return [point];
  if (point <= 0x7ff) return [0xc0 | (point >> 6), low(0)];
  if (point <= 0xffff) return [0xe0 | (point >> 12), low(6), low(0)];
  return [0xf0 | (point >> 18), low(12), low(6), low(0)];
}
