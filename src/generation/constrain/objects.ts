// Objects of a schema: their properties in the schema's order, those that may be absent, and others.
import { quotedName } from "../../ground/base/shown.js";
import {
  charactersOf,
  choice,
  choiceOf,
  complement,
  type Expression,
  NOTHING,
  optional,
  type Range,
  repeat,
  sequence,
  text,
} from "./expression.js";
import { bracketed, CHARACTER, comma, ESCAPED, member, quoted, STRING } from "./json.js";
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
  const others =
    additionalProperties === undefined ? names.length === 0 && !("properties" in schema) : additionalProperties;
  const extra =
    others === false
      ? null
      : compiler.define(
          member(
            names.length === 0 ? STRING : quoted(otherThan(names, place, compiler)),
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
function otherThan(names: readonly string[], place: string, compiler: SchemaCompiler): Expression {
  const any = repeat(CHARACTER, 0, Infinity);
  const branches = branchesOf(names, place);
  // Those that come after are made before.
  const made = new Map<Branch, Expression>();
  for (const branch of branches.toReversed()) {
    const taken = [...branch.next.keys()].map((point): Range => [point, point]);
    const own = choiceOf([
      ...(branch.end ? [] : [NOTHING]),
      sequence(charactersOf(complement([...taken, ...ESCAPED])), any),
      ...[...branch.next].map(([point, next]) => sequence(text(String.fromCodePoint(point)), made.get(next)!)),
    ]);
    made.set(branch, branch.depth % DEEP === 0 && branch.depth > 0 ? compiler.define(own) : own);
  }
  return made.get(branches[0]!)!; // the root
}

/** The beginnings of names, each before those that go on. A name ends before an escape: others have none there. */
function branchesOf(names: readonly string[], place: string): readonly Branch[] {
  const root: Branch = { depth: 0, next: new Map(), end: false };
  const all = [root];
  for (const name of names) {
    let branch = root;
    let whole = true;
    for (const character of name) {
      const point = character.codePointAt(0)!; // it is a character
      whole = !ESCAPED.some(([low, high]) => low <= point && point <= high);
      if (!whole) break;
      let next = branch.next.get(point);
      if (!next) {
        branch.next.set(point, (next = { depth: branch.depth + 1, next: new Map(), end: false }));
        if (all.push(next) > MOST_BRANCHES)
          failAt(
            at(place, "properties"),
            `has names of more than ${MOST_BRANCHES} characters`,
            "set additionalProperties to false: names of other properties must differ from all of them",
          );
      }
      branch = next;
    }
    branch.end ||= whole;
  }
  return all;
}

/** The beginning of some names: what follows it in them. */
interface Branch {
  readonly depth: number;
  /** By its next character. */
  readonly next: Map<number, Branch>;
  /** Whether it is a whole name. */
  end: boolean;
}

/** More take more states than a grammar may have. */
const MOST_BRANCHES = 10_000;
/** An expression that nests deeper is in several rules. */
const DEEP = 64;
