// Forms that would take long or much memory: they are refused, or take little.
import { describe, expect, it } from "vitest";
import { TokenGrammar } from "../../../src/generation/constrain/constraints.js";
import { compileForm, ConstraintError, Constraints, type Form } from "../../../src/generation/constrain/index.js";
import { Machine } from "../../../src/generation/constrain/machine.js";
import { tokenTree } from "../../../src/generation/constrain/vocabulary.js";
import { bytesTokenizer } from "../../../src/models/tokenizer/index.js";
import { processorTime } from "../../processor-time.js";

const grammar = (text: string): Form => ({ kind: "grammar", grammar: text });
const schema = (value: unknown): Form => ({ kind: "schema", schema: value });
const pattern = (text: string): Form => ({ kind: "pattern", pattern: text });
const faultOf = (form: Form): string => {
  try {
    compileForm(form);
  } catch (fault) {
    if (fault instanceof ConstraintError) return fault.message;
    throw fault;
  }
  return "";
};

/** Rules whose texts all begin alike, and each of which remembers how long its text is. */
const MANY = Array.from({ length: 1400 }, (_, i) => `r${i}`);
const many = `root ::= ${MANY.join(" | ")}\n${MANY.map((name) => `${name} ::= "a" ${name} "z" | "b"`).join("\n")}`;

describe("a text", () => {
  it("that needs more and more memory is given up, and its rule named", { tags: "long" }, async () => {
    const tree = await tokenTree(bytesTokenizer, 256, async () => {});
    const own = new TokenGrammar(compileForm(grammar(many)), tree);
    const follow = (): void => {
      const text = own.text();
      for (let i = 0; i < 300; i++) {
        text.next();
        text.add(0x61);
      }
    };
    // At 143 tokens there are 200,000 stacks.
    expect(follow).toThrow(/texts of the rule "r\d+" can be read in too many ways at once/);
    const short = own.text();
    for (let i = 0; i < 20; i++) short.add(0x61);
    expect([...short.next().tokens].some((word) => word !== 0)).toBe(true);
  });

  it("goes on where all that was known of its grammar is forgotten on the way", () => {
    const machine = new Machine(compileForm(grammar(many)));
    const bytes = (text: string): readonly number[] => [...new TextEncoder().encode(text)];
    const after = (from: ReturnType<Machine["begin"]>, text: string) =>
      bytes(text).reduce((place, byte) => machine.after(place, byte)!, from);
    const kept = after(machine.start, "aaa");
    let long = machine.start;
    const before = machine.start;
    for (let i = 0; machine.stacks <= 200_000; i++) long = after(machine.begin(long), "a");
    const renewed = machine.begin(kept);
    expect(renewed).not.toBe(kept);
    expect(machine.stacks).toBeLessThan(20_000);
    expect(machine.begin(before)).toBe(machine.start);
    expect(after(renewed, "bzzz").end).toBe(true);
    expect(machine.after(after(renewed, "bzzz"), 0x7a)).toBeNull();
    expect(machine.begin(kept)).toBe(renewed);
  });

  it("of many separate characters takes little time for each token", async () => {
    const separate = Array.from({ length: 9500 }, (_, i) => String.fromCharCode(0x4e00 + 2 * i)).join("");
    const compiled = compileForm(grammar(`root ::= [ a-z${separate}] root "z" | "b"`));
    expect(compiled.states.length).toBeLessThan(100);
    // Edges are looked at one by one.
    expect(Math.max(...compiled.states.map(({ edges }) => edges.length))).toBeLessThanOrEqual(64);
  });
});

describe("a form", () => {
  it("of many classes, characters or alternatives takes little time", () => {
    const used = processorTime();
    const deep = JSON.parse(`${"[".repeat(20_000)}${"]".repeat(20_000)}`) as unknown;
    for (const [form, fault] of [
      [pattern("\\W".repeat(60_000)), "has more than 20000 characters and classes"],
      [pattern("[^a]".repeat(62_500)), "has more than 20000 characters and classes"],
      [pattern("a".repeat(250_000)), "has more than 20000 characters and classes"],
      [grammar(`root ::= ${"[^a]".repeat(60_000)}`), "has more than 20000 characters and classes"],
      [pattern("|".repeat(250_000)), ""],
      [grammar(`root ::= ${"|".repeat(200_000)}`), ""],
      [grammar(`root ::= ${'"a"'.repeat(80_000)}`), "states"],
      [schema(deep), "nests more than 500 lists and objects"],
      [schema({ const: deep }), "nests more than 500 lists and objects"],
      [
        schema({ type: "object", properties: { ["a".repeat(100_000)]: true }, additionalProperties: true }),
        "properties of the schema has names of more than 10000 characters",
      ],
      [schema({ enum: ["a".repeat(300_000)] }), "more than 262144 characters"],
    ] as const)
      if (fault === "") expect(faultOf(form)).toBe("");
      else expect(faultOf(form)).toContain(fault);
    // Without limits it is more than ten seconds.
    expect(used()).toBeLessThan(5);
  });

  it("with many alternatives of references compares each two of them once", () => {
    const [n, steps] = [200, 14];
    const $defs: Record<string, unknown> = {};
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < steps; k++) $defs[`d${i}_${k}`] = { $ref: `#/$defs/d${i}_${k + 1}` };
      $defs[`d${i}_${steps}`] = { const: i };
    }
    const oneOf = Array.from({ length: n }, (_, i) => ({ $ref: `#/$defs/d${i}_0` }));
    const properties = (most: number): object =>
      Object.fromEntries(Array.from({ length: most }, (_, i) => [`p${i}`, { oneOf }]));
    const used = processorTime();
    expect(faultOf(schema({ $defs, type: "object", properties: properties(20) }))).toBe("");
    // Where each two are compared again and again it is more than half a minute.
    expect(used()).toBeLessThan(6);
    const values = Array.from({ length: n }, (_, i) => ({ enum: Array.from({ length: 60 }, (_, k) => `${i} ${k}`) }));
    expect(faultOf(schema({ oneOf: values }))).toContain("too many alternatives in its oneOf to compare them");
  });

  it("that modc cannot follow is refused again without a look at it", async () => {
    const constraints = new Constraints(bytesTokenizer, 256);
    const faults = await Promise.allSettled([0, 1].map(() => constraints.of(pattern("(?=a)b"))));
    const [first, again] = faults.map((one) => (one.status === "rejected" ? (one.reason as unknown) : null));
    expect(first).toBeInstanceOf(ConstraintError);
    expect(await constraints.of(pattern("(?=a)b")).catch((fault: unknown) => fault)).toBe(again);
  });
});
