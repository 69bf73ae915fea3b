// Generic traversal of the syntax tree, and the members of a block.
import type { Member, MemberIf } from "../syntax/ast.js";

/**
 * Whether a value is a node of the tree or a list of nodes. Cast: the walk treats all kinds of nodes alike, by their
 * fields.
 */
export const isNode = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;

/** Members, including both branches of an `if`. */
export const allMembers = (members: readonly Member[]): readonly Exclude<Member, MemberIf>[] =>
  members.flatMap((m) => (m.kind === "member-if" ? [...allMembers(m.then), ...allMembers(m.else)] : [m]));

/** Names of the sub-blocks, weights and states among members, including both branches of an `if`. */
export const namesOf = (members: readonly Member[]): string[] =>
  allMembers(members).flatMap((m) => (m.kind === "function" || m.kind === "names" ? [] : [m.name.text]));
