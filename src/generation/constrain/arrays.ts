// Arrays of a schema.
import { type Expression, NOTHING, optional, repeat, sequence } from "./expression.js";
import { bracketed, comma } from "./json.js";
import { at, failAt, type SchemaCompiler, type SchemaObject } from "./schema-object.js";
import { countOf } from "./strings.js";

export function arrayOf(schema: SchemaObject, place: string, compiler: SchemaCompiler): Expression {
  const { items, prefixItems = [], uniqueItems = false } = schema;
  if (uniqueItems !== false) failAt(place, "has the keyword uniqueItems, which modc does not support");
  if (Array.isArray(items)) failAt(at(place, "items"), "is a list", "write prefixItems");
  if (!Array.isArray(prefixItems)) return failAt(at(place, "prefixItems"), "must be a list");
  const wanted = countOf(schema, "maxItems", place) ?? Infinity;
  // An array has all of them, or as many as there may be.
  const front = prefixItems.slice(0, wanted).map((item, i) => compiler.value(item, at(place, "prefixItems", i)));
  const rest = items === undefined ? prefixItems.length === 0 : items;
  const least = Math.max(countOf(schema, "minItems", place) ?? 0, front.length);
  const most = rest === false ? Math.min(wanted, front.length) : wanted;
  if (least > most) return failAt(place, `has arrays of at least ${least} items, and at most ${most}`);
  if (most === 0) return bracketed("[", NOTHING, "]");
  const item = rest === false ? NOTHING : compiler.define(compiler.value(rest, at(place, "items")));
  const [first, ...others] = front;
  const more = (from: number): Expression =>
    rest === false ? NOTHING : repeat(sequence(comma, item), Math.max(0, least - from), most - from);
  if (first !== undefined)
    return bracketed("[", sequence(first, ...others.flatMap((one) => [comma, one]), more(front.length)), "]");
  const all = sequence(item, more(1));
  return bracketed("[", least === 0 ? optional(all) : all, "]");
}
