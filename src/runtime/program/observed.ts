// Observed choices among the outputs of a program: routes of tokens, and choices of entries.

/** What says how an output lies, in a graph and in a program. */
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

/** Whether the output is one number for each token that a route chose, or sequence: u32[B, K]. */
const isOfRoute = ({ shape, packing }: Output): boolean => packing !== null && shape.length === 2;

/** The path of the observed route of which this output is `<path>.index`; null for any other output. */
export const observedRoute = (output: Output): string | null => (isOfRoute(output) ? pathOf(output) : null);

/** The path of the observed choice of entries of which this output is `<path>.index`, u32[B, …, K]; else null. */
export const observedEntries = (output: Output): string | null => (isOfRoute(output) ? null : pathOf(output));

/** The paths of all observed routes. */
export const pathsOfRoutes = (outputs: readonly Output[]): readonly string[] =>
  outputs.flatMap((output) => observedRoute(output) ?? []);

/** The paths of all observed choices of entries. */
export const pathsOfEntries = (outputs: readonly Output[]): readonly string[] =>
  outputs.flatMap((output) => observedEntries(output) ?? []);

/** The result with how many tokens, or entries of each token, an observed choice chose. */
export const countName = (path: string): string => `${path}.count`;
/** The result of a training step with how many tokens have each entry of an observed choice, u32[E]. */
export const loadName = (path: string): string => `${path}.load`;
/** The same of the choice that a capacity left this one of. */
export const wishedName = (path: string): string => `${path}.wished`;
