// Typed access to the keys of a tokenizer in a GGUF file; errors name file and key.
import type { GgufHeader } from "../../runtime/weights/gguf/header.js";
import { shown } from "../../runtime/weights/gguf/header.js";
import { TokenizerError } from "./errors.js";

const PREFIX = "tokenizer.ggml.";

export class TokenizerKeys {
  constructor(private readonly header: GgufHeader) {}

  get file(): string {
    return this.header.file;
  }

  /** Names of the keys, without their common prefix. */
  get names(): readonly string[] {
    return [...this.header.metadata.keys()].flatMap((key) =>
      key.startsWith(PREFIX) ? [key.slice(PREFIX.length)] : [],
    );
  }

  fail(what: string, hint: string | null = null): never {
    throw new TokenizerError("bad-tokenizer", `${this.header.file}: ${what}`, { hint });
  }

  refuse(name: string, why: string, hint: string | null = null): never {
    const value = this.header.metadata.get(PREFIX + name);
    return this.fail(
      value === undefined ? `there is no ${PREFIX}${name}: ${why}` : `${PREFIX}${name} is ${shown(value)}: ${why}`,
      hint,
    );
  }

  text(name: string): string | null {
    const value = this.header.metadata.get(PREFIX + name) ?? null;
    return value === null || typeof value === "string" ? value : this.refuse(name, "it must be text");
  }

  flag(name: string): boolean | null {
    const value = this.header.metadata.get(PREFIX + name) ?? null;
    return value === null || typeof value === "boolean" ? value : this.refuse(name, "it must be true or false");
  }

  /** A list of texts; null if absent. */
  texts(name: string): readonly string[] | null {
    const value = this.header.metadata.get(PREFIX + name) ?? null;
    if (value === null) return null;
    return isList(value) && value.every((item) => typeof item === "string")
      ? value
      : this.refuse(name, "it must list strings");
  }

  /** A list of `count` numbers; null if absent. */
  numbers(name: string, count: number): ArrayLike<number> | null {
    const value = this.header.metadata.get(PREFIX + name) ?? null;
    if (value === null) return null;
    if (typeof value !== "object" || isList(value) || value instanceof BigInt64Array || value instanceof BigUint64Array)
      return this.refuse(name, "it must list numbers");
    if (value.length !== count) return this.fail(`${PREFIX}${name} has ${value.length} values for ${count} tokens`);
    return value as ArrayLike<number>; // lists of bigints are those above
  }

  /** A token, by its number; null if absent. */
  token(name: string, count: number): number | null {
    const value = this.header.metadata.get(PREFIX + name) ?? null;
    if (value === null) return null;
    return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < count
      ? value
      : this.refuse(name, `there are ${count} tokens`);
  }
}

const isList = (value: unknown): value is readonly string[] => Array.isArray(value);
