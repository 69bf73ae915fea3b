// Patterns of names as options give them: separated by commas, `*` for any characters.
import { nearest } from "../size/nearest.js";

export interface NamePattern {
  readonly text: string;
  test(name: string): boolean;
}

export const namePatterns = (texts: string): readonly NamePattern[] =>
  patterns(texts, (expression) => `^${expression}$`);

/**
 * Patterns of weights: of whole paths, or of any run of their segments, so that `router` is every weight of members of
 * that name.
 */
export const weightPatterns = (texts: string): readonly NamePattern[] =>
  patterns(texts, (expression) => `^(?:.*\\.)?${expression}(?:\\..*)?$`);

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

/**
 * What may have been meant by a pattern of weights that none of the paths is: the nearest name in them, else routers
 * where there are some, else the paths.
 */
export function weightHint(pattern: string, paths: readonly string[]): string {
  const names = new Set(paths.flatMap((path) => [path, ...path.split(".").filter((name) => !/^\d+$/.test(name))]));
  const near = nearest(pattern, names);
  if (near !== null) return `did you mean ${near}?`;
  // The whole member that has the weights of a router.
  const routers = [...new Set(paths.flatMap((path) => /^(?:.*\.)?router(?=\.)/.exec(path) ?? []))];
  const some = routers.length === 0 ? "the weights are" : routers.length === 1 ? "its router is" : "its routers are";
  return `${some} ${listed(routers.length > 0 ? routers : paths)}`;
}

/** The first four, and how many more there are. */
export const listed = (paths: readonly string[]): string =>
  `${paths.slice(0, 4).join(", ")}${paths.length > 4 ? ` and ${paths.length - 4} more` : ""}`;
