// Generic traversal of the syntax tree, and the names among members.
import type { Member } from "../../syntax/ast.js";

/**
 * Whether a value is a node of the tree or a list of nodes. Cast: the walk treats all kinds of nodes alike, by their
 * fields.
 */
export const isNode = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** Names of the sub-blocks, weights and states among members, including both branches of an `if`. */
export function namesOf(members: readonly Member[]): string[] {
  return members.flatMap((m) => {
    switch (m.kind) {
      case "sub-block":
      case "weight":
      case "state":
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
