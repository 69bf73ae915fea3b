// Limits against runaway input: beyond each the checker stops with `limit-exceeded`.

/** Evaluated expressions and created list items in one check: six times the number for a thousand layers. */
export const MAX_EVALUATIONS = 2_000_000;
export const MAX_LIST = 100_000;
/** Instances in one model: six times the number for a thousand layers. */
export const MAX_INSTANCES = 100_000;
/** Function calls in one program, nested ones included: the number for 1600 layers; half a second of work. */
export const MAX_CALLS = 25_000;
/** Depth of nested instances, and of nested function calls. */
export const MAX_DEPTH = 200;
/** Depth of nested expressions, calls included: limited by the host's stack. */
export const MAX_NESTING = 600;
/** Operations in one program: four times the number for a thousand layers. */
export const MAX_OPERATIONS = 250_000;
/** Dimensions in a tensor, as in NumPy. */
export const MAX_RANK = 64;
/** Letters in the path of a weight, and in its checkpoint key. */
export const MAX_PATH = 4_000;
/** Bits of numerator or denominator of a compile-time number. */
export const MAX_BITS = 2_048;
/** Largest extent of a dimension. */
export const MAX_EXTENT = 2 ** 31 - 1;
/** Length of a printed size, and depth of its nested functions. */
export const MAX_SIZE_CHARACTERS = 2_000;
export const MAX_SIZE_DEPTH = 24;
