// Observed choices among the outputs of a program: routes of tokens, and choices of entries.

/** The fields that describe an output's shape, in a graph and in a program. */
interface Output {
  readonly name: string;
  readonly role: string;
  readonly shape: readonly unknown[];
  readonly packing: object | null;
}

const INDEX = ".index";

/** The path of an observed choice whose index this output is; null for any other output. */
const pathOf = ({ name, role }: Output): string | null =>
  role === "observe" && name.endsWith(INDEX) ? name.slice(0, -INDEX.length) : null;

/** Whether the output has one number for each token that a route chose, or for each sequence: u32[B, K]. */
const isOfRoute = ({ shape, packing }: Output): boolean => packing !== null && shape.length === 2;

/** The path of the observed route whose `<path>.index` this output is; null for any other output. */
export const observedRoute = (output: Output): string | null => (isOfRoute(output) ? pathOf(output) : null);

/** The path of the observed choice of entries whose `<path>.index`, u32[B, …, K], this output is; else null. */
export const observedEntries = (output: Output): string | null => (isOfRoute(output) ? null : pathOf(output));

/** The paths of all observed routes. */
export const pathsOfRoutes = (outputs: readonly Output[]): readonly string[] =>
  outputs.flatMap((output) => observedRoute(output) ?? []);

/** The paths of all observed choices of entries. */
export const pathsOfEntries = (outputs: readonly Output[]): readonly string[] =>
  outputs.flatMap((output) => observedEntries(output) ?? []);

/** The result with the number of tokens, or of entries for each token, that an observed choice chose. */
export const countName = (path: string): string => `${path}.count`;
/** The result of a training step with the number of tokens for each entry of an observed choice, u32[E]. */
export const loadName = (path: string): string => `${path}.load`;
/** The load before a capacity dropped some of the choice's tokens. */
export const wishedName = (path: string): string => `${path}.wished`;
