// JSON schemas: every text is JSON that the schema describes, and keywords that modc does not follow are refused.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileForm, ConstraintError } from "../../../src/generation/constrain/index.js";
import { random } from "../../random.js";
import { validates } from "./validates.js";
import { has, machineOf, walk } from "./walks.js";

const compiled = (schema: unknown) => machineOf({ kind: "schema", schema });
const faultOf = (schema: unknown): string => {
  try {
    compileForm({ kind: "schema", schema });
  } catch (fault) {
    if (fault instanceof ConstraintError) return fault.message;
    throw fault;
  }
  return "";
};

const NAMES = ["a", "ab", "b", "name", 'q"uote', "ü"];
const bounds = fc.tuple(fc.integer({ min: -1200, max: 1200 }), fc.integer({ min: 1, max: 1500 }));
const leaf = fc.oneof(
  fc.constantFrom(
    { type: "boolean" },
    { type: "null" },
    { type: "string" },
    { type: "number" },
    { type: "integer" },
    {},
  ),
  fc.constantFrom({ type: ["string", "null"] }, { enum: ["x", 'y"', 3, null, { a: [1] }] }, { const: -7.5 }),
  fc.tuple(fc.nat(4), fc.nat(5)).map(([a, b]) => ({ type: "string", minLength: a, maxLength: a + b })),
  fc.constantFrom("^[a-c]{2,4}$", "[0-9]$", '^"\\\\', "^(x|yz)*\\n?$", "^[^a-z\\x00-\\x7f]+$").map((pattern) => ({
    type: "string",
    pattern,
  })),
  fc.tuple(bounds, fc.boolean(), fc.boolean(), fc.constantFrom("integer", "number")).map(([[a, n], lo, hi, type]) => ({
    type,
    [lo ? "minimum" : "exclusiveMinimum"]: a,
    [hi ? "maximum" : "exclusiveMaximum"]: a + n + 1,
  })),
  fc
    .tuple(fc.integer({ min: -300, max: 300 }), fc.constantFrom("minimum", "exclusiveMinimum", "maximum"))
    .map(([a, name]) => ({ type: "number", [name]: a })),
);
const { schema: schemas } = fc.letrec<{ schema: unknown; leaf: unknown }>((tie) => ({
  leaf,
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    tie("leaf"),
    fc
      .record({
        names: fc.uniqueArray(fc.constantFrom(...NAMES), { maxLength: 4 }),
        parts: fc.array(tie("schema"), { minLength: 4, maxLength: 4 }),
        needed: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        others: fc.option(fc.oneof(fc.constant(true), fc.constant(false), tie("leaf")), { nil: undefined }),
      })
      .map(({ names, parts, needed, others }) => ({
        type: "object",
        properties: Object.fromEntries(names.map((name, i) => [name, parts[i]])),
        required: names.filter((_, i) => needed[i]),
        ...(others !== undefined && { additionalProperties: others }),
      })),
    fc
      .tuple(tie("schema"), fc.nat(2), fc.nat(3))
      .map(([items, a, b]) => ({ type: "array", items, minItems: a, maxItems: a + b })),
    fc.tuple(fc.array(tie("schema"), { minLength: 1, maxLength: 3 }), fc.boolean()).map(([prefixItems, items]) => ({
      type: "array",
      prefixItems,
      items,
    })),
    fc.array(tie("schema"), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
}));

describe("a text under a schema", () => {
  it("parses, and is as the schema describes it", { tags: "long" }, () => {
    let [ended, all] = [0, 0];
    fc.assert(
      fc.property(schemas, fc.nat(), (schema, seed) => {
        const machine = compiled(schema);
        const rng = random(seed);
        for (let i = 0; i < 3; i++) {
          machine.begin(machine.start);
          const text = walk(machine, rng, 600);
          all++;
          if (text === null) continue;
          ended++;
          expect(validates(schema, JSON.parse(text)), text).toBe(true);
        }
      }),
      { seed: 34, numRuns: 150 },
    );
    expect(ended / all).toBeGreaterThan(0.6);
  });

  it("may be any that the schema describes, with its properties in their order", () => {
    const person = compiled({
      type: "object",
      properties: {
        name: { type: "string" },
        age: { type: "integer", minimum: 0 },
        mail: { anyOf: [{ type: "string", format: "email" }, { type: "null" }] },
        born: { type: "string", format: "date" },
      },
      required: ["name", "mail"],
      additionalProperties: { type: "array", items: { type: "number" } },
    });
    for (const value of [
      { name: 'Ahab ✓ "q" \\ \n', age: 58, mail: null },
      { name: "", mail: "a.b@sea.example.org", born: "2024-02-29", nam: [1.5, -2e10], names: [] },
      { name: "x", mail: null, zz: [0] },
    ])
      for (const space of [0, 2])
        expect(has(person, JSON.stringify(value, null, space)), JSON.stringify(value)).toBe(true);
    for (const text of [
      '{"name":"x"}',
      '{"name":"x","mail":null,"name":[1]}',
      '{"name":"x","mail":null,"born":"2023-02-29"}',
      '{"name":"x","age":-1,"mail":null}',
      '{"mail":null,"name":"x"}',
      '{"name":"x","mail":null} ',
      '{"name":"a\nb","mail":null}',
      '{"name":"\\ud800","mail":null}',
    ])
      expect(has(person, text), text).toBe(false);
  });

  it("follows references, also to what holds them", () => {
    const tree = compiled({
      $ref: "#/$defs/node",
      $defs: {
        node: {
          type: "object",
          properties: { value: { type: "integer" }, children: { type: "array", items: { $ref: "#/$defs/node" } } },
          required: ["value", "children"],
        },
      },
    });
    const deep = (n: number): unknown => ({ value: n, children: n === 0 ? [] : [deep(n - 1), deep(0)] });
    expect(has(tree, JSON.stringify(deep(6)))).toBe(true);
    expect(has(tree, JSON.stringify({ value: 1, children: [{}] }))).toBe(false);
  });

  it("takes one of the alternatives that differ by a property", () => {
    const kinds = ["a", "b"].map((kind) => ({
      type: "object",
      properties: { kind: { const: kind }, [kind]: { type: "integer" } },
      required: ["kind", kind],
    }));
    const machine = compiled({ oneOf: [...kinds, { type: "null" }] });
    expect(has(machine, '{"kind":"b","b":1}')).toBe(true);
    expect(has(machine, '{"kind":"a","b":1}')).toBe(false);
  });
});

it("an array has as many of its first items as there may be", () => {
  const machine = compiled({ type: "array", prefixItems: [{ type: "null" }, { type: "boolean" }], maxItems: 1 });
  expect(["[null]", "[null,true]", "[]"].map((text) => has(machine, text))).toEqual([true, false, false]);
});

it("names of other properties differ from a long one", () => {
  const [long, short] = ["a".repeat(900), "a".repeat(70)];
  const properties = { [long]: { type: "null" }, [short]: { type: "null" } };
  const machine = compiled({ type: "object", properties, additionalProperties: { type: "boolean" } });
  const other = `${"a".repeat(899)}b`;
  for (const name of [other, `${long}a`, `${short}b`, "", "b", "a".repeat(64)])
    expect(has(machine, JSON.stringify({ [name]: true })), name).toBe(true);
  for (const name of [long, short]) {
    expect(has(machine, JSON.stringify({ [name]: true })), name).toBe(false);
    expect(has(machine, JSON.stringify({ [name]: null })), name).toBe(true);
  }
});

describe("a schema", () => {
  it.each([
    [{ type: "integer", multipleOf: 3 }, "multipleOf"],
    [{ type: "array", uniqueItems: true }, "uniqueItems"],
    [{ not: { type: "null" } }, "not"],
    [{ type: "object", patternProperties: {} }, "patternProperties"],
    [{ type: "object", properties: { a: { if: {} } } }, "properties.a"],
    [{ allOf: [{ type: "object" }, { type: "object" }] }, "allOf"],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "oneOf"],
    [{ type: "string", pattern: "^(?=a)" }, "looks ahead"],
    [{ type: "string", pattern: "^(a)\\1$" }, "back"],
    [{ type: "string", pattern: "a\\b" }, "boundary"],
    [{ type: "string", pattern: "^a$", minLength: 1 }, "minLength"],
    [{ type: "string", pattern: "(" }, "not a regular expression"],
    [{ type: "string", format: "iri" }, "format"],
    [{ type: "number", minimum: 0.5 }, "minimum"],
    [{ type: "integer", minimum: 2, maximum: 1 }, "limits"],
    [{ type: "object", required: ["a"] }, '"a"'],
    [{ $ref: "https://example.org/x" }, "$ref"],
    [{ $ref: "#/$defs/none" }, "none"],
    [{ $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } }, "itself"],
    [{ $ref: "#", type: "string" }, "type"],
    [{ type: "text" }, "type"],
    [{ enum: [] }, "enum"],
    [false, "false"],
    [3, "object"],
    [{ type: "object", additionalProperties: null }, "additionalProperties of the schema must be an object"],
    [{ type: "array", items: null }, "items of the schema must be an object"],
    [{ type: "integer", minimum: 1e17, maximum: 1e18 }, "only numbers beyond 2^53 are within"],
    [{ type: "integer", maximum: -1e17 }, "only numbers beyond 2^53 are within"],
    [{ type: "array", prefixItems: [true, true], maxItems: 1, minItems: 2 }, "at least 2 items, and at most 1"],
    [{ __proto__: null, constructor: 1 }, "constructor"],
  ])("is refused by name for what a text cannot be held to: %j", (schema, name) => {
    expect(faultOf(schema)).toContain(name);
  });

  it("whose values never end is refused", () => {
    const endless = { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] };
    expect(faultOf(endless)).toContain("without end");
  });

  it("that would take long is refused, or takes little", () => {
    let nested: unknown = { type: "null" };
    for (let i = 0; i < 2000; i++) nested = { type: "array", items: nested };
    expect(faultOf(nested)).toContain("nests");
    expect(faultOf({ type: "string", maxLength: 1e9 })).toContain("states");
    expect(faultOf({ type: "string", pattern: "^((a{1,1000}){1,1000}){1,1000}$" })).toBe("");
    expect(faultOf({ type: "string", pattern: `^${"(".repeat(400)}a${")".repeat(400)}$` })).toContain("deep");
    expect(faultOf({ enum: Array.from({ length: 2000 }, (_, i) => `value ${i}`) })).toBe("");
    const many = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`p${i}`, { type: "boolean" }]));
    expect(faultOf({ type: "object", properties: many })).toBe("");
  });
});
