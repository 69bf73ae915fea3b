// Patterns of names as options give them: separated by commas, `*` for any characters.

export interface NamePattern {
  readonly text: string;
  test(name: string): boolean;
}

export const namePatterns = (texts: string): readonly NamePattern[] =>
  texts.split(",").map((part) => {
    const text = part.trim();
    const expression = new RegExp(
      `^${text
        .split("*")
        .map((s) => s.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`))
        .join(".*")}$`,
    );
    return { text, test: (name) => expression.test(name) };
  });

/** The first pattern that is none of the names; null: each is one. */
export const unmatched = (patterns: readonly NamePattern[], names: readonly string[]): string | null =>
  patterns.find((p) => !names.some((name) => p.test(name)))?.text ?? null;
