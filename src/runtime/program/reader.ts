// A reader of untrusted JSON: every access checks the value, and errors name its place.
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";

/** The data is not a compiled program; the message names the place, such as `steps[3].slots[0]`. */
export class ProgramError extends ModcError<"program"> {
  override readonly name = "ProgramError";

  constructor(message: string, options: FaultOptions = {}) {
    super("program", message, options);
  }
}

/** Limits above the size of any compiled program. */
const MOST_CHARACTERS = 512 * 1024 * 1024;
const MOST_NAME_CHARACTERS = 10_000;
const MOST_ITEMS = 10_000_000;

/** Creates the error; `what` is a clause that begins with a place or with "it". */
export type Refuse = (what: string, options?: ErrorOptions) => Error;

const noProgram: Refuse = (what, options) => new ProgramError(`not a compiled program: ${what}`, options);

export class Reader {
  readonly value: unknown;
  readonly #refuse: Refuse;
  /** The place of the value in the data; empty for the whole of it. */
  readonly path: string;

  /** Reads parsed data. */
  constructor(value: unknown, refuse: Refuse, path = "") {
    this.value = value;
    this.#refuse = refuse;
    this.path = path;
  }

  /** Parses JSON of at most `mostCharacters` characters. By default faults are ProgramErrors. */
  static parse(text: string, refuse: Refuse = noProgram, mostCharacters = MOST_CHARACTERS): Reader {
    if (text.length > mostCharacters) throw refuse("it is too long");
    try {
      return new Reader(JSON.parse(text), refuse);
    } catch (cause) {
      throw refuse("it is not JSON", { cause });
    }
  }

  fail(what: string): never {
    throw this.#refuse(`${this.path === "" ? "it" : this.path} ${what}`);
  }

  /** Fails for a value of another type. */
  unlike(wanted: string): never {
    this.fail(`must be ${wanted}, found ${describe(this.value)}`);
  }

  isObject(): boolean {
    return typeof this.value === "object" && this.value !== null && !Array.isArray(this.value);
  }

  /** Checks that the value is an object with exactly these fields. */
  fields(names: readonly string[]): void {
    const found = Object.keys(this.#record());
    for (const name of names) if (!found.includes(name)) this.fail(`has no ${name}`);
    for (const name of found)
      if (!names.includes(name)) this.fail(`has an unknown field ${JSON.stringify(name.slice(0, 80))}`);
  }

  /**
   * A field of an object; a missing field reads as undefined, which every check refuses. `shown`: the field's name in
   * messages.
   */
  get(name: string, shown = name): Reader {
    const record = this.#record();
    const value = Object.hasOwn(record, name) ? record[name] : undefined;
    return new Reader(value, this.#refuse, this.path === "" ? shown : `${this.path}.${shown}`);
  }

  #record(): Readonly<Record<string, unknown>> {
    return this.isObject() ? (this.value as Readonly<Record<string, unknown>>) : this.unlike("an object");
  }

  list<T>(read: (item: Reader, index: number) => T, most = MOST_ITEMS): readonly T[] {
    const { value } = this;
    if (!Array.isArray(value)) return this.unlike("a list");
    if (value.length > most) this.fail(`must hold at most ${most} items, found ${value.length}`);
    return value.map((_, i) => read(this.item(i), i));
  }

  /** An item of a list; a missing item reads as undefined, which every check refuses. */
  item(index: number): Reader {
    const item: unknown = Array.isArray(this.value) ? this.value[index] : this.unlike("a list");
    return new Reader(item, this.#refuse, `${this.path}[${index}]`);
  }

  /** Checks that no two items of this list have the same value in a field. */
  unique(field: string): void {
    const seen = new Set<unknown>();
    this.list((item) => {
      const { value } = item.get(field);
      if (seen.has(value)) item.get(field).fail(`is ${JSON.stringify(value)}, which appears twice`);
      seen.add(value);
    });
  }

  string(most = MOST_NAME_CHARACTERS): string {
    const { value } = this;
    if (typeof value !== "string") return this.unlike("a string");
    return value.length <= most ? value : this.fail(`must have at most ${most} characters, found ${value.length}`);
  }

  number(): number {
    const { value } = this;
    if (typeof value !== "number") return this.unlike("a number");
    return Number.isFinite(value) ? value : this.fail("is too large");
  }

  integer(least: number, most = Number.MAX_SAFE_INTEGER): number {
    const n = this.number();
    return Number.isSafeInteger(n) && n >= least && n <= most
      ? n
      : this.fail(`must be a whole number from ${least} to ${most}, found ${n}`);
  }
}

const describe = (value: unknown): string =>
  value === null
    ? "null"
    : value === undefined
      ? "nothing"
      : Array.isArray(value)
        ? "a list"
        : typeof value === "object"
          ? "an object"
          : `a ${typeof value}`;

// --- schemas: readers of values, with their types

/** A schema: reads and checks one value. */
export type Read<T> = (r: Reader) => T;
type Fields<T> = { readonly [N in keyof T]: Read<T[N]> };
type Variant<V> = { [K in keyof V]: { readonly kind: K } & Readonly<V[K]> }[keyof V];

export const itself: Read<Reader> = (r) => r;
export const text: Read<string> = (r) => r.string();
export const real: Read<number> = (r) => r.number();
export const flag: Read<boolean> = (r) => (typeof r.value === "boolean" ? r.value : r.unlike("true or false"));

export const whole =
  (least: number, most?: number): Read<number> =>
  (r) =>
    r.integer(least, most);

/** An index below `count`. */
export const placeIn =
  (count: number): Read<number> =>
  (r) => {
    const n = r.number();
    return Number.isSafeInteger(n) && n >= 0 && n < count ? n : r.fail(`is ${n}: there are ${count}`);
  };

export const oneOf =
  <const T extends string>(choices: readonly T[]): Read<T> =>
  (r) => {
    const value = r.string();
    const choice = choices.find((c) => c === value);
    return choice ?? r.fail(`must be ${choices.join(" or ")}, found ${JSON.stringify(value.slice(0, 80))}`);
  };

/** One of these numbers. */
export const among =
  (allowed: readonly number[]): Read<number> =>
  (r) => {
    const n = r.number();
    return allowed.includes(n) ? n : r.fail(`must be one of ${allowed.join(", ")}, found ${n}`);
  };

export const orNull =
  <T>(read: Read<T>): Read<T | null> =>
  (r) =>
    r.value === null ? null : read(r);

export const list =
  <T>(read: Read<T>, most?: number): Read<readonly T[]> =>
  (r) =>
    r.list(read, most);

/** An object with these fields and no others, each read in turn. */
export const object =
  <T extends object>(fields: Fields<T>): Read<T> =>
  (r) => {
    const entries = Object.entries<Read<unknown>>(fields);
    r.fields(entries.map(([name]) => name));
    return Object.fromEntries(entries.map(([name, read]) => [name, read(r.get(name))])) as T; // field by field
  };

/** An object with all of `fields`, optionally some of `others`, and no more. */
export const objectWith =
  <T extends object, O extends object>(fields: Fields<T>, others: Fields<O>): Read<T & Partial<O>> =>
  (r) => {
    const present = Object.entries<Read<unknown>>(others).filter(([name]) => r.get(name).value !== undefined);
    return object({ ...fields, ...Object.fromEntries(present) })(r) as T & Partial<O>; // field by field
  };

/** An object with the fields of its `kind`. */
export const variant =
  <V extends object>(kinds: { readonly [K in keyof V]: Fields<V[K]> }): Read<Variant<V>> =>
  (r) => {
    const kind = oneOf(Object.keys(kinds) as (keyof V & string)[])(r.get("kind"));
    return object({ kind: () => kind, ...kinds[kind] })(r) as Variant<V>; // of its kind
  };

/** The name of the format. */
export const format =
  <const T extends string>(name: T): Read<T> =>
  (r) =>
    r.string() === name ? name : r.fail(`must be ${JSON.stringify(name)}`);

/** The only supported version; `reader` names the reading program. */
export const version =
  <const T extends number>(known: T, reader = "version of modc"): Read<T> =>
  (r) => {
    const index = r.integer(0);
    return index === known ? known : r.fail(`is ${index}: this ${reader} reads ${known}`);
  };
