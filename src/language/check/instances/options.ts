// Detects string parameters that are options: a parameter that a block only compares with literals must equal one of
// those literals, unless an `else` handles other strings.
import type { Span } from "../../diagnostics/span.js";
import type { Block, Param } from "../../syntax/ast.js";
import type { ConstValue } from "../model/context.js";
import { isNode, namesOf } from "../../names/definitions.js";
import type { Checker } from "../model/checker.js";
import { nearest } from "../../../ground/numerics/nearest.js";

/** Warns of a string outside the parameter's options; `span` is the argument's span. */
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
  const { uses, chains } = usesOf(block, new Set(strings.map((p) => p.name.text)));
  const options = new Map<string, readonly string[]>();
  for (const { name, default: value } of strings) {
    const literals = uses.get(name.text) ?? [];
    const compared = literals.filter((l) => l !== null);
    const first = value?.kind === "string" ? [value.value] : [];
    // A computed default may be any string.
    const open = compared.length === 0 || compared.length < literals.length || (value !== null && first.length === 0);
    if (open) continue;
    const all = new Set([...first, ...compared]);
    // If every known option has a branch, the last `else` is for other strings.
    const handled = chains.some((chain) => chain.name === name.text && chain.literals.size === all.size);
    if (!handled) options.set(name.text, [...all]);
  }
  return options;
}

/** An `if` with an `else`, and the `if`s in its `else` branches, that compare one parameter with literals only. */
interface Chain {
  readonly name: string;
  readonly literals: ReadonlySet<string>;
}

/** The chain that a node begins. Null for other nodes, and if some strings reach no branch. */
function chainOf(node: Readonly<Record<string, unknown>>): Chain | null {
  let name: string | null = null;
  const literals = new Set<string>();
  for (let at: unknown = node; isIf(at);) {
    const comparison = comparisonOf(at["condition"]);
    if (comparison === null || (name ?? comparison.name) !== comparison.name) break;
    name = comparison.name;
    literals.add(comparison.literal);
    if (comparison.isUnequal) break; // the first branch handles all other strings
    const rest = at["else"];
    const [only, ...more] = Array.isArray(rest) ? (rest as readonly unknown[]) : [rest]; // members, or an expression
    if (only === undefined) return null;
    at = more.length === 0 ? only : null;
  }
  return name === null ? null : { name, literals };
}

const isIf = (node: unknown): node is Readonly<Record<string, unknown>> =>
  isNode(node) && (node["kind"] === "if" || node["kind"] === "member-if");

/** A parameter and the literal compared with it, by `==` or `!=`. */
function comparisonOf(node: unknown): (Compared & { readonly isUnequal: boolean }) | null {
  if (!isNode(node) || node["kind"] !== "binary" || (node["op"] !== "==" && node["op"] !== "!=")) return null;
  const pair = literalBeside(node["left"], node["right"]) ?? literalBeside(node["right"], node["left"]);
  return pair && { ...pair, isUnequal: node["op"] === "!=" };
}

interface Compared {
  readonly name: string;
  readonly literal: string;
}

/**
 * For each of these parameters: the literals it is compared with (null for any other use), and the `if` chains with
 * such comparisons. In function bodies a member with the same name shadows the parameter.
 */
function usesOf(
  block: Block,
  names: ReadonlySet<string>,
): { readonly uses: ReadonlyMap<string, readonly (string | null)[]>; readonly chains: readonly Chain[] } {
  const chains: Chain[] = [];
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
    const { kind } = node;
    const chain = isIf(node) ? chainOf(node) : null;
    if (chain !== null && seen(chain.name, inBody)) chains.push(chain);
    if (kind === "name" && seen(node["name"], inBody)) note(node["name"], null);
    const compared = comparisonOf(node);
    if (compared !== null && seen(compared.name, inBody)) {
      note(compared.name, compared.literal);
      continue;
    }
    for (const [key, child] of Object.entries(node))
      todo.push({ node: child, inBody: inBody || (kind === "function" && key === "body") });
  }
  for (const found of uses.values()) found.reverse();
  return { uses, chains };
}

function literalBeside(a: unknown, b: unknown): Compared | null {
  if (!isNode(a) || !isNode(b) || a["kind"] !== "name" || typeof a["name"] !== "string") return null;
  return b["kind"] === "string" && typeof b["value"] === "string" ? { name: a["name"], literal: b["value"] } : null;
}
