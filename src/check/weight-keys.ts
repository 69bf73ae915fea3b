// `names`: the keys under which a checkpoint holds the weights.
import type { NamesEntry, Text } from "../syntax/ast.js";
import type { Instance } from "./instance.js";
import type { FoundWeight } from "./inspect.js";
import type { Session } from "./session.js";
import { nearest } from "./suggest.js";

type Rule = Extract<NamesEntry, { kind: "map" }>;

/** Keys of each weight by its path, and the patterns of keys to pass over. */
export interface WeightKeys {
  readonly keys: ReadonlyMap<string, readonly string[]>;
  readonly ignore: readonly string[];
}

/** Applies the `names` of a model to the weights it declares. */
export function weightKeys(session: Session, model: Instance, weights: readonly FoundWeight[]): WeightKeys {
  const entries = model.names.flatMap((n) => n.entries);
  const rules = entries.filter((e) => e.kind === "map");
  const patterns = rules.map((rule) => ({ rule, match: patternOf(rule.from.value) }));
  const bound = rules.map((rule) => placeholdersBound(session, rule)).every(Boolean);
  const used = new Set<Rule>();
  const keys = new Map<string, readonly string[]>();
  for (const {
    weight: { path },
  } of weights) {
    const found = patterns.flatMap(({ rule, match }) => {
      const segments = match(path);
      return segments === null ? [] : [{ rule, segments }];
    });
    for (const { rule } of found) used.add(rule);
    const [first, second] = found;
    if (second !== undefined)
      session.report("ambiguous-names", { path }, second.rule.from.span, [{ text: "the other entry", span: first?.rule.from.span ?? null }]);
    keys.set(path, first === undefined ? [path] : first.rule.to.map((t) => fill(t.value, first.segments)));
  }
  const paths = weights.map((w) => w.weight.path);
  for (const rule of rules) {
    if (used.has(rule) || emptyList(model, rule.from.value)) continue;
    session.report("unknown-path", { path: rule.from.value, suggestion: nearest(rule.from.value, paths) }, rule.from.span);
  }
  if (bound) checkCollisions(session, weights, keys);
  return { keys, ignore: entries.flatMap((e) => (e.kind === "ignore" ? [e.pattern.value] : [])) };
}

const PLACEHOLDER = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** Matches paths: {x} stands for one segment, or a part of one; the same {x} twice for the same text. */
function patternOf(pattern: string): (path: string) => ReadonlyMap<string, string> | null {
  const names: string[] = [];
  let source = "";
  let at = 0;
  for (const m of pattern.matchAll(PLACEHOLDER)) {
    source += escape(pattern.slice(at, m.index));
    const name = m[1] ?? "";
    const seen = names.indexOf(name);
    source += seen === -1 ? "([^.]+)" : `\\${seen + 1}(?![0-9])`;
    if (seen === -1) names.push(name);
    at = m.index + m[0].length;
  }
  const expression = new RegExp(`^${source}${escape(pattern.slice(at))}$`);
  return (path) => {
    const m = expression.exec(path);
    return m === null ? null : new Map(names.map((name, i) => [name, m[i + 1] ?? ""]));
  };
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

const fill = (text: string, segments: ReadonlyMap<string, string>): string => text.replace(PLACEHOLDER, (whole, name: string) => segments.get(name) ?? whole);

function placeholdersBound(session: Session, rule: Rule): boolean {
  const bound = new Set(placeholders(rule.from));
  const unbound = rule.to.flatMap((to) =>
    placeholders(to)
      .filter((name) => !bound.has(name))
      .map((name) => ({ name, span: to.span })),
  );
  for (const { name, span } of unbound) session.report("unbound-placeholder", { name }, span);
  return unbound.length === 0;
}

const placeholders = (text: Text): string[] => [...text.value.matchAll(PLACEHOLDER)].map((m) => m[1] ?? "");

/** Whether the pattern goes through a list of the model that is empty as its parameters stand: `--set depth=0`. */
function emptyList(model: Instance, pattern: string): boolean {
  const member = model.members.get(pattern.split(".")[0] ?? "");
  return member?.kind === "value" && member.value.kind === "list" && member.value.items.length === 0;
}

/** Two weights with one key are an error, unless an entry accepts further keys and it is not the one it is saved under. */
function checkCollisions(session: Session, weights: readonly FoundWeight[], keys: ReadonlyMap<string, readonly string[]>): void {
  const holders = new Map<string, { readonly path: string; readonly primary: boolean; readonly several: boolean }>();
  for (const {
    weight: { path, span },
    trace,
  } of weights) {
    const own = keys.get(path) ?? [path];
    own.forEach((key, i) => {
      const holder = { path, primary: i === 0, several: own.length > 1 };
      const before = holders.get(key);
      if (before !== undefined && before.path !== path && ((before.primary && holder.primary) || !(before.several || holder.several))) {
        session.report("duplicate-key", { key, first: before.path, second: path }, span, [], trace);
      }
      if (before === undefined || holder.primary) holders.set(key, holder);
    });
  }
}
