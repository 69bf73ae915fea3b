// Patterns of names as options give them: separated by commas, `*` for any characters.

export interface NamePattern {
  readonly text: string;
  test(name: string): boolean;
}

export const namePatterns = (texts: string): readonly NamePattern[] => patterns(texts, (expression) => `^${expression}$`);

/** Patterns of weights: of whole paths, or of any run of their segments, so that `router` is every weight of members of that name. */
export const weightPatterns = (texts: string): readonly NamePattern[] => patterns(texts, (expression) => `^(?:.*\\.)?${expression}(?:\\..*)?$`);

const patterns = (texts: string, around: (expression: string) => string): readonly NamePattern[] =>
  texts.split(",").map((part) => {
    const text = part.trim();
    const parts = text.split("*").map((s) => s.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
    const expression = new RegExp(around(parts.join(".*")));
    return { text, test: (name) => expression.test(name) };
  });

/** The first pattern that is none of the names; null: each is one. */
export const unmatched = (patterns: readonly NamePattern[], names: readonly string[]): string | null =>
  patterns.find((p) => !names.some((name) => p.test(name)))?.text ?? null;
