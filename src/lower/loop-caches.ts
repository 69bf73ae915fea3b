// Caches of the last loop alone. A block that a token goes through several times has one row of keys and values for the
// token, which every call writes over the row of the call before; so a later token sees what the last call has left.
import { isOp, type Node } from "../ir/graph.js";
import { GenerationError } from "./generation-error.js";

/** each: every call of a block has caches of its own. last: its calls share them, and each writes over what was there. */
export const LOOP_CACHES = ["each", "last"] as const;
export type LoopCaches = (typeof LOOP_CACHES)[number];

const HINT = "caches of the last loop alone";

/** `layers.0#2.attn` is of the third call of `layers.0`. */
const withoutCalls = (path: string): string => path.replaceAll(/#\d+/g, "");
const callsOf = (path: string): readonly number[] => [...path.matchAll(/#(\d+)/g)].map(([, n]) => Number(n));

/**
 * For each attention of a block that is called several times, the call path without the numbers of calls, which those
 * that share a cache have in common; with it the place among attentions of one call. Throws GenerationError where
 * no block is, and where the law has no meaning: the first call must have a key for every token of the axis `root`.
 */
export function loopedAttentions(
  nodes: readonly Node[],
  root: string,
  axisOf: (keys: Node) => string,
): ReadonlyMap<Node<"attention">, string> {
  const groups = new Map<string, Node<"attention">[]>();
  const within = new Map<string, number>();
  for (const node of nodes) {
    if (!isOp(node, "attention") || !node.attrs.causal) continue;
    const path = node.origin?.path ?? "";
    const place = within.get(path) ?? 0;
    within.set(path, place + 1);
    const name = `${withoutCalls(path)}${place === 0 ? "" : `.${place}`}`;
    groups.set(name, [...(groups.get(name) ?? []), node]);
  }
  const looped = [...groups].filter(([, own]) => own.length > 1);
  if (looped.length === 0) throw new GenerationError(`${HINT}: no block with attention is called more than once`);
  return new Map(
    looped.flatMap(([path, own]) => {
      expectLoop(path, own, root, axisOf);
      return own.map((node) => [node, path] as const);
    }),
  );
}

function expectLoop(
  path: string,
  own: readonly Node<"attention">[],
  root: string,
  axisOf: (keys: Node) => string,
): void {
  if (axisOf(own[0]!.inputs[1]) !== root)
    throw new GenerationError(`${HINT}: the first call of ${path} has no keys of tokens that a route leaves out`);
  if (own.some((node) => node.inputs[7]))
    throw new GenerationError(`${HINT}: the keys of ${path} have weights, which later calls would change`);
  const calls = own.map((node) => callsOf(node.origin?.path ?? ""));
  if (calls.some((call, i) => i > 0 && !isAfter(call, calls[i - 1]!)))
    throw new GenerationError(`${HINT}: the calls of ${path} are not computed one after the other`);
}

function isAfter(call: readonly number[], before: readonly number[]): boolean {
  const at = call.findIndex((n, i) => n !== before[i]);
  return at >= 0 && call[at]! > (before[at] ?? -1);
}
