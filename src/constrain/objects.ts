// Objects of a schema: their properties in the schema's order, those that may be absent, and others.
import { quotedName } from "../size/shown.js";
import {
  characters,
  choice,
  complement,
  type Expression,
  NOTHING,
  optional,
  type Range,
  repeat,
  sequence,
  text,
} from "./expression.js";
import { bracketed, CHARACTER, comma, member, quoted, STRING } from "./json.js";
import { at, failAt, isSchemaObject, type SchemaCompiler, type SchemaObject } from "./schema-object.js";

export function objectOf(schema: SchemaObject, place: string, compiler: SchemaCompiler): Expression {
  const { properties = {}, required = [], additionalProperties } = schema;
  if (!isSchemaObject(properties)) return failAt(at(place, "properties"), "must be an object");
  if (!Array.isArray(required) || !required.every((name) => typeof name === "string"))
    return failAt(at(place, "required"), "must be a list of names");
  const names = Object.keys(properties);
  const needs = new Set<unknown>(required);
  for (const name of required)
    if (!Object.hasOwn(properties, name))
      failAt(at(place, "required"), `has ${quotedName(name)}, which its properties have not`);
  const members = names.map((name) => ({
    needed: needs.has(name),
    member: compiler.define(
      member(
        text(JSON.stringify(name)),
        compiler.value(properties[name], at(place, "properties", quotedName(name).slice(1, -1))),
      ),
    ),
  }));
  // A schema that names properties and says nothing of others gets no others.
  const others = additionalProperties ?? (names.length === 0 && !("properties" in schema));
  const extra =
    others === false
      ? null
      : compiler.define(
          member(
            names.length === 0 ? STRING : quoted(otherThan(names)),
            compiler.define(compiler.value(others, at(place, "additionalProperties"))),
          ),
        );
  let after = extra === null ? NOTHING : repeat(sequence(comma, extra), 0, Infinity);
  // The rest of an object of which nothing was written yet.
  let first = extra === null ? NOTHING : optional(sequence(extra, after));
  for (const { needed, member: own } of members.toReversed()) {
    const rest = compiler.define(after);
    first = needed ? sequence(own, rest) : choice(sequence(own, rest), compiler.define(first));
    after = needed ? sequence(comma, own, rest) : sequence(optional(sequence(comma, own)), rest);
  }
  return bracketed("{", first, "}");
}

/** The content of a string that differs from all these names. */
function otherThan(names: readonly string[]): Expression {
  const any = repeat(CHARACTER, 0, Infinity);
  const from = (rests: readonly string[]): Expression => {
    const groups = new Map<number, string[]>();
    for (const rest of rests) {
      const point = rest.codePointAt(0);
      if (point === undefined) continue;
      const own = rest.slice(String.fromCodePoint(point).length);
      const group = groups.get(point);
      if (group) group.push(own);
      else groups.set(point, [own]);
    }
    const taken = [...groups.keys()].map((point): Range => [point, point]);
    return choice(
      ...(rests.includes("") ? [] : [NOTHING]),
      sequence(characters(...complement([...taken, ...NEVER])), any),
      ...[...groups]
        .filter(([point]) => !NEVER.some(([low, high]) => low <= point && point <= high))
        .map(([point, own]) => sequence(text(String.fromCodePoint(point)), from(own))),
    );
  };
  return from(names);
}

/** Characters that names of other properties do not differ by: a string has escapes for them. */
const NEVER: readonly Range[] = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
