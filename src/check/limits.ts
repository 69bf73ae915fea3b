// Limits against runaway input: past each, the checker stops with `limit-exceeded` instead of working on without end.

/** Expressions evaluated in one check, and items of lists made on the way: six times what a thousand layers need. */
export const MAX_EVALUATIONS = 2_000_000;
/** Items of one list. */
export const MAX_LIST = 100_000;
/** Instances of blocks in one model: six times what a thousand layers need. */
export const MAX_INSTANCES = 100_000;
/**
 * Calls of functions in one program, those of functions within functions too: four times what a thousand layers need.
 */
export const MAX_CALLS = 60_000;
/** Blocks that make blocks that make blocks …; also functions that call functions. */
export const MAX_DEPTH = 200;
/** Expressions within expressions, calls included: what the stack of the host bears. */
export const MAX_NESTING = 600;
/** Operations a function unrolls to: four times those of a thousand layers. */
export const MAX_OPERATIONS = 250_000;
/** Dimensions of one tensor, as in NumPy. */
export const MAX_RANK = 64;
/** Letters in the path of a weight, and in the key a checkpoint holds it under. */
export const MAX_PATH = 4_000;
/** Bits of numerator or denominator of a compile-time number. */
export const MAX_BITS = 2_048;
/** Largest extent of a dimension. */
export const MAX_EXTENT = 2 ** 31 - 1;
/** Length of a size in print, and functions within functions in it. */
export const MAX_SIZE_CHARACTERS = 2_000;
export const MAX_SIZE_DEPTH = 24;
