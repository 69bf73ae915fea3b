// Limits on source files. A larger source gets a diagnostic instead of a hang or a stack overflow.

/** UTF-16 code units of one file: 4 MiB. */
export const MAX_SOURCE_LENGTH = 4 * 1024 * 1024;

/** Tokens of one file: some 4 MiB of ordinary text. */
export const MAX_TOKENS = 1_500_000;

/** Nesting depth of brackets, blocks and `if`s; the parser's stack can hold more than three times as many. */
export const MAX_NESTING = 100;

/** Height of an expression's tree: 2 for `a + b + c`. */
export const MAX_EXPRESSION_HEIGHT = 250;

/** Digits of a number literal, the zeros of its exponent included. */
export const MAX_DIGITS = 400;

/** Characters of a name; limited because each weight's path consists of names. */
export const MAX_NAME_LENGTH = 250;

/** Number of errors in one declaration, and in the declarations so far, after which the rest of a file is skipped. */
export const MAX_ERRORS = 100;
