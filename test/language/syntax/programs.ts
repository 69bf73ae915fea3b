// Programs at random, and the same program with its lines, blanks and comments changed at random.
import fc from "fast-check";
import * as t from "../../../grammar/tokens.js";
import { Diagnostics } from "../../../src/language/diagnostics/diagnostic.js";
import { layOut } from "../../../src/language/syntax/layout.js";
import { lex } from "../../../src/language/syntax/lex.js";
import type { Random } from "../../random.js";

const name = fc.constantFrom(
  "x",
  "y",
  "dim",
  "heads",
  "a_long_name",
  "weight",
  "state",
  "update",
  "B",
  "T",
  "constructor",
  "__proto__",
  "forward",
  "f32",
  "int",
  "i2",
);
const string = fc.constantFrom('"a"', '"b t (h d) -> b h t d"', '"// {i} \\" \\u{1f600}"', '""');
const number = fc.constantFrom("0", "12", "1e-5", "0.125", "12.5%", "100%", "49152");
const dtype = fc.constantFrom(...t.DTYPES);
const arithmetic = fc.constantFrom("+", "-", "*", "/", "^", "@", "%");

const { expression } = fc.letrec<{ expression: string; atom: string; chain: string; sum: string }>((tie) => ({
  expression: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 6, arbitrary: tie("chain") },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie("chain"), tie("expression"), tie("expression"))
        .map(([c, a, b]) => `if ${c} then ${a} else ${b}`),
    },
    { weight: 1, arbitrary: fc.tuple(tie("atom"), tie("atom")).map(([a, b]) => `${a}..${b}`) },
  ),
  chain: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 4, arbitrary: tie("sum") },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie("sum"), fc.constantFrom("==", "!=", "<", ">="), tie("sum"))
        .map(([a, op, b]) => `${a} ${op} ${b}`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(tie("chain"), fc.constantFrom("and", "or"), tie("chain"))
        .map(([a, op, b]) => `${a} ${op} ${b}`),
    },
    { weight: 1, arbitrary: tie("atom").map((a) => `not ${a}`) },
  ),
  sum: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 4, arbitrary: tie("atom") },
    { weight: 1, arbitrary: fc.tuple(tie("atom"), arithmetic, tie("sum")).map(([a, op, b]) => `${a} ${op} ${b}`) },
    { weight: 1, arbitrary: tie("atom").map((a) => `-${a}`) },
  ),
  atom: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 5, arbitrary: name },
    { weight: 3, arbitrary: number },
    string,
    fc.constantFrom("true", "false"),
    tie("expression").map((e) => `(${e})`),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `(${a}, ${b})`),
    fc.array(tie("expression"), { maxLength: 4 }).map((l) => `[${l.join(", ")}]`),
    fc.tuple(name, tie("expression"), tie("expression")).map(([n, l, e]) => `[for ${n} in ${l}: ${e}]`),
    fc
      .tuple(name, fc.array(fc.tuple(fc.option(name), tie("expression")), { maxLength: 4 }))
      .map(([f, args]) => `${f}(${args.map(([n, e]) => (n === null ? e : `${n}: ${e}`)).join(", ")})`),
    fc.tuple(tie("atom"), name).map(([a, n]) => (/^[\d"]/.test(a) ? n : `${a}.${n}`)),
    fc
      .tuple(
        name,
        fc.array(fc.oneof(tie("expression"), fc.constantFrom("...", "None", ":")), { minLength: 1, maxLength: 3 }),
      )
      .map(([n, i]) => `${n}[${i.join(", ")}]`),
    fc.tuple(name, tie("chain"), tie("chain")).map(([n, a, b]) => `${n}[${a}:${b}, :${a}]`),
  ),
}));

const tensorType = fc
  .tuple(
    dtype,
    fc.array(fc.oneof(name, fc.constantFrom("...", "T <= context", "2 * dim", "3", "if wide then 2 * dim else dim")), {
      maxLength: 3,
    }),
  )
  .map(([d, dims]) => `${d}[${dims.join(", ")}]`);

const { body } = fc.letrec<{ statement: string; body: string }>((tie) => ({
  statement: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 4, arbitrary: fc.tuple(name, expression).map(([n, e]) => `${n} = ${e}`) },
    { weight: 1, arbitrary: fc.tuple(name, name, expression).map(([a, b, e]) => `(${a}, ${b}) = ${e}`) },
    { weight: 1, arbitrary: expression },
    { weight: 1, arbitrary: fc.tuple(name, expression).map(([n, e]) => `loss ${n} = ${e}`) },
    { weight: 1, arbitrary: name.map((n) => `observe ${n}`) },
    { weight: 1, arbitrary: fc.tuple(name, expression).map(([n, e]) => `update ${n} = ${e}`) },
    { weight: 1, arbitrary: fc.tuple(name, expression, tie("body")).map(([n, l, b]) => `for ${n} in ${l} ${b}`) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(expression, tie("body"), fc.option(tie("body")))
        .map(([c, a, b]) => `if ${c} ${a}${b === null ? "" : ` else ${b}`}`),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(expression, tie("body"), expression, tie("body"))
        .map(([c, a, d, b]) => `if ${c} ${a} else if ${d} ${b}`),
    },
  ),
  body: fc
    .tuple(fc.array(tie("statement"), { maxLength: 4 }), fc.boolean())
    .map(([s, flat]) => (flat && s.length === 1 ? `{ ${s[0]!} }` : `{\n${s.join("\n")}\n}`)),
}));

const entry = fc.oneof(
  fc.tuple(string, string, fc.option(string)).map(([a, b, c]) => `${a} = ${b}${c === null ? "" : ` or ${c}`}`),
  string.map((s) => `ignore ${s}`),
);
const functionMember = fc
  .tuple(
    name,
    fc.array(fc.tuple(name, tensorType), { maxLength: 3 }),
    fc.array(fc.tuple(name, tensorType), { maxLength: 3 }),
    body,
  )
  .map(([n, inputs, results, b]) => {
    const list = (l: readonly (readonly [string, string])[]): string => l.map(([x, y]) => `${x}: ${y}`).join(", ");
    return (
      `${n}(${list(inputs)})` +
      `${results.length === 0 ? "" : results.length === 1 ? ` -> ${results[0]![1]}` : ` -> (${list(results)})`} ` +
      b
    );
  });
const { members } = fc.letrec<{ member: string; members: string }>((tie) => ({
  member: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 3, arbitrary: fc.tuple(name, expression).map(([n, e]) => `${n}: ${e}`) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fc.constantFrom("weight", "state"), name, tensorType, fc.option(expression))
        .map(([word, n, ty, e]) => `${word} ${n}: ${ty}${e === null ? "" : ` = ${e}`}`),
    },
    { weight: 2, arbitrary: functionMember },
    { weight: 1, arbitrary: fc.array(entry, { maxLength: 3 }).map((e) => `names {\n${e.join("\n")}\n}`) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(expression, tie("members"), fc.option(tie("members")))
        .map(([c, a, b]) => `if ${c} ${a}${b === null ? "" : ` else ${b}`}`),
    },
    { weight: 1, arbitrary: fc.tuple(name, expression).map(([n, e]) => `/// Documents ${n}.\n${n}: ${e}`) },
  ),
  members: fc.array(tie("member"), { maxLength: 4 }).map((m) => `{\n${m.join("\n")}\n}`),
}));
const kind = fc.constantFrom("int", "float", "ratio", "bool", "string", "block", "[int]", "[[block]]");
const parameter = fc
  .tuple(fc.boolean(), name, kind, fc.option(expression))
  .map(([live, n, k, e]) => `${live ? "live " : ""}${n}: ${k}${e === null ? "" : ` = ${e}`}`);
const declaration = fc.oneof(
  fc.tuple(fc.array(name, { maxLength: 8 }), string).map(([n, s]) => `import { ${n.join(", ")} } from ${s}`),
  fc.tuple(name, expression).map(([n, e]) => `const ${n} = ${e}`),
  fc
    .tuple(fc.constantFrom("block", "model"), name, fc.array(parameter, { maxLength: 6 }), members)
    .map(([k, n, p, m]) => `${k} ${n}(${p.join(", ")}) ${m}`),
);

/** The text of a program that parses; whether it also checks is not tested. */
export const program: fc.Arbitrary<string> = fc.array(declaration, { maxLength: 4 }).map((d) => `${d.join("\n")}\n`);

const OPENERS: ReadonlySet<t.TokenType> = new Set([t.LParen, t.LBracket, t.LBrace]);
const CLOSERS: ReadonlySet<t.TokenType> = new Set([t.RParen, t.RBracket, t.RBrace]);

/**
 * The same tokens with other blanks, line breaks and commas, and with comments wherever a line may end. Each comment is
 * unlike the others.
 */
export function scrambled(text: string, r: Random): string {
  const source = { file: "a.mod", text };
  const { tokens } = layOut(lex(source, new Diagnostics())!.tokens, source, new Diagnostics())!;
  let out = "";
  let comments = 0;
  const lists: boolean[] = [];
  const blanks = (): string => [" ", "  ", "\t"][r.below(3)]!;
  const comment = (): string =>
    `${["//", "// ", "///", "/// "][r.below(4)]!}c${comments++}${["", " = {", ' "'][r.below(3)]!}`;
  const lines = (): string => {
    let s = r.below(3) === 0 ? `${blanks()}${comment()}\n` : "\n";
    while (r.below(3) === 0) s += r.below(2) === 0 ? `${blanks()}${comment()}\n` : "\n";
    return s + (r.below(2) === 0 ? blanks().repeat(r.below(4)) : "");
  };
  for (const [i, token] of tokens.entries()) {
    const previous = tokens[i - 1]?.tokenType;
    const type = token.tokenType;
    if (type === t.Newline || type === t.Semicolon) {
      out += token.image === "" ? (r.below(3) === 0 && i > 0 ? blanks() : lines()) : r.below(4) === 0 ? " ; " : lines();
      continue;
    }
    const inList = lists.at(-1) ?? false;
    const free =
      inList || (previous !== undefined && t.continuing.has(previous) && !CLOSERS.has(type) && type !== t.For);
    const startsLine = t.isName(token);
    const next = tokens[i + 1]?.tokenType;
    const safe =
      inList || !(startsLine && (next === t.Equal || next === t.Colon || (tokens[i + 1] && t.isName(tokens[i + 1]!))));
    if (
      inList &&
      (type === t.RParen || type === t.RBracket || type === t.RBrace) &&
      previous &&
      !OPENERS.has(previous) &&
      r.below(4) === 0
    )
      out += `,${blanks()}`;
    if (free && safe && r.below(12) === 0) out += lines();
    else if (type === t.RBrace && !inList && r.below(2) === 0) out += lines();
    else out += previous === undefined ? "" : /^[,)\]]$/.test(token.image) && r.below(2) === 0 ? "" : blanks();
    out += token.image;
    if (OPENERS.has(type)) lists.push(type !== t.LBrace || previous === t.Import);
    if (CLOSERS.has(type)) lists.pop();
  }
  return r.below(2) === 0 ? out : out + lines();
}
