// One grammar in several shapes: the parser, the page for people, the diagrams and the editors' grammar agree.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { generated } from "../../../grammar/generate.js";
import { ModcParser } from "../../../grammar/parser.js";
import { grammarShape, type Shape } from "../../../grammar/shape.js";
import {
  DTYPES,
  HEADING,
  headingTokens,
  PARAM_KINDS,
  PRECEDENCE,
  RESERVED,
  reservedTokens,
  UNARY_PRECEDENCE,
} from "../../../grammar/tokens.js";
import { lex } from "../../../src/language/syntax/lex.js";
import { Diagnostics } from "../../../src/language/diagnostics/diagnostic.js";

const root = new URL("../../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");
const ebnf = read("grammar/modc.ebnf");
const examples = readdirSync(new URL("examples/", root))
  .filter((f) => f.endsWith(".mod"))
  .map((f) => `examples/${f}`);

/** Rules of an EBNF text as shapes: the notation that the head of `modc.ebnf` explains. */
function readEbnf(text: string): Map<string, Shape> {
  const tokens = text.replace(/\(\*[\s\S]*?\*\)/g, " ").match(/"[^"]*"|[A-Za-z]+|[=|;()[\]{}]/g) ?? [];
  let i = 0;
  const expect_ = (t: string): void => {
    if (tokens[i++] !== t) throw new Error(`expected ${t} before ${tokens.slice(i - 1, i + 5).join(" ")}`);
  };
  const names = new Set(tokens.filter((_, k) => tokens[k + 1] === "=" && (k === 0 || tokens[k - 1] === ";")));
  const choice = (): Shape => {
    const items = [sequence()];
    while (tokens[i] === "|") {
      i++;
      items.push(sequence());
    }
    return items.length === 1 ? items[0]! : { kind: "choice", items };
  };
  const sequence = (): Shape => {
    const items: Shape[] = [];
    while (tokens[i] !== undefined && !/^[|;)\]}]$/.test(tokens[i]!)) items.push(atom());
    return items.length === 1 ? items[0]! : { kind: "sequence", items };
  };
  const atom = (): Shape => {
    const t = tokens[i++]!;
    if (t.startsWith('"')) return { kind: "text", text: t.slice(1, -1) };
    if (/^[A-Za-z]/.test(t)) return names.has(t) ? { kind: "rule", name: t } : { kind: "word", name: t };
    const inner = choice();
    expect_(t === "(" ? ")" : t === "[" ? "]" : "}");
    return t === "(" ? inner : { kind: t === "[" ? "optional" : "repeat", item: inner };
  };
  const rules = new Map<string, Shape>();
  while (i < tokens.length) {
    const name = tokens[i++]!;
    expect_("=");
    rules.set(name, choice());
    expect_(";");
  }
  return rules;
}

/** Groupings that mean nothing are undone; the order of a choice means nothing. */
function plain(shape: Shape): unknown {
  switch (shape.kind) {
    case "sequence": {
      const items = shape.items.map(plain).flatMap((s) => (Array.isArray(s) && s[0] === "sequence" ? s.slice(1) : [s]));
      return ["sequence", ...items];
    }
    case "choice": {
      const items = shape.items
        .map(plain)
        .map((s) => JSON.stringify(s))
        .sort();
      return ["choice", ...items];
    }
    case "optional":
    case "repeat":
      return [shape.kind, plain(shape.item)];
    case "text":
      return ["text", shape.text];
    default:
      return [shape.kind, shape.name];
  }
}

describe("the grammar", () => {
  it("is unambiguous, as chevrotain's own analysis tells", () => {
    expect(() => new ModcParser({ validate: true })).not.toThrow();
  });

  it("is the same in modc.ebnf, rule by rule", () => {
    const page = readEbnf(ebnf);
    const parser = grammarShape();
    expect([...page.keys()].sort()).toEqual([...parser.keys()].sort());
    for (const [name, shape] of parser) expect(plain(page.get(name)!), name).toEqual(plain(shape));
  });

  it("has the precedences that modc.ebnf tells", () => {
    const levels = [...ebnf.matchAll(/^ {3}(\d) {2}(.+?) {2,}/gm)].map(
      (m) => [Number(m[1]), m[2]!.trim().split(" ")] as const,
    );
    expect(levels.length).toBe(8);
    const told = levels.flatMap(([level, ops]) => ops.map((op) => `${op} ${level}`));
    const real = [
      ...Object.entries(PRECEDENCE).map(([op, level]) => `${op} ${level}`),
      ...Object.entries(UNARY_PRECEDENCE).map(([op, level]) => `${op} ${level}`),
    ];
    expect([...told].sort()).toEqual([...real].sort());
  });

  it("reserves the words of the language page and no others", () => {
    const words =
      "import from const block model live names ignore for in if then else and or not true false None loss observe";
    expect([...RESERVED]).toEqual(words.split(" "));
    expect(reservedTokens.map((t) => String(t.LABEL))).toEqual(RESERVED.map((w) => `\`${w}\``));
    const quoted = new Set([...ebnf.replace(/\(\*[\s\S]*?\*\)/g, "").matchAll(/"([A-Za-z]+)"/g)].map((m) => m[1]!));
    expect([...quoted].sort()).toEqual([...RESERVED, ...HEADING.member, ...HEADING.statement].sort());
  });

  it("has generated files that are current (node --import tsx scripts/grammar.mjs)", () => {
    for (const { path, text } of generated()) expect(read(path), path).toBe(text);
  });

  it("is drawn without scripts and without the network, each rule once", () => {
    const page = read("docs/railroad.html");
    expect(page).not.toMatch(/<script|https?:|<link|@import|url\(/);
    for (const name of grammarShape().keys()) expect(page.split(`<h2 id="${name}">`).length, name).toBe(2);
    for (const link of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`<h2 id="${link[1]}">`);
    for (const word of RESERVED) expect(page, word).toContain(`>${word}</text>`);
  });
});

interface Pattern {
  readonly name?: string;
  readonly match?: string;
  readonly begin?: string;
  readonly end?: string;
  readonly captures?: Record<string, { name: string }>;
}

/** What an editor would show: the scope of each character of a line, by the first pattern that matches earliest. */
function scopesOf(line: string, patterns: readonly Pattern[]): (string | null)[] {
  const scopes: (string | null)[] = Array.from({ length: line.length }, () => null);
  for (let at = 0; at < line.length;) {
    let best: { pattern: Pattern; match: RegExpExecArray } | null = null;
    for (const pattern of patterns) {
      const regex = new RegExp(pattern.match ?? `${pattern.begin!}(?:\\\\.|[^"\\\\])*(?:${pattern.end!})`, "dg");
      regex.lastIndex = at;
      const match = regex.exec(line);
      if (match && match[0] !== "" && (!best || match.index < best.match.index)) best = { pattern, match };
    }
    if (!best) break;
    const { pattern, match } = best;
    if (pattern.name) scopes.fill(pattern.name, match.index, match.index + match[0].length);
    for (const [group, { name }] of Object.entries(pattern.captures ?? {})) {
      const place = match.indices?.[Number(group)];
      if (place) scopes.fill(name, place[0], place[1]);
    }
    at = match.index + match[0].length;
  }
  return scopes;
}

describe("the editors' grammar", () => {
  const { patterns } = JSON.parse(read("grammar/modc.tmLanguage.json")) as { patterns: Pattern[] };

  it("knows every reserved word, dtype and kind", () => {
    const all = patterns.map((p) => p.match ?? "").join(" ");
    for (const word of [...RESERVED, ...DTYPES, ...PARAM_KINDS, ...HEADING.member, ...HEADING.statement])
      expect(all, word).toMatch(new RegExp(`\\b${word}\\b`));
  });

  it("uses no lookbehind of varying length, which editors' engines refuse", () => {
    for (const p of patterns)
      for (const m of (p.match ?? "").matchAll(/\(\?<[=!]([^)]*)\)/g)) expect(m[1]).not.toMatch(/[*+?]/);
  });

  it("marks what a comment allows", () => {
    const line = "weight w: f32[4] // @allow unread-weight: older checkpoints hold it";
    const scopes = scopesOf(line, patterns);
    expect(["// ", "@allow", "unread-weight", "older"].map((word) => scopes[line.indexOf(word)])).toEqual([
      "comment.line.double-slash.modc",
      "keyword.other.directive.modc",
      "entity.name.tag.modc",
      "comment.line.double-slash.modc",
    ]);
    expect(scopesOf("// what @allow does", patterns)[8]).toBe("comment.line.double-slash.modc");
  });

  for (const path of examples) {
    it(`colours ${path} as the lexer reads it`, () => {
      const text = read(path);
      const starts: number[] = [];
      const scopes: (string | null)[] = [];
      for (const line of text.split("\n")) {
        starts.push(scopes.length);
        scopes.push(...scopesOf(line, patterns), null);
      }
      const { tokens, comments } = lex({ file: path, text }, new Diagnostics())!;
      for (const token of tokens) {
        const scope = scopes[token.startOffset] ?? "";
        const type = token.tokenType.name;
        if (reservedTokens.includes(token.tokenType))
          expect(scope, token.image).toMatch(/^(keyword|constant\.language|storage\.type)/);
        else if (type === "NumberLiteral")
          expect(scope, token.image).toMatch(token.image.endsWith("%") ? /numeric\.ratio/ : /^constant\.numeric\.modc/);
        else if (type === "StringLiteral") expect(scope, token.image).toMatch(/^string/);
        else if (type === "Identifier")
          expect(scope, token.image).not.toMatch(/^(keyword\.control|keyword\.operator|string|comment|constant)/);
        else if (headingTokens.includes(token.tokenType)) expect(scope).not.toMatch(/^(string|comment)/);
      }
      for (const comment of comments) expect(scopes[comment.start], comment.text).toMatch(/^comment/);
      expect(tokens.length).toBeGreaterThan(50);
    });
  }
});
