// JSON schemas (draft 2020-12) as grammars whose texts are the values that the schema describes. A keyword that a text
// cannot be held to as it grows is refused by its name; none is passed over.
import { addTo } from "../../ground/base/collections.js";
import { quotedName } from "../../ground/base/shown.js";
import {
  choice,
  rule,
  sequence,
  text,
  NOTHING,
  optional,
  repeat,
  choiceOf,
  type Expression,
  type Rules,
} from "./expression.js";
import { ROOT } from "./gbnf.js";
import { ANY_ARRAY, ANY_OBJECT, ANY_VALUE, LITERAL_RULES, bracketed, comma } from "./json.js";
import { numberOf } from "./numbers.js";
import { objectOf } from "./objects.js";
import { Overlaps } from "./overlap.js";
import { stringOf, countOf } from "./strings.js";
import {
  at,
  failAt,
  isSchemaObject,
  KINDS,
  kindsOf,
  type Kind,
  type SchemaCompiler,
  type SchemaObject,
} from "./schema-object.js";

/** Keywords that say nothing of a value. */
const NOTES = ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];
const ABOVE = ["$schema", "$id", "$defs", "definitions"];
const OF_KIND: Readonly<Record<Kind, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties"],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
};
/** Keywords that say all of a value: of others only `type` may stand with the first two. */
const WHOLE = ["enum", "const", "$ref", "anyOf", "oneOf", "allOf"];
const KNOWN: ReadonlySet<string> = new Set([...NOTES, ...ABOVE, "type", ...WHOLE, ...Object.values(OF_KIND).flat()]);

/** Limits on a schema, so that nobody waits long for one. */
const MOST_SCHEMAS = 10_000;
const MOST_DEPTH = 100;
const MOST_ALTERNATIVES = 200;

/** Throws ConstraintError for what is not a schema, and for keywords that modc does not follow. */
export function schemaRules(schema: unknown): Rules {
  return new SchemaRules(schema).rules;
}

/** Any JSON object, as `response_format: {"type": "json_object"}` asks for. */
export const anyObjectRules = (): Rules => new Map([...LITERAL_RULES, [ROOT, ANY_OBJECT]]);

class SchemaRules implements SchemaCompiler {
  readonly rules = new Map<string, Expression>(LITERAL_RULES);
  readonly #root: unknown;
  #schemas = 0;
  #depth = 0;
  readonly #overlaps = new Overlaps(
    (schema, place) => this.#resolve(schema, place),
    () => failAt("", "has too many alternatives in its oneOf to compare them", "write anyOf"),
  );

  constructor(root: unknown) {
    this.#root = root;
    this.rules.set(ROOT, this.value(root, ""));
  }

  define(expression: Expression): Expression {
    if (expression.kind === "rule") return expression;
    const name = `part ${this.rules.size}`;
    this.rules.set(name, expression);
    return rule(name);
  }

  value(schema: unknown, place: string): Expression {
    if (++this.#schemas > MOST_SCHEMAS) failAt("", `has more than ${MOST_SCHEMAS} parts`);
    if (++this.#depth > MOST_DEPTH) failAt("", `nests more than ${MOST_DEPTH} deep`);
    const found = this.#value(schema, place);
    this.#depth--;
    return found;
  }

  #value(schema: unknown, place: string): Expression {
    if (schema === true) return ANY_VALUE;
    if (schema === false) return failAt(place, "is false, which no value satisfies");
    if (!isSchemaObject(schema)) return failAt(place, "must be an object, true or false");
    this.#expectKnown(schema, place);
    const whole = WHOLE.filter((name) => Object.hasOwn(schema, name));
    if (whole.length === 0) return this.#ofKinds(schema, place);
    const [name] = whole as [string]; // there is one
    const with_ = ["enum", "const"].includes(name) ? ["type"] : [];
    const beside = Object.keys(schema).find((own) => own !== name && ![...NOTES, ...ABOVE, ...with_].includes(own));
    if (beside !== undefined) return failAt(place, `has ${beside} next to ${name}, which modc does not join`);
    if (name === "$ref") return this.#reference(schema[name], at(place, name));
    if (name === "const") return this.#literals([schema[name]], schema, place);
    const list = schema[name];
    if (!Array.isArray(list) || list.length === 0) return failAt(at(place, name), "must be a list of at least one");
    if (name === "enum") return this.#literals(list, schema, place);
    if (list.length > MOST_ALTERNATIVES) return failAt(at(place, name), `has more than ${MOST_ALTERNATIVES} schemas`);
    if (name === "allOf" && list.length > 1)
      return failAt(at(place, name), "has several schemas, which modc does not join", "write them as one");
    if (name === "oneOf") this.#expectApart(list, at(place, name));
    return choice(...list.map((one, i) => this.value(one, at(place, name, i))));
  }

  #expectKnown(schema: SchemaObject, place: string): void {
    const unknown = Object.keys(schema).find((name) => !KNOWN.has(name));
    if (unknown !== undefined) failAt(place, `has the keyword ${quotedName(unknown)}, which modc does not support`);
    if (place !== "" && Object.hasOwn(schema, "$id")) failAt(place, "has $id, which modc supports at its top only");
  }

  #ofKinds(schema: SchemaObject, place: string): Expression {
    const kinds = kindsOf(schema) ?? this.#kindsByKeywords(schema);
    if (typeof kinds === "string") return failAt(at(place, "type"), kinds);
    if (kinds === null) return ANY_VALUE;
    return choice(...kinds.map((kind) => this.#ofKind(kind, schema, place)));
  }

  /** The kinds of which a schema without a type says something; null if it says nothing. */
  #kindsByKeywords(schema: SchemaObject): readonly Kind[] | null {
    const kinds = KINDS.filter(
      (kind) => kind !== "integer" && OF_KIND[kind].some((name) => Object.hasOwn(schema, name)),
    );
    return kinds.length === 0 ? null : kinds;
  }

  #ofKind(kind: Kind, schema: SchemaObject, place: string): Expression {
    switch (kind) {
      case "object": {
        const bare = !OF_KIND.object.some((name) => Object.hasOwn(schema, name));
        return bare ? ANY_OBJECT : objectOf(schema, place, this);
      }
      case "array": {
        const bare = !OF_KIND.array.some((name) => Object.hasOwn(schema, name));
        return bare ? ANY_ARRAY : arrayOf(schema, place, this);
      }
      case "string":
        return stringOf(schema, place);
      case "number":
      case "integer":
        return numberOf(schema, place, kind === "integer");
      case "boolean":
        return choice(text("true"), text("false"));
      case "null":
        return text("null");
      default:
        return kind satisfies never;
    }
  }

  #literals(values: readonly unknown[], schema: SchemaObject, place: string): Expression {
    const kinds = kindsOf(schema);
    if (typeof kinds === "string") return failAt(at(place, "type"), kinds);
    const fitting = values.filter((value) => kinds === null || kinds.some((kind) => isOfKind(value, kind)));
    if (fitting.length === 0) return failAt(place, "has no value of its type");
    return literals(fitting.map((value) => JSON.stringify(value)));
  }

  #reference(reference: unknown, place: string): Expression {
    if (typeof reference !== "string" || !/^#(?:\/|$)/.test(reference))
      return failAt(place, "must name a part of the schema, such as #/$defs/name");
    const name = `ref ${reference}`;
    if (!this.rules.has(name)) {
      const target = this.#find(reference, place);
      this.rules.set(name, sequence()); // it may name itself on the way
      this.rules.set(name, this.value(target, reference));
    }
    return rule(name);
  }

  #find(reference: string, place: string): unknown {
    let found: unknown = this.#root;
    for (const part of reference.split("/").slice(1)) {
      const name = decoded(part).replaceAll("~1", "/").replaceAll("~0", "~");
      if (typeof found !== "object" || found === null || !Object.hasOwn(found, name))
        return failAt(place, `names ${quotedName(reference)}, which the schema does not have`);
      found = (found as Readonly<Record<string, unknown>>)[name];
    }
    return found;
  }

  /** A value that two of the schemas describe would be refused. */
  #expectApart(list: readonly unknown[], place: string): void {
    for (const [i, one] of list.entries())
      for (let j = i + 1; j < list.length; j++)
        if (this.#overlaps.of(one, list[j], place))
          failAt(
            place,
            `has the schemas ${i} and ${j}, which may describe one value both`,
            "write anyOf, or give each a required property whose const differs",
          );
  }

  /** The schema that a reference leads to, also by others. */
  #resolve(schema: unknown, place: string): unknown {
    let found = schema;
    for (let steps = 0; steps < MOST_DEPTH && isSchemaObject(found) && typeof found["$ref"] === "string"; steps++)
      found = this.#find(found["$ref"], place);
    return found;
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function isOfKind(value: unknown, kind: Kind): boolean {
  if (kind === "null") return value === null;
  if (kind === "array") return Array.isArray(value);
  if (kind === "object") return isSchemaObject(value);
  if (kind === "integer") return Number.isInteger(value);
  return typeof value === kind;
}

function arrayOf(schema: SchemaObject, place: string, compiler: SchemaCompiler): Expression {
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

function literals(texts: readonly string[]): Expression {
  return among([...new Set(texts)].sort());
}

/** Of texts in order. */
function among(sorted: readonly string[]): Expression {
  const [first = "", last = ""] = [sorted[0], sorted.at(-1)];
  if (sorted.length === 1) return text(first);
  const a = Array.from(first);
  const b = Array.from(last);
  let shared = 0;
  while (shared < a.length && a[shared] === b[shared]) shared++;
  const prefix = a.slice(0, shared).join("");
  const groups = new Map<string, string[]>();
  for (const one of sorted) {
    const rest = one.slice(prefix.length);
    const point = rest.codePointAt(0);
    const key = point === undefined ? "" : String.fromCodePoint(point);
    addTo(groups, key, rest);
  }
  const parts = [...groups].map(([key, group]) => (key === "" ? NOTHING : among(group)));
  return prefix === "" ? choiceOf(parts) : sequence(text(prefix), choiceOf(parts));
}
