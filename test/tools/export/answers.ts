// What `exported.py` answers of an exported folder.

export interface Answer {
  readonly calls: readonly {
    readonly results: Readonly<Record<string, readonly number[]>>;
    readonly gradients: Readonly<Record<string, readonly number[]>>;
    /** States after a step of training. */
    readonly states: Readonly<Record<string, readonly number[]>>;
    /** Of choices of entries the index [B][T][K]. */
    readonly choices: Readonly<Record<string, readonly (readonly (readonly number[])[])[]>>;
    readonly routes: Readonly<Record<string, readonly (readonly number[])[]>>;
    /** The result of a prompt and single tokens behind it, with caches, and how many tokens each of these keeps. */
    readonly stepped: {
      readonly results: Readonly<Record<string, readonly number[]>>;
      readonly counts: readonly (readonly number[])[];
    } | null;
  }[];
  readonly keys: readonly string[];
}

/** Values of existing tokens; a result along sequences has padding beyond these lengths. */
export function existing(
  values: ArrayLike<number>,
  lengths: readonly number[] | null,
  [batch, tokens]: readonly [number, number],
): readonly number[] {
  const all = Array.from(values);
  const width = all.length / (batch * tokens);
  if (lengths === null || !Number.isInteger(width)) return all;
  return all.filter((_, i) => Math.floor(i / width) % tokens < lengths[Math.floor(i / width / tokens)]!);
}
