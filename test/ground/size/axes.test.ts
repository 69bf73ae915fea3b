// Axes: which axis decides a count, what the host knows, and the counts of one run.
import { describe, expect, it } from "vitest";
import {
  countingAxis,
  knownOnHost,
  kTable,
  resolveSizes,
  type Axis,
  type RunSizes,
} from "../../../src/ground/size/axes.js";
import type { CountRule, Rule } from "../../../src/ground/size/count-rules.js";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { processorTime } from "../../processor-time.js";

const sequence = (name: string, count: CountRule): Axis => ({ role: "sequence", name, bound: 64, count });
const top = (parent: string, k: string): Rule<"top"> => ({
  kind: "top",
  parent,
  k: parseSize(k),
});
const B: Axis = { role: "batch", name: "B", bound: null };
const T = sequence("T", { kind: "input" });
const run = (extents: Readonly<Record<string, number>>, lengths?: readonly number[]): RunSizes => ({
  extents: new Map(Object.entries(extents)),
  lengths: new Map(lengths ? [["T", Uint32Array.from(lengths)]] : []),
  live: new Map([["c", rational(1, 2)]]),
});

describe("axes", () => {
  it("count by the sequence that k mentions, else by the parent", () => {
    const axes = [B, T, sequence("K", top("T", "3"))];
    expect(countingAxis(axes, top("K", "ceil(1/2*T)"))).toBe("T");
    expect(countingAxis(axes, top("K", "B"))).toBe("K");
    expect(countingAxis(axes, top("K", "5"))).toBe("K");
  });

  it("are known on the host unless `above` stands before them, also in a list that grows", () => {
    const axes: Axis[] = [B, T, sequence("K", top("T", "3"))];
    expect(["B", "T", "K"].map((n) => knownOnHost(axes, n))).toEqual([true, true, true]);
    axes.push(
      sequence("A", { kind: "above", parent: "K", expected: rational(1, 4) }),
      sequence("K2", top("K", "ceil(1/2*A)")),
    );
    axes.push(
      sequence("S", { kind: "span", parent: "K2", start: 0, stop: 2 }),
      sequence("J", { kind: "join", parts: ["T", "S"] }),
    );
    expect(["K", "A", "K2", "S", "J"].map((n) => knownOnHost(axes, n))).toEqual([true, false, false, false, false]);
  });

  it("resolve to the counts of each sequence", () => {
    const axes = [
      B,
      T,
      sequence("K", top("T", "ceil(live(c)*T)")),
      sequence("S", { kind: "span", parent: "T", start: -2, stop: null }),
    ];
    const sizes = resolveSizes(axes, run({ B: 3, T: 8 }, [8, 5, 0]));
    expect([...sizes.sequence("K").list]).toEqual([4, 3, 0]);
    expect([...sizes.sequence("S").list]).toEqual([2, 2, 0]);
    expect([sizes.sequence("K").rows, sizes.sequence("K").longest, sizes.sequence("T").longest]).toEqual([7, 4, 8]);
  });

  it("bound a k that falls as the sequence grows by its largest", () => {
    const axes = [
      B,
      T,
      sequence("A", { kind: "above", parent: "T", expected: rational(1, 4) }),
      sequence("K", top("A", "10 + -1*A")),
    ];
    const { list, exact } = resolveSizes(axes, run({ B: 1, T: 8 })).sequence("K");
    expect([[...list], exact]).toEqual([[8], false]);
  });

  it("share a table of k where the rules are equal", () => {
    const axes = [
      B,
      T,
      sequence("K", top("T", "ceil(1/4*T)")),
      sequence("K2", top("T", "ceil(1/4*T)")),
      sequence("K3", top("K", "ceil(1/4*K)")),
    ];
    const given = run({ B: 1, T: 9 });
    const sizes = resolveSizes(axes, given);
    const table = kTable(axes, top("T", "ceil(1/4*T)"), given, sizes);
    expect([...table]).toEqual([0, 1, 1, 1, 1, 2, 2, 2, 2, 3]);
    expect(kTable(axes, top("T", "ceil(1/4*T)"), given, sizes)).toBe(table);
    expect([...kTable(axes, top("K", "ceil(1/4*K)"), given, sizes)]).toEqual([0, 1, 1, 1]);
  });

  it("resolve thousands of routes in linear time", () => {
    const axes: Axis[] = [B, T];
    for (let i = 0; i < 8000; i++) axes.push(sequence(`K${i}`, top("T", "ceil(1/8*T)")));
    const seconds = processorTime();
    const given = run({ B: 2, T: 512 });
    const sizes = resolveSizes(axes, given);
    const wrong = axes.filter((a) => {
      const known = knownOnHost(axes, a.name);
      return (
        !known ||
        (a.role === "sequence" &&
          a.count.kind === "top" &&
          sizes.sequence(a.name).rows + kTable(axes, a.count, given, sizes).length !== 128 + 513)
      );
    });
    expect(wrong).toEqual([]);
    expect(seconds()).toBeLessThan(2);
  });
});
