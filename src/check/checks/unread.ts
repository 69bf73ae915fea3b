// Warns of weights, states and sub-blocks that no function mentions in any phase. Works on the text, and so for all
// instances.
import type { Block, Declaration, Member } from "../../syntax/ast.js";
import type { LoadedFile } from "../names/bindings.js";
import { isNode } from "../names/nodes.js";
import type { Checker } from "../checker.js";

/**
 * Checks all blocks of the user's files except those to skip. A mention `inner.name` in another block counts as a read.
 */
export function checkUnread(checker: Checker, files: readonly LoadedFile[], skip: (block: Block) => boolean): void {
  const accessed = new Set<string>();
  for (const { tree } of files)
    for (const d of tree.declarations) for (const name of mentionsOf(d).accessed) accessed.add(name);
  for (const { tree, library } of files) {
    if (library) continue;
    for (const d of tree.declarations) if (d.kind === "block" && !skip(d)) checkBlock(checker, d, accessed);
  }
}

function checkBlock(checker: Checker, block: Block, accessed: ReadonlySet<string>): void {
  const { bodies, others } = mentionsOf(block);
  for (const m of flattenMembers(block.members)) {
    if (m.kind !== "weight" && m.kind !== "state" && m.kind !== "sub-block") continue;
    const name = m.name.text;
    if (accessed.has(name) || bodies.has(name) || (m.kind === "sub-block" && others.has(name))) continue;
    checker.report("unread-weight", { kind: m.kind, name }, m.name.span);
  }
}

/** Names that a declaration mentions. */
interface Mentions {
  /** After a dot. */
  readonly accessed: ReadonlySet<string>;
  /** As values in its functions, and in the right-hand sides of its sub-blocks. */
  readonly bodies: ReadonlySet<string>;
  readonly others: ReadonlySet<string>;
}

/** A tree is checked in several phases, and in an editor many times. */
const known = new WeakMap<Declaration, Mentions>();

function mentionsOf(d: Declaration): Mentions {
  let found = known.get(d);
  if (found === undefined) {
    const [accessed, bodies, others] = [new Set<string>(), new Set<string>(), new Set<string>()];
    collectMentions(d, accessed, "member");
    for (const m of d.kind === "block" ? flattenMembers(d.members) : []) {
      if (m.kind === "function") collectMentions(m.body, bodies, "name");
      else if (m.kind === "sub-block") collectMentions(m.value, others, "name");
    }
    known.set(d, (found = { accessed, bodies, others }));
  }
  return found;
}

/** Members, including both branches of an `if`. */
const flattenMembers = (members: readonly Member[]): readonly Member[] =>
  members.flatMap((m) => (m.kind === "member-if" ? [...flattenMembers(m.then), ...flattenMembers(m.else)] : [m]));

/** Nodes that mention a name other than by a name's own node, and as what. */
const MENTIONS: ReadonlyMap<unknown, "name" | "member"> = new Map([
  ["member", "member"],
  ["observe", "name"],
  ["update", "name"],
] as const);

/**
 * Adds every name used as a value below a node (also in `observe x` and `update x`), or every name after a dot. Uses an
 * explicit stack: sums may be long.
 */
function collectMentions(root: unknown, found: Set<string>, kind: "name" | "member"): void {
  const todo: unknown[] = [root];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (!isNode(node)) continue;
    const { name } = node;
    if (node["kind"] === "name" && kind === "name" && typeof name === "string") found.add(name);
    const named = MENTIONS.get(node["kind"]);
    if (named === kind && isNode(name) && typeof name["text"] === "string") found.add(name["text"]);
    for (const child of Object.values(node)) if (isNode(child)) todo.push(child);
  }
}
