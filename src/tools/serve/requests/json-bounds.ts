// Bounds of JSON that others wrote, without parsing: a parser or writer that recurses must not see what is too deep,
// and everybody waits while one makes millions of values.

/** The default limit of nested lists and objects. */
export const MOST_DEPTH = 32;
/** The most JSON values within the strings of a request, such as arguments of calls. */
export const MOST_INNER_VALUES = 1 << 18;

export class JsonBounds {
  readonly #depth: number;
  readonly #values: number;
  #found = 0;

  /** `values`: of all texts together. */
  constructor(depth = MOST_DEPTH, values = MOST_INNER_VALUES) {
    [this.#depth, this.#values] = [depth, values];
  }

  /** What is too much of a text, as a clause; null if nothing is. Counts brackets and commas outside of strings. */
  excess(text: string): string | null {
    let depth = 0;
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i);
      if (quoted) {
        if (c === BACKSLASH) i++;
        else if (c === QUOTE) quoted = false;
      } else if (c === COMMA) {
        if (++this.#found > this.#values) return `has more than ${this.#values} values`;
      } else if (c === QUOTE) quoted = true;
      else if (c === OPEN_LIST || c === OPEN_OBJECT) {
        if (++depth > this.#depth) return `nests more than ${this.#depth} lists and objects`;
      } else if (c === CLOSE_LIST || c === CLOSE_OBJECT) depth--;
    }
    return null;
  }
}

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
