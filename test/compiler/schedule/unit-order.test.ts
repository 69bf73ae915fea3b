// The order of units: what a unit reads comes before it, always, and new values of states after the readers of the old
// ones wherever that can be.
import { describe, expect, it } from "vitest";
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { Value } from "../../../src/compiler/schedule/addressing/layout.js";
import { updatesAfterReaders } from "../../../src/compiler/schedule/memory/kernel-order.js";
import { random } from "../../random.js";

/** Values by name; those in capitals are old values of states, whose new ones are called the same with a stroke. */
class World {
  readonly #values = new Map<string, Value>();
  value(name: string): Value {
    const known = this.#values.get(name);
    if (known) return known;
    const made: Value = { node: { op: name } as unknown as Node, result: 0 }; // no more than a name is looked at
    this.#values.set(name, made);
    return made;
  }
  name = ({ node }: Value): string => node.op;
}

/** `y < x W`: a unit that makes y of x and the old W. In the order given; the result names each by what it makes. */
function ordered(...texts: readonly string[]): readonly string[] {
  const world = new World();
  const units = texts.map((text) => {
    const [made, read] = text.split("<").map((side) => side.trim().split(/\s+/).filter(Boolean)) as [
      string[],
      string[],
    ];
    return {
      nodes: [],
      reads: read.map((n) => world.value(n)),
      writes: made.map((n) => ({ value: world.value(n), bytes: 4 })),
    };
  });
  const states = new Set(texts.join(" ").match(/\b[A-Z](?!')/g));
  const made = updatesAfterReaders(units, {
    statesOf: (value) => (states.has(world.name(value)) ? [world.name(value)] : []),
    next: new Map([...states].map((s) => [s, world.value(`${s}'`)])),
    counts: () => [],
  });
  return made.map((unit) => world.name(unit.writes[0]!.value));
}

describe("the order of units", () => {
  it("has the new value of a state after all readers of the old one, with what they need", () => {
    expect(ordered("g <", "W' < W g", "h < g", "y < W h")).toEqual(["g", "h", "y", "W'"]);
  });

  it("leaves a reader of old and new behind the new", () => {
    expect(ordered("W' < W", "y < W W'")).toEqual(["W'", "y"]);
  });

  it("leaves a reader behind that needs the new value by way of others", () => {
    expect(ordered("W' < W", "u < W'", "v < u", "y < W v", "z < W")).toEqual(["z", "W'", "u", "v", "y"]);
  });

  it("lets one of two states wait where their readers stand crosswise", () => {
    const order = ordered("W' < W", "M' < M", "a < W M'", "b < M W'");
    const at = (name: string): number => order.indexOf(name);
    expect(at("M'")).toBeLessThan(at("a"));
    expect(at("W'")).toBeLessThan(at("b"));
    expect(
      Number(at("a") < at("W'")) + Number(at("b") < at("M'")),
      "one of both new values comes after the readers of the old",
    ).toBe(1);
  });

  it("refuses units that need each other", () => {
    expect(() => ordered("x < y W", "y < x", "W' < W")).toThrow(/modc bug: kernels \d and \d need each other/);
  });

  it("of random units never has one before what it reads, and loses none", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const rng = random(seed);
      const states = ["W", "M", "V"];
      const known = [...states];
      const made: string[] = [];
      const texts = Array.from({ length: 14 }, (_, i) => {
        const updates = states[rng.below(3)]!;
        const name = rng.below(3) === 0 && !made.includes(`${updates}'`) ? `${updates}'` : `x${i}`;
        const read = Array.from({ length: 1 + rng.below(3) }, () => known[rng.below(known.length)]!);
        known.push(name);
        made.push(name);
        return `${name} < ${read.join(" ")}`;
      });
      const order = ordered(...texts);
      expect([...order].sort(), texts.join("; ")).toEqual([...made].sort());
      for (const text of texts) {
        const [name, read] = text.split(" < ") as [string, string];
        for (const n of read.split(" "))
          if (made.includes(n)) expect(order.indexOf(n), texts.join("; ")).toBeLessThan(order.indexOf(name));
      }
    }
  });
});
