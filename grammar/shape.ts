// The grammar as plain data, extracted from the parser; the source of the diagrams, and compared with `modc.ebnf`.
import {
  Alternation,
  Alternative,
  EOF,
  NonTerminal,
  Option,
  Repetition,
  RepetitionMandatory,
  RepetitionMandatoryWithSeparator,
  RepetitionWithSeparator,
  Terminal,
  type IProduction,
  type TokenType,
} from "chevrotain";
import { ModcParser } from "./parser.js";
import * as t from "./tokens.js";

export type Shape =
  | { readonly kind: "sequence"; readonly items: readonly Shape[] }
  | { readonly kind: "choice"; readonly items: readonly Shape[] }
  | { readonly kind: "optional"; readonly item: Shape }
  /** Zero or more times. */
  | { readonly kind: "repeat"; readonly item: Shape }
  /** A literal keyword or sign. */
  | { readonly kind: "text"; readonly text: string }
  /** A token class: `name`, `number`, `string`, `end`. */
  | { readonly kind: "word"; readonly name: string }
  | { readonly kind: "rule"; readonly name: string };

const WORDS: ReadonlyMap<TokenType, string> = new Map([
  [t.Identifier, "name"],
  [t.NumberLiteral, "number"],
  [t.StringLiteral, "string"],
  [t.Placeholder, "placeholder"],
  [t.Separator, "end"],
]);
/** Operator categories, shown as separate rules. */
const OPERATORS: ReadonlyMap<TokenType, string> = new Map([
  [t.BinaryOperator, "operator"],
  [t.ArithmeticOperator, "arithmetic"],
  [t.PrefixOperator, "prefix"],
]);

/** The rules of the parser in order, from the file down to its parts. */
export function grammarShape(): ReadonlyMap<string, Shape> {
  const rules = Object.values(new ModcParser({ validate: true }).getGAstProductions());
  // chevrotain defines the rules of the superclass (expressions) first; move them to the end.
  const start = rules.findIndex((rule) => rule.name === "file");
  const shapes = new Map(
    [...rules.slice(start), ...rules.slice(0, start)].map((rule) => [rule.name, sequence(rule.definition)]),
  );
  const members = (category: TokenType): string[] =>
    t.parserTokens
      .filter((type) => (type.CATEGORIES ?? []).includes(category) && typeof textOf(type) === "string")
      .map((type) => textOf(type)!);
  const texts = (list: readonly string[]): Shape[] => list.map((text) => ({ kind: "text", text }));
  const arithmetic = members(t.ArithmeticOperator);
  shapes.set("operator", {
    kind: "choice",
    items: [
      ...texts(members(t.BinaryOperator).filter((o) => !arithmetic.includes(o))),
      { kind: "rule", name: "arithmetic" },
    ],
  });
  shapes.set("arithmetic", { kind: "choice", items: texts(arithmetic) });
  shapes.set("prefix", { kind: "choice", items: texts(members(t.PrefixOperator)) });
  return shapes;
}

/** The text of a token type with a fixed text; null for any other. */
function textOf(type: TokenType): string | null {
  if (typeof type.PATTERN === "string") return type.PATTERN;
  return t.headingTokens.includes(type) || t.reservedTokens.includes(type)
    ? (type.LABEL ?? "").replaceAll("`", "")
    : null;
}

function sequence(productions: readonly IProduction[]): Shape {
  const items = productions.filter((p) => !(p instanceof Terminal && p.terminalType === EOF)).map(shapeOf);
  return items.length === 1 ? items[0]! : { kind: "sequence", items };
}

function shapeOf(production: IProduction): Shape {
  if (production instanceof NonTerminal) return { kind: "rule", name: production.nonTerminalName };
  if (production instanceof Terminal) {
    const operators = OPERATORS.get(production.terminalType);
    if (operators !== undefined) return { kind: "rule", name: operators };
    const name = WORDS.get(production.terminalType);
    return name === undefined
      ? { kind: "text", text: textOf(production.terminalType) ?? production.terminalType.name }
      : { kind: "word", name };
  }
  if (production instanceof Alternation)
    return {
      kind: "choice",
      items: production.definition.map((a) => (a instanceof Alternative ? sequence(a.definition) : shapeOf(a))),
    };
  if (production instanceof Option) return { kind: "optional", item: sequence(production.definition) };
  if (production instanceof Repetition) return { kind: "repeat", item: sequence(production.definition) };
  if (production instanceof RepetitionMandatory) {
    const item = sequence(production.definition);
    return { kind: "sequence", items: [item, { kind: "repeat", item }] };
  }
  if (production instanceof RepetitionWithSeparator) return { kind: "optional", item: separated(production) };
  if (production instanceof RepetitionMandatoryWithSeparator) return separated(production);
  throw new Error(`the grammar has a production that no shape is known for: ${production.constructor.name}`);
}

function separated(production: RepetitionWithSeparator | RepetitionMandatoryWithSeparator): Shape {
  const item = sequence(production.definition);
  const separator = shapeOf(new Terminal({ terminalType: production.separator }));
  return { kind: "sequence", items: [item, { kind: "repeat", item: { kind: "sequence", items: [separator, item] } }] };
}
