// Patterns of names in options: separated by commas, `*` for any characters, `{a,b}` for either.
import { nearest } from "../../ground/numerics/nearest.js";

export interface NamePattern {
  readonly text: string;
  test(name: string): boolean;
}

export const namePatterns = (texts: string): readonly NamePattern[] =>
  patterns(texts, (expression) => `^${expression}$`);

/**
 * Patterns of weights. A pattern matches a whole path or any consecutive segments of a path: `router` matches every
 * weight of every member `router`.
 */
export const weightPatterns = (texts: string): readonly NamePattern[] =>
  patterns(texts, (expression) => `^(?:.*\\.)?${expression}(?:\\..*)?$`);

/** Whether a weight's path matches one of the patterns. */
export function weightsMatching(texts: string): (weight: { readonly path: string }) => boolean {
  const each = weightPatterns(texts);
  return ({ path }) => each.some((p) => p.test(path));
}

const patterns = (texts: string, around: (expression: string) => string): readonly NamePattern[] =>
  withoutBraces(texts).map((part) => {
    const text = part.trim();
    const parts = text.split("*").map((s) => s.replaceAll(/[.+?^${}()|[\]\\]/g, String.raw`\$&`));
    const expression = new RegExp(around(parts.join(".*")));
    return { text, test: (name) => expression.test(name) };
  });

/** The patterns between commas, with each alternative in place of its braces: `attn.{q,v}` is `attn.q` and `attn.v`. */
const withoutBraces = (texts: string): readonly string[] =>
  texts.split(/,(?![^{}]*\})/).flatMap((part): readonly string[] => {
    const [all = "", alternatives] = /\{([^{}]*)\}/.exec(part) ?? [];
    if (alternatives === undefined) return [part];
    return alternatives.split(",").flatMap((one) => withoutBraces(part.replace(all, () => one.trim())));
  });

/** The first pattern that matches none of the names; null: each matches one. */
export const unmatched = (patterns: readonly NamePattern[], names: readonly string[]): string | null =>
  patterns.find((p) => !names.some((name) => p.test(name)))?.text ?? null;

/**
 * The hint for a pattern that matches no weight: the nearest name in the paths; without one, the routers; without
 * routers, the paths.
 */
export function weightHint(pattern: string, paths: readonly string[]): string {
  const names = new Set(paths.flatMap((path) => [path, ...path.split(".").filter((name) => !/^\d+$/.test(name))]));
  const near = nearest(pattern, names);
  if (near !== null) return `did you mean ${near}?`;
  // The path of the router: its member's name is `router`.
  const routers = [...new Set(paths.flatMap((path) => /^(?:.*\.)?router(?=\.)/.exec(path) ?? []))];
  const some = routers.length === 0 ? "the weights are" : routers.length === 1 ? "its router is" : "its routers are";
  return `${some} ${listed(routers.length > 0 ? routers : paths)}`;
}

/** The first four paths, and the number of others. */
export const listed = (paths: readonly string[]): string =>
  `${paths.slice(0, 4).join(", ")}${paths.length > 4 ? ` and ${paths.length - 4} more` : ""}`;
