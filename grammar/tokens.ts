// The token types of the language, each with its name in diagnostics.
import { createToken, EOF, Lexer, type IToken, type TokenType } from "chevrotain";
import { anyCharacter, blockComment, quoted, segment } from "./matchers.js";
import type { Heading, Reserved } from "./words.js";

export { DTYPES, HEADING, PARAM_KINDS, RESERVED, type Reserved } from "./words.js";

/** Category: tokens that end a statement, a member, a declaration or an entry of `names`. */
export const Separator = createToken({ name: "Separator", pattern: Lexer.NA, label: "the end of the line" });
/** Category: binary operators. */
export const BinaryOperator = createToken({ name: "BinaryOperator", pattern: Lexer.NA, label: "an operator" });
/** Category: binary operators on numbers and tensors, which may also occur in a dimension. */
export const ArithmeticOperator = createToken({
  name: "ArithmeticOperator",
  pattern: Lexer.NA,
  categories: [BinaryOperator],
  label: "an operator",
});
/** Category: prefix operators. */
export const PrefixOperator = createToken({ name: "PrefixOperator", pattern: Lexer.NA, label: "`-` or `not`" });

export const Identifier = createToken({ name: "Identifier", pattern: /[A-Za-z_][A-Za-z0-9_]*/, label: "a name" });

const word = (name: string, text: Reserved | Heading, categories: TokenType[] = []): TokenType =>
  createToken({ name, pattern: new RegExp(text), longer_alt: Identifier, categories, label: `\`${text}\`` });

export const Weight = word("Weight", "weight", [Identifier]);
export const State = word("State", "state", [Identifier]);
export const Update = word("Update", "update", [Identifier]);
/** In the order of `HEADING`: keywords in their place, names elsewhere. */
export const headingTokens: readonly TokenType[] = [Weight, State, Update];
/** Whether the token can be a name. */
export const isName = ({ tokenType }: Pick<IToken, "tokenType">): boolean =>
  tokenType === Identifier || headingTokens.includes(tokenType);

export const Import = word("Import", "import");
export const From = word("From", "from");
export const Const = word("Const", "const");
export const Block = word("Block", "block");
export const Model = word("Model", "model");
export const Live = word("Live", "live");
export const Names = word("Names", "names");
export const Ignore = word("Ignore", "ignore");
export const For = word("For", "for");
export const In = word("In", "in");
export const If = word("If", "if");
export const Then = word("Then", "then");
export const Else = word("Else", "else");
export const And = word("And", "and", [BinaryOperator]);
export const Or = word("Or", "or", [BinaryOperator]);
export const Not = word("Not", "not", [PrefixOperator]);
export const True = word("True", "true");
export const False = word("False", "false");
export const None = word("None", "None");
export const Loss = word("Loss", "loss");
export const Observe = word("Observe", "observe");

/** In the order of `RESERVED`. */
export const reservedTokens: readonly TokenType[] = [
  Import,
  From,
  Const,
  Block,
  Model,
  Live,
  Names,
  Ignore,
  For,
  In,
  If,
  Then,
  Else,
  And,
  Or,
  Not,
  True,
  False,
  None,
  Loss,
  Observe,
];

/**
 * `12`, `0.125`, `1e-5`, `12.5%`. The pattern also matches the malformed `1.`, `.5`, `2x` and `1_000`, so that each is
 * one token and causes one diagnostic.
 */
export const NumberLiteral = createToken({
  name: "NumberLiteral",
  pattern: /(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[A-Za-z0-9_]*(?:\.(?!\.)[A-Za-z0-9_]*)?|\.\d[A-Za-z0-9_]*)%?/,
  label: "a number",
});

export const StringLiteral = createToken({
  name: "StringLiteral",
  pattern: quoted('"'),
  start_chars_hint: ['"'],
  line_breaks: false,
  label: "a string",
});
/** Not in the language: reported, and parsed as a string. */
export const SingleQuoted = createToken({
  name: "SingleQuoted",
  pattern: quoted("'"),
  start_chars_hint: ["'"],
  line_breaks: false,
  label: "a string",
});

/** A segment of a path, `{e}`, as an index of a stored tensor. */
export const Placeholder = createToken({
  name: "Placeholder",
  pattern: segment,
  start_chars_hint: ["{"],
  line_breaks: false,
  label: "a segment such as `{e}`",
});

const sign = (name: string, text: string, categories: TokenType[] = []): TokenType =>
  createToken({ name, pattern: text, categories, label: `\`${text}\`` });

export const Ellipsis = sign("Ellipsis", "...");
export const DotDot = sign("DotDot", "..");
export const Dot = sign("Dot", ".");
export const Arrow = sign("Arrow", "->");
export const EqualEqual = sign("EqualEqual", "==", [BinaryOperator]);
export const NotEqual = sign("NotEqual", "!=", [BinaryOperator]);
export const LessEqual = sign("LessEqual", "<=", [BinaryOperator]);
export const GreaterEqual = sign("GreaterEqual", ">=", [BinaryOperator]);
export const Less = sign("Less", "<", [BinaryOperator]);
export const Greater = sign("Greater", ">", [BinaryOperator]);
export const Equal = sign("Equal", "=");
export const Plus = sign("Plus", "+", [ArithmeticOperator]);
export const Minus = sign("Minus", "-", [ArithmeticOperator, PrefixOperator]);
export const Star = sign("Star", "*", [ArithmeticOperator]);
export const Slash = sign("Slash", "/", [ArithmeticOperator]);
export const Percent = sign("Percent", "%", [ArithmeticOperator]);
export const Caret = sign("Caret", "^", [ArithmeticOperator]);
export const At = sign("At", "@", [ArithmeticOperator]);
export const Comma = sign("Comma", ",");
export const Colon = sign("Colon", ":");
export const LParen = sign("LParen", "(");
export const RParen = sign("RParen", ")");
export const LBracket = sign("LBracket", "[");
export const RBracket = sign("RBracket", "]");
export const LBrace = sign("LBrace", "{");
export const RBrace = sign("RBrace", "}");

export const Newline = createToken({
  name: "Newline",
  pattern: /\n/,
  line_breaks: true,
  categories: [Separator],
  label: "the end of the line",
});
export const Semicolon = createToken({ name: "Semicolon", pattern: ";", categories: [Separator], label: "`;`" });

/** Blanks within a line; a carriage return only before a newline. */
export const Blank = createToken({ name: "Blank", pattern: /[ \t]+|\r(?=\n)/, group: Lexer.SKIPPED });
/** The lexer's group that holds all comments. */
export const COMMENTS = "comments";
/** `//` to the end of the line; three slashes make it documentation. */
export const Comment = createToken({
  name: "Comment",
  pattern: /\/\/[^\n]*/,
  group: COMMENTS,
  start_chars_hint: ["/"],
  line_breaks: false,
});
/** Comment syntax from other languages: reported, and treated as comments. */
export const HashComment = createToken({
  name: "HashComment",
  pattern: /#[^\n]*/,
  group: COMMENTS,
  start_chars_hint: ["#"],
  line_breaks: false,
});
export const BlockComment = createToken({
  name: "BlockComment",
  pattern: blockComment,
  group: COMMENTS,
  start_chars_hint: ["/"],
  line_breaks: true,
});

/** One character code in each of the lexer's buckets of first characters. */
const everyFirstCharacter = Array.from({ length: 256 + (65536 - 256) / 64 }, (_, i) =>
  i < 256 ? i : 256 + (i - 256) * 64,
);
export const Unknown = createToken({
  name: "Unknown",
  pattern: anyCharacter,
  start_chars_hint: everyFirstCharacter,
  line_breaks: true,
  label: "a character",
});

/** Operators of other languages: reported, and replaced by the language's own. */
export interface ForeignOperator {
  readonly token: TokenType;
  readonly instead: TokenType;
  /** The hint of the diagnostic. */
  readonly advice: string;
}
const foreign = (name: string, text: string, instead: TokenType, advice: string): ForeignOperator => ({
  token: createToken({ name, pattern: text, label: `\`${text}\`` }),
  instead,
  advice,
});
export const foreignOperators: readonly ForeignOperator[] = [
  foreign("TripleEqual", "===", EqualEqual, "equality is `==`"),
  foreign("NotDoubleEqual", "!==", NotEqual, "inequality is `!=`"),
  foreign("DoubleAmpersand", "&&", And, "write `and`"),
  foreign("DoubleBar", "||", Or, "write `or`"),
  foreign("DoubleStar", "**", Caret, "a power is written `^`"),
  foreign("FatArrow", "=>", Arrow, "results follow `->`"),
  foreign("ColonEqual", ":=", Equal, "write `=`"),
  foreign("PlusEqual", "+=", Equal, "write `x = x + …`: a name is bound again"),
  foreign("MinusEqual", "-=", Equal, "write `x = x - …`: a name is bound again"),
  foreign("StarEqual", "*=", Equal, "write `x = x * …`: a name is bound again"),
  foreign("SlashEqual", "/=", Equal, "write `x = x / …`: a name is bound again"),
  foreign("Bang", "!", Not, "write `not`"),
  foreign("Ampersand", "&", And, "write `and`"),
  foreign("Bar", "|", Or, "write `or`"),
];

/** The token types in the order in which the lexer tries them: longer ones before their prefixes. */
export const lexerTokens: TokenType[] = [
  Blank,
  Newline,
  Comment,
  BlockComment,
  HashComment,
  NumberLiteral,
  StringLiteral,
  SingleQuoted,
  Placeholder,
  Ellipsis,
  DotDot,
  ...foreignOperators.filter((f) => !["!", "&", "|"].includes(String(f.token.PATTERN))).map((f) => f.token),
  Arrow,
  EqualEqual,
  NotEqual,
  LessEqual,
  GreaterEqual,
  Less,
  Greater,
  Equal,
  Plus,
  Minus,
  Star,
  Slash,
  Percent,
  Caret,
  At,
  Dot,
  Comma,
  Colon,
  Semicolon,
  LParen,
  RParen,
  LBracket,
  RBracket,
  LBrace,
  RBrace,
  ...foreignOperators.filter((f) => ["!", "&", "|"].includes(String(f.token.PATTERN))).map((f) => f.token),
  ...reservedTokens,
  ...headingTokens,
  Identifier,
  Unknown,
];

/** The token types that the parser may encounter. */
export const parserTokens: TokenType[] = [
  Separator,
  BinaryOperator,
  ArithmeticOperator,
  PrefixOperator,
  Newline,
  Semicolon,
  NumberLiteral,
  StringLiteral,
  Placeholder,
  Ellipsis,
  DotDot,
  Arrow,
  EqualEqual,
  NotEqual,
  LessEqual,
  GreaterEqual,
  Less,
  Greater,
  Equal,
  Plus,
  Minus,
  Star,
  Slash,
  Percent,
  Caret,
  At,
  Dot,
  Comma,
  Colon,
  LParen,
  RParen,
  LBracket,
  RBracket,
  LBrace,
  RBrace,
  ...reservedTokens,
  ...headingTokens,
  Identifier,
];

/** Tokens after which a line is incomplete, so that the newline is ignored. */
export const continuing: ReadonlySet<TokenType> = new Set([
  Plus,
  Minus,
  Star,
  Slash,
  Percent,
  Caret,
  At,
  EqualEqual,
  NotEqual,
  LessEqual,
  GreaterEqual,
  Less,
  Greater,
  And,
  Or,
  Not,
  Equal,
  Arrow,
  Colon,
  Dot,
  DotDot,
  Comma,
  Then,
  Else,
]);

/**
 * Precedence of binary operators: a larger number binds tighter. `^` is right-associative, the others are
 * left-associative.
 */
export const PRECEDENCE = {
  or: 1,
  and: 2,
  "==": 4,
  "!=": 4,
  "<": 4,
  "<=": 4,
  ">": 4,
  ">=": 4,
  "+": 5,
  "-": 5,
  "*": 6,
  "/": 6,
  "%": 6,
  "@": 6,
  "^": 8,
} as const;
/** Precedence of unary operators: `not` below the comparisons, `-` below `^`. */
export const UNARY_PRECEDENCE = { not: 3, "-": 7 } as const;

export { EOF };
export type { IToken, TokenType };
