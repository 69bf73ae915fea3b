// How large a source may be: past these a diagnostic is given, never a hang or an overflow of the stack.

/** UTF-16 code units of one file: 4 MiB. */
export const MAX_SOURCE = 4 * 1024 * 1024;

/** Tokens of one file: some 4 MiB of ordinary text. */
export const MAX_TOKENS = 1_500_000;

/** Levels of brackets, blocks and `if`s: the parser's stack holds more than three times as many. */
export const MAX_NESTING = 100;

/** Levels of one expression's tree: `a + b + c` has two. */
export const MAX_LEVELS = 250;

/** Digits of a number literal, the zeros of its exponent included. */
export const MAX_DIGITS = 400;

/** Letters of a name: paths are made of names, and there are as many paths as weights. */
export const MAX_NAME = 250;

/** Errors of the parser after which the rest of a file is not read. */
export const MAX_ERRORS = 100;
