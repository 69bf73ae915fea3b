// `names`: maps weights to their keys in a checkpoint.
import type { NamesEntry, StoredKey, Text } from "../../syntax/ast.js";
import type { Instance } from "../names/bindings.js";
import type { FoundWeight } from "./inspect.js";
import { MAX_PATH } from "../model/limits.js";
import type { Checker } from "../model/checker.js";
import { readPart } from "../../../ground/base/stored-part.js";
import { nearest } from "../../../ground/numerics/nearest.js";
import { StoredParts } from "./stored-parts.js";

type Rule = Extract<NamesEntry, { kind: "map" }>;

/** The keys of each weight by path, and the patterns of keys to ignore. */
export interface WeightKeys {
  readonly keys: ReadonlyMap<string, readonly string[]>;
  readonly ignore: readonly string[];
}

/**
 * Applies the `names` of a model that is a block of another to the weights below it, by their paths in that model. An
 * entry may match nothing, as the arguments may leave out its weights.
 */
export function nestedKeys(checker: Checker, model: Instance, weights: readonly FoundWeight[]): WeightKeys {
  const below = `${model.path}.`;
  const own = weights.flatMap(({ weight, trace }): FoundWeight[] =>
    weight.path.startsWith(below) ? [{ weight: { ...weight, path: weight.path.slice(below.length) }, trace }] : [],
  );
  return keysBy(checker, model, own).found;
}

/** Applies the `names` of a model to the weights it declares. */
export function weightKeys(checker: Checker, model: Instance, weights: readonly FoundWeight[]): WeightKeys {
  const { found, unused } = keysBy(checker, model, weights);
  for (const rule of unused) {
    const path = rule.from.value;
    if (emptyList(model, path)) continue;
    const shapes = new Set(weights.map((w) => w.weight.path.replace(ITEM, "$1{}")));
    const candidates = [...shapes].map((shape) => patternLike(path, shape));
    checker.report("unknown-path", { path, suggestion: nearest(path, candidates) }, rule.from.span);
  }
  return found;
}

/** The keys by the entries of a model, and the entries that match no weight. */
function keysBy(
  checker: Checker,
  model: Instance,
  weights: readonly FoundWeight[],
): { readonly found: WeightKeys; readonly unused: readonly Rule[] } {
  const entries = model.names.flatMap((n) => n.entries);
  const rules = entries.filter((e) => e.kind === "map");
  const patterns = rules.map((rule) => ({ rule, match: patternOf(rule.from.value) }));
  for (const { value, span } of rules.flatMap((rule) => rule.to.map(({ key }) => key)))
    if (value === "" || value === "__metadata__" || readPart(value) !== null)
      checker.report("reserved-key", { key: value }, span);
  const bound = rules.map((rule) => placeholdersBound(checker, rule)).every(Boolean);
  const used = new Set<Rule>();
  const parts = new StoredParts(checker, model);
  const keys = new Map<string, readonly string[]>();
  const written = new Map<string, readonly StoredKey[]>();
  for (const {
    weight: { path, span, shape },
  } of weights) {
    checker.spend(Math.ceil(patterns.length / 4), span);
    if (patterns.length === 0) {
      keys.set(path, [path]);
      continue;
    }
    const pathSegments = path.split(".");
    const matches = patterns.flatMap(({ rule, match }) => {
      const segments = match(pathSegments);
      return segments === null ? [] : [{ rule, segments }];
    });
    for (const { rule } of matches) used.add(rule);
    const [first, second] = matches;
    if (second !== undefined)
      checker.report("ambiguous-names", { path }, second.rule.from.span, [
        { text: "the other entry", span: first?.rule.from.span ?? null },
      ]);
    if (first !== undefined) written.set(path, first.rule.to);
    const keysOfPath = first === undefined ? [path] : first.rule.to.map((t) => fill(t.key.value, first.segments));
    for (const [i, key] of keysOfPath.entries()) {
      if (key.length > MAX_PATH) checker.abort("letters in one key", MAX_PATH, first?.rule.span ?? span);
      parts.add({ path, shape, key, at: i, stored: first?.rule.to[i] ?? null, segments: first?.segments ?? NONE });
    }
    keys.set(path, keysOfPath);
  }
  for (const [path, named] of parts.named())
    keys.set(
      path,
      keys.get(path)!.map((key, i) => named.get(i) ?? key),
    );
  // Without rules each weight has its path as key.
  if (bound && rules.length > 0 && !parts.isFaulty) checkCollisions(checker, weights, keys, written);
  const ignore = entries.flatMap((e) => (e.kind === "ignore" ? [e.pattern.value] : []));
  return { found: { keys, ignore }, unused: rules.filter((rule) => !used.has(rule)) };
}

const NONE: ReadonlyMap<string, string> = new Map();
const PLACEHOLDER = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/**
 * Compiles a pattern for paths: {x} matches a segment or a part of a segment; the same {x} must match the same text.
 * Takes linear time in the path.
 */
function patternOf(pattern: string): (segments: readonly string[]) => ReadonlyMap<string, string> | null {
  const matchers = pattern.split(".").map(segmentOf);
  return (segments) => {
    if (segments.length !== matchers.length) return null;
    const bound = new Map<string, string>();
    return matchers.every((match, i) => match(segments[i] ?? "", bound)) ? bound : null;
  };
}

/**
 * Compiles a pattern for one segment. Each placeholder matches as little as possible, except for the last, which
 * matches the rest.
 */
function segmentOf(pattern: string): (segment: string, bound: Map<string, string>) => boolean {
  // Text and names alternate: `a{x}b` is split into a, x, b.
  const [head = "", ...rest] = pattern.split(PLACEHOLDER);
  const names = rest.filter((_, i) => i % 2 === 0);
  const texts = rest.filter((_, i) => i % 2 === 1);
  return (segment, bound) => {
    if (names.length === 0) return segment === head;
    if (!segment.startsWith(head)) return false;
    let start = head.length;
    return names.every((name, i) => {
      const text = texts[i] ?? "";
      const end = i === names.length - 1 ? segment.length - text.length : segment.indexOf(text, start + 1);
      if (end <= start || !segment.startsWith(text, end)) return false;
      const value = segment.slice(start, end);
      start = end + text.length;
      const before = bound.get(name);
      bound.set(name, value);
      return before === undefined || before === value;
    });
  };
}

const fill = (text: string, segments: ReadonlyMap<string, string>): string =>
  text.replace(PLACEHOLDER, (placeholder, name: string) => segments.get(name) ?? placeholder);

function placeholdersBound(checker: Checker, rule: Rule): boolean {
  const bound = new Set(placeholders(rule.from));
  const used = rule.to.flatMap((to) => [
    ...placeholders(to.key).map((name) => ({ name, span: to.key.span })),
    ...(to.indices ?? []).flatMap((index) => (index.kind === "segment" ? [index] : [])),
  ]);
  const missing = used.filter(({ name }) => !bound.has(name));
  for (const { name, span } of missing) checker.report("unbound-placeholder", { name }, span);
  return missing.length === 0;
}

const placeholders = (text: Text): string[] => [...text.value.matchAll(PLACEHOLDER)].map((m) => m[1] ?? "");

/** A path segment that is the index of a list item. */
const ITEM = /(^|\.)\d+(?=\.|$)/g;

/**
 * Converts the common shape of several paths (`layers.{}.weight`) to a pattern. Takes the number or placeholder of
 * `pattern` at the same position, if there is one.
 */
function patternLike(pattern: string, shape: string): string {
  const written = pattern.split(".");
  return shape
    .split(".")
    .map((segment, i) =>
      segment !== "{}" ? segment : /^(?:\d+|\{\w+\})$/.test(written[i] ?? "") ? (written[i] ?? "") : "{i}",
    )
    .join(".");
}

/** Whether the pattern goes through a list that is empty for the model's parameters, as with `--set depth=0`. */
function emptyList(model: Instance, pattern: string): boolean {
  const member = model.members.get(pattern.split(".")[0] ?? "");
  return member?.kind === "value" && member.value.kind === "list" && member.value.items.length === 0;
}

/**
 * Reports two weights with the same key. Weights may share a key if at least one of them has several keys, and the key
 * is not the first key (used for saving) of both. `written`: the places where entries state keys.
 */
function checkCollisions(
  checker: Checker,
  weights: readonly FoundWeight[],
  keys: ReadonlyMap<string, readonly string[]>,
  written: ReadonlyMap<string, readonly StoredKey[]>,
): void {
  const holders = new Map<
    string,
    { readonly path: string; readonly primary: boolean; readonly several: boolean; readonly text: StoredKey | null }
  >();
  for (const {
    weight: { path, span },
    trace,
  } of weights) {
    const keysOfPath = keys.get(path) ?? [path];
    keysOfPath.forEach((key, i) => {
      const holder = { path, primary: i === 0, several: keysOfPath.length > 1, text: written.get(path)?.[i] ?? null };
      const before = holders.get(key);
      if (
        before !== undefined &&
        before.path !== path &&
        ((before.primary && holder.primary) || !(before.several || holder.several))
      ) {
        const [at, other] = holder.text === null ? [before.text, null] : [holder.text, before.text];
        const notes = other === null ? [] : [{ text: "the other entry", span: other.span }];
        checker.report("duplicate-key", { key, first: before.path, second: path }, at?.span ?? span, notes, trace);
      }
      if (before === undefined || holder.primary) holders.set(key, holder);
    });
  }
}
