// The syntax tree as those see it who ask what it holds: a walk over all kinds of nodes, and the names among members.
import type { Member } from "../../syntax/ast.js";

/**
 * Nodes of the tree and lists of them. Marked boundary: the walk looks at every node alike, by the fields that all
 * kinds have.
 */
export const isNode = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** Names of the sub-blocks and weights among members, those in either branch of an `if` too. */
export function namesOf(members: readonly Member[]): string[] {
  return members.flatMap((m) => {
    switch (m.kind) {
      case "sub-block":
      case "weight":
        return [m.name.text];
      case "member-if":
        return [...namesOf(m.then), ...namesOf(m.else)];
      case "function":
      case "names":
        return [];
      default:
        return m satisfies never;
    }
  });
}
