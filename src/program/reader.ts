// Reading JSON that may be anything: every look into it checks what is there and knows its place.
import { ModcError, type FaultOptions } from "../base/errors.js";

/** The data is no compiled program; the message names the place, such as `steps[3].slots[0]`. */
export class ProgramError extends ModcError<"program"> {
  override readonly name = "ProgramError";

  constructor(message: string, options: FaultOptions = {}) {
    super("program", message, options);
  }
}

/** More text than any compiled program. */
const MOST_CHARACTERS = 512 * 1024 * 1024;
const MOST_NAME_CHARACTERS = 10_000;
const MOST_ITEMS = 10_000_000;

/** Makes the error for what is found; `what` is a clause that begins with a place or with "it". */
export type Refuse = (what: string, options?: ErrorOptions) => Error;

const noProgram: Refuse = (what, options) => new ProgramError(`not a compiled program: ${what}`, options);

export class Reader {
  readonly value: unknown;
  readonly #path: string;
  readonly #refuse: Refuse;

  private constructor(value: unknown, path: string, refuse: Refuse) {
    this.value = value;
    this.#path = path;
    this.#refuse = refuse;
  }

  /** Reads JSON of at most so many characters. By default a program, for which it throws ProgramError. */
  static parse(text: string, refuse: Refuse = noProgram, mostCharacters = MOST_CHARACTERS): Reader {
    if (text.length > mostCharacters) throw refuse("it is too long");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw refuse("it is not JSON", { cause });
    }
    return new Reader(value, "", refuse);
  }
  /** Reads data that somebody else has parsed, or made. */
  static of(value: unknown, refuse: Refuse): Reader {
    return new Reader(value, "", refuse);
  }

  fail(what: string): never {
    throw this.#refuse(`${this.#path === "" ? "it" : this.#path} ${what}`);
  }

  isObject(): boolean {
    return typeof this.value === "object" && this.value !== null && !Array.isArray(this.value);
  }

  /** An object with these fields and no others. */
  fields(names: readonly string[]): void {
    if (!this.isObject()) this.fail(`must be an object, found ${describe(this.value)}`);
    const found = Object.keys(this.value as object);
    for (const name of names) if (!found.includes(name)) this.fail(`has no ${name}`);
    for (const name of found)
      if (!names.includes(name)) this.fail(`has an unknown field ${JSON.stringify(name.slice(0, 80))}`);
  }

  /** A field of an object; a missing one reads as undefined, which nothing accepts. */
  get(name: string): Reader {
    if (!this.isObject()) this.fail(`must be an object, found ${describe(this.value)}`);
    const value: unknown = Object.hasOwn(this.value as object, name)
      ? (this.value as Record<string, unknown>)[name]
      : undefined; // an own field of parsed JSON
    return new Reader(value, this.#path === "" ? name : `${this.#path}.${name}`, this.#refuse);
  }

  list<T>(read: (item: Reader) => T, most = MOST_ITEMS): readonly T[] {
    const { value } = this;
    if (!Array.isArray(value)) return this.fail(`must be a list, found ${describe(value)}`);
    if (value.length > most) this.fail(`must hold at most ${most} items, found ${value.length}`);
    return value.map((item: unknown, i) => read(new Reader(item, `${this.#path}[${i}]`, this.#refuse)));
  }

  /** No two items of this list may have the same value in a field. */
  unique(field: string): void {
    const seen = new Set<unknown>();
    this.list((item) => {
      const { value } = item.get(field);
      if (seen.has(value)) item.get(field).fail(`is ${JSON.stringify(value)}, which stands there twice`);
      seen.add(value);
    });
  }

  string(most = MOST_NAME_CHARACTERS): string {
    const { value } = this;
    if (typeof value !== "string") return this.fail(`must be a string, found ${describe(value)}`);
    return value.length <= most ? value : this.fail(`must have at most ${most} characters, found ${value.length}`);
  }

  number(): number {
    return typeof this.value === "number" && Number.isFinite(this.value)
      ? this.value
      : this.fail(`must be a number, found ${describe(this.value)}`);
  }

  boolean(): boolean {
    return typeof this.value === "boolean"
      ? this.value
      : this.fail(`must be true or false, found ${describe(this.value)}`);
  }

  integer(least: number, most = Number.MAX_SAFE_INTEGER): number {
    const n = this.number();
    return Number.isSafeInteger(n) && n >= least && n <= most
      ? n
      : this.fail(`must be a whole number from ${least} to ${most}, found ${n}`);
  }

  /** The place of one of `count` things. */
  index(count: number): number {
    const n = this.number();
    return Number.isSafeInteger(n) && n >= 0 && n < count ? n : this.fail(`is ${n}: there are ${count}`);
  }

  oneOf<const T extends string>(choices: readonly T[]): T {
    const text = this.string();
    return (
      choices.find((c) => c === text) ??
      this.fail(`must be ${choices.join(" or ")}, found ${JSON.stringify(text.slice(0, 80))}`)
    );
  }

  orNull<T>(read: (r: Reader) => T): T | null {
    return this.value === null ? null : read(this);
  }
}

const describe = (value: unknown): string =>
  value === null ? "null" : value === undefined ? "nothing" : Array.isArray(value) ? "a list" : `a ${typeof value}`;
