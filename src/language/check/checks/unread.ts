// Warns of weights, states and sub-blocks that no function mentions in any phase. The check works on the text and
// therefore covers all instances.
import type { Block, Declaration, Member } from "../../syntax/ast.js";
import type { LoadedFile } from "../names/bindings.js";
import { allMembers, isNode } from "../../names/definitions.js";
import type { Checker } from "../model/checker.js";

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
  for (const m of allMembers(block.members)) {
    if (m.kind === "function" || m.kind === "names") continue;
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

/** Caches mentions, because a tree is checked in several phases, and in an editor many times. */
const known = new WeakMap<Declaration, Mentions>();

function mentionsOf(d: Declaration): Mentions {
  let isRead = known.get(d);
  if (isRead === undefined) {
    const [accessed, bodies, others] = [new Set<string>(), new Set<string>(), new Set<string>()];
    if (d.kind === "const") collectMentions(d.value, accessed, others);
    else {
      collectMentions(d.params, accessed, null);
      collectOfMembers(d.members, accessed, bodies, others);
    }
    known.set(d, (isRead = { accessed, bodies, others }));
  }
  return isRead;
}

function collectOfMembers(
  members: readonly Member[],
  accessed: Set<string>,
  bodies: Set<string>,
  others: Set<string>,
): void {
  for (const m of members) {
    if (m.kind === "member-if") {
      collectMentions(m.condition, accessed, null);
      collectOfMembers(m.then, accessed, bodies, others);
      collectOfMembers(m.else, accessed, bodies, others);
    } else if (m.kind === "function") {
      collectMentions(m.inputs, accessed, null);
      collectMentions(m.results, accessed, null);
      collectMentions(m.body, accessed, bodies);
    } else collectMentions(m, accessed, m.kind === "sub-block" ? others : null);
  }
}

/** Statements that mention a name without a name node. */
const NAMING: ReadonlySet<unknown> = new Set(["observe", "update"]);

/**
 * Adds to `accessed` every name after a dot below a node, and to `used` every name used as a value, also in `observe x`
 * and `update x`.
 */
function collectMentions(node: unknown, accessed: Set<string>, used: Set<string> | null): void {
  if (Array.isArray(node)) {
    for (const item of node) collectMentions(item, accessed, used);
    return;
  }
  if (!isNode(node) || typeof node["end"] === "number") return; // a span has no names
  const { kind, name } = node;
  if (typeof name === "string") {
    if (kind === "name") used?.add(name);
  } else if (isNode(name) && typeof name["text"] === "string") {
    if (kind === "member") accessed.add(name["text"]);
    else if (NAMING.has(kind)) used?.add(name["text"]);
  }
  for (const field in node) collectMentions(node[field], accessed, used);
}
