// Strings that choose among options: a parameter that a block does nothing with but compare it to literals takes one of those.
import type { Span } from "../diagnostics/span.js";
import type { Block, Param } from "../syntax/ast.js";
import type { Any } from "./context.js";
import { namesOf } from "./instantiate.js";
import type { Session } from "./session.js";
import { nearest } from "./suggest.js";

/** Warns of a string that is none of the parameter's options; `span` is where it was given. */
export function checkOption(session: Session, block: Block, param: Param, value: Any, span: Span): void {
  if (param.type.kind !== "string" || value.kind !== "string") return;
  const options = optionsOf(block, param);
  if (options === null || options.includes(value.value)) return;
  const { text } = param.name;
  session.report("unknown-option", { callee: block.name.text, name: text, value: value.value, options, suggestion: nearest(value.value, options) }, span);
}

const known = new WeakMap<Param, readonly string[] | null>();

/** The default and what the parameter is compared with, in order; null where it is never compared, or used otherwise. */
function optionsOf(block: Block, param: Param): readonly string[] | null {
  const before = known.get(param);
  if (before !== undefined) return before;
  const uses = usesOf(block, param.name.text);
  const compared = uses.flatMap((u) => (u.literal === null ? [] : [u.literal]));
  const first = param.default?.kind === "string" ? [param.default.value] : [];
  // A default that is computed may be anything.
  const open = compared.length === 0 || compared.length < uses.length || (param.default !== null && first.length === 0);
  const options = open ? null : [...new Set([...first, ...compared])];
  known.set(param, options);
  return options;
}

interface Use {
  /** What it is compared with; null where it is used otherwise. */
  readonly literal: string | null;
}

/** Where a block mentions its parameter. Function bodies see a member of the same name instead. */
function usesOf(block: Block, name: string): readonly Use[] {
  const hidden = namesOf(block.members).includes(name);
  const uses: Use[] = [];
  const todo: unknown[] = [block.params, block.members];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (!isNode(node)) continue;
    const { kind, left, right } = node;
    if (kind === "name" && node["name"] === name) uses.push({ literal: null });
    if (kind === "binary" && (node["op"] === "==" || node["op"] === "!=")) {
      const literal = literalBeside(left, right, name) ?? literalBeside(right, left, name);
      if (literal !== null) {
        uses.push({ literal });
        continue;
      }
    }
    for (const [key, child] of Object.entries(node)) if (!(hidden && kind === "function" && key === "body")) todo.push(child);
  }
  return uses.reverse();
}

/** Nodes of the tree and lists of them. Marked boundary: the walk looks at every node alike, by the fields that all kinds have. */
const isNode = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null;

function literalBeside(a: unknown, b: unknown, name: string): string | null {
  if (!isNode(a) || !isNode(b) || a["kind"] !== "name" || a["name"] !== name) return null;
  return b["kind"] === "string" && typeof b["value"] === "string" ? b["value"] : null;
}
