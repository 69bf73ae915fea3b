// Detects string parameters that are options: a parameter that a block only compares with literals must be one of those
// literals.
import type { Span } from "../../diagnostics/span.js";
import type { Block, Param } from "../../syntax/ast.js";
import type { ConstValue } from "../context.js";
import { isNode, namesOf } from "../names/nodes.js";
import type { Checker } from "../checker.js";
import { nearest } from "../../size/nearest.js";

/** Warns of a string that is not one of the parameter's options; `span` is that of the argument. */
export function checkOption(checker: Checker, block: Block, param: Param, value: ConstValue, span: Span): void {
  if (param.type.kind !== "string" || value.kind !== "string") return;
  const options = optionsOf(block, param);
  if (options === null || options.includes(value.value)) return;
  const { text } = param.name;
  checker.report(
    "unknown-option",
    { callee: block.name.text, name: text, value: value.value, options, suggestion: nearest(value.value, options) },
    span,
  );
}

/**
 * The options of each parameter of a block that has any: its default and the literals it is compared with, in order.
 */
const known = new WeakMap<Block, ReadonlyMap<string, readonly string[]>>();

function optionsOf(block: Block, { name }: Param): readonly string[] | null {
  let options = known.get(block);
  if (options === undefined) known.set(block, (options = findOptions(block)));
  return options.get(name.text) ?? null;
}

/** A parameter that is never compared, or is used in another way, has no options. */
function findOptions(block: Block): ReadonlyMap<string, readonly string[]> {
  const strings = block.params.filter((p) => p.type.kind === "string");
  const uses = usesOf(block, new Set(strings.map((p) => p.name.text)));
  const options = new Map<string, readonly string[]>();
  for (const { name, default: value } of strings) {
    const literals = uses.get(name.text) ?? [];
    const compared = literals.filter((l) => l !== null);
    const first = value?.kind === "string" ? [value.value] : [];
    // A computed default may be any string.
    const open = compared.length === 0 || compared.length < literals.length || (value !== null && first.length === 0);
    if (!open) options.set(name.text, [...new Set([...first, ...compared])]);
  }
  return options;
}

/**
 * The uses of a block's parameters of these names: the literal of a comparison, or null for any other use. In function
 * bodies a member of the same name shadows the parameter.
 */
function usesOf(block: Block, names: ReadonlySet<string>): ReadonlyMap<string, readonly (string | null)[]> {
  const hidden = new Set(namesOf(block.members));
  const uses = new Map<string, (string | null)[]>();
  const note = (name: string, literal: string | null): void => {
    const before = uses.get(name);
    if (before === undefined) uses.set(name, [literal]);
    else before.push(literal);
  };
  const seen = (name: unknown, inBody: boolean): name is string =>
    typeof name === "string" && names.has(name) && !(inBody && hidden.has(name));
  const todo: { readonly node: unknown; readonly inBody: boolean }[] = [
    { node: block.params, inBody: false },
    { node: block.members, inBody: false },
  ];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { node, inBody } = next;
    if (!isNode(node)) continue;
    const { kind, left, right } = node;
    if (kind === "name" && seen(node["name"], inBody)) note(node["name"], null);
    if (kind === "binary" && (node["op"] === "==" || node["op"] === "!=")) {
      const compared = literalBeside(left, right) ?? literalBeside(right, left);
      if (compared !== null && seen(compared.name, inBody)) {
        note(compared.name, compared.literal);
        continue;
      }
    }
    for (const [key, child] of Object.entries(node))
      todo.push({ node: child, inBody: inBody || (kind === "function" && key === "body") });
  }
  for (const found of uses.values()) found.reverse();
  return uses;
}

function literalBeside(a: unknown, b: unknown): { readonly name: string; readonly literal: string } | null {
  if (!isNode(a) || !isNode(b) || a["kind"] !== "name" || typeof a["name"] !== "string") return null;
  return b["kind"] === "string" && typeof b["value"] === "string" ? { name: a["name"], literal: b["value"] } : null;
}
