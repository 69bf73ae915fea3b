// Counts: what the closed forms for equal sequences, and for k that grows, give is what a look at each sequence and
// each length gives; and the batch costs nothing.
import { describe, expect, it } from "vitest";
import {
  countingAxis,
  knownOnHost,
  kTable,
  resolveSizes,
  type Axis,
  type RunSizes,
} from "../../../src/ground/size/axes.js";
import { MAX_EXTENT, Counts } from "../../../src/ground/size/counts.js";
import { spanFunction, type CountMode } from "../../../src/ground/size/counting.js";
import { chosenFrom, type CountRule } from "../../../src/ground/size/count-rules.js";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import { rational, toNumber, type Rational } from "../../../src/ground/numerics/rational.js";
import { axisSize, evaluateSize, rowsSize, type Size } from "../../../src/ground/size/size.js";
import { maxOverRange, sizeFunction } from "../../../src/ground/size/size-function.js";
import { random, type Random } from "../../random.js";

interface Plain {
  readonly counts: readonly number[];
  readonly rows: number;
  readonly longest: number;
  readonly exact: boolean;
}

/** The definition: sequence by sequence, every k evaluated by itself. */
function plainCounts(axes: readonly Axis[], run: RunSizes, mode: CountMode, name: string): Plain {
  const batch = run.extents.get("B")!;
  const of = (axis: string): Plain => plainCounts(axes, run, mode, axis);
  const summed = (counts: readonly number[], exact: boolean): Plain => ({
    counts,
    exact,
    rows: counts.reduce((a, b) => a + b, 0),
    longest: Math.max(0, ...counts),
  });
  const value = (a: { readonly kind: string; readonly axis?: string; readonly name?: string }): number | Rational => {
    if (a.kind === "live") return run.live.get(a.name!)!;
    if (a.kind === "rows") return of(a.axis!).rows;
    return axes.some((x) => x.name === a.axis && x.role === "sequence")
      ? of(a.axis!).longest
      : run.extents.get(a.axis!)!;
  };
  const axis = axes.find((a) => a.name === name);
  if (axis?.role !== "sequence") throw new Error(name);
  const rule = axis.count;
  switch (rule.kind) {
    case "input": {
      const full = run.extents.get(name)!;
      return { ...summed([...(run.lengths.get(name) ?? new Uint32Array(batch).fill(full))], true), longest: full };
    }
    case "top": {
      const parent = of(rule.parent);
      if (mode === "dense") return parent;
      const counting = countingAxis(axes, rule);
      const by = of(counting);
      const k = (n: number): number =>
        Math.floor(
          Math.max(
            0,
            Math.min(
              MAX_EXTENT,
              toNumber(evaluateSize(rule.k, (a) => (a.kind === "axis" && a.axis === counting ? n : value(a)))),
            ),
          ),
        );
      const exact = parent.exact && by.exact;
      const upTo = (n: number): number => Math.max(...Array.from({ length: n + 1 }, (_, m) => k(m)));
      return summed(
        parent.counts.map((n, b) => Math.min(n, (exact ? k : upTo)(by.counts[b]!))),
        exact,
      );
    }
    case "above":
    case "entry": {
      const { counts } = of(rule.parent);
      const share = toNumber(rule.expected);
      const shared = mode === "expected" || (mode === "dense" && rule.kind === "entry");
      return summed(shared ? counts.map((n) => Math.min(n, Math.ceil(n * share))) : counts, false);
    }
    case "those": {
      const { counts } = of(rule.parent);
      const share = mode === "expected" ? toNumber(rule.expected) : 1;
      const within = rule.within.map(of);
      return summed(
        counts.map((n, b) => Math.min(Math.ceil(n * share), ...within.map((c) => c.counts[b]!))),
        false,
      );
    }
    case "rest": {
      const { counts, exact } = of(rule.parent);
      const taken = of(rule.taken);
      if (mode === "dense") return of(rule.parent);
      return summed(
        counts.map((n, b) => n - taken.counts[b]!),
        exact,
      );
    }
    case "span": {
      const { counts, exact } = of(rule.parent);
      return summed(
        counts.map((n) => {
          const at = (size: Size): number => {
            const v = toNumber(evaluateSize(size, () => n));
            return Math.max(0, Math.min(n, v < 0 ? v + n : v));
          };
          return Math.max(0, (rule.stop === null ? n : at(rule.stop)) - at(rule.start));
        }),
        exact,
      );
    }
    case "stride": {
      const { counts, exact } = of(rule.parent);
      return summed(
        counts.map((n) => Array.from({ length: n }, (_, i) => i).filter((i) => i % Number(rule.step) === 0).length),
        exact,
      );
    }
    case "fixed":
      return summed(
        Array.from({ length: batch }, () => Number(rule.tokens)),
        true,
      );
    case "join": {
      const parts = rule.parts.map(of);
      return summed(
        Array.from({ length: batch }, (_, b) => parts.reduce((sum, p) => sum + p.counts[b]!, 0)),
        parts.every((p) => p.exact),
      );
    }
    default:
      return rule satisfies never;
  }
}

const KS = [
  "0",
  "3",
  "ceil(1/8*A)",
  "ceil(live(c)*A)",
  "floor(1/2*A)",
  "10 + -1*A",
  "mod(A, 4)",
  "min(A, 9 + -1*A)",
  "max(2, round(1/3*A))",
  "B",
  "div(12, A)",
];
KS.push("A*mod(7, A)", "ceil(1/2*S)", "rows(T)", "ceil(1/3*A) + -1*floor(1/4*A)");

const pick = <T>(r: Random, list: readonly T[]): T => list[r.below(list.length)]!;

function randomRule(r: Random, sequences: readonly string[], axes: readonly Axis[]): CountRule {
  const parent = pick(r, sequences);
  const routes = axes.flatMap((a) =>
    a.role === "sequence" && chosenFrom(a.count) === parent && knownOnHost(axes, a.name) ? [a] : [],
  );
  switch (r.below(routes.length > 0 ? 6 : 4)) {
    case 0: {
      // S is another input's; a k mentions one sequence axis at most.
      const k = pick(r, KS);
      return { kind: "top", parent, k: parseSize(k.replaceAll("A", pick(r, sequences))) };
    }
    case 1:
      return { kind: pick(r, ["above", "entry"] as const), parent, expected: rational(r.below(9), 8) };
    case 4:
      return { kind: "rest", parent, taken: pick(r, routes).name };
    case 5: {
      const some = (): string[] => routes.filter(() => r.below(2) === 0).map((a) => a.name);
      return { kind: "those", parent, within: some(), expected: rational(r.below(9), 8) };
    }
    case 2: {
      const end = (): Size => parseSize(pick(r, ["0", "1", "-2", "5", "floor(1/2*T)", "-1*ceil(1/4*T)"]));
      return { kind: "span", parent, start: end(), stop: r.below(3) === 0 ? null : end() };
    }
    default:
      return { kind: "join", parts: [parent, pick(r, sequences)] };
  }
}

describe("counts", () => {
  it("are those of each sequence by itself, for all rules and modes, equal sequences or not", () => {
    for (let seed = 0; seed < 120; seed++) {
      const r = random(seed);
      const input = (name: string): Axis => ({ role: "sequence", name, bound: null, count: { kind: "input" } });
      const axes: Axis[] = [{ role: "batch", name: "B", bound: null }, input("T"), input("S")];
      const sequences = ["T", "S"];
      for (let i = 0; i < 6; i++) {
        axes.push({ role: "sequence", name: `A${i}`, bound: null, count: randomRule(r, sequences, axes) });
        sequences.push(`A${i}`);
      }
      const [batch, longest] = [1 + r.below(4), 1 + r.below(12)];
      const lengths = new Map(
        r.below(2) === 0 ? [] : [["T", Uint32Array.from({ length: batch }, () => r.below(longest + 1))]],
      );
      const extents = new Map(Object.entries({ B: batch, T: longest, S: 1 + r.below(9) }));
      const run: RunSizes = { extents, lengths, live: new Map([["c", rational(r.below(6), 5)]]) };
      for (const mode of ["bound", "expected", "dense"] as const) {
        const sizes = resolveSizes(axes, run, mode);
        for (const name of sequences) {
          const found = sizes.sequence(name);
          const { list, rows, exact, each } = found;
          const wanted = plainCounts(axes, run, mode, name);
          expect({ counts: [...list], rows, longest: found.longest, exact }, `seed ${seed}, ${mode}, ${name}`).toEqual(
            wanted,
          );
          expect(each !== null || lengths.size > 0, "equal sequences are not listed").toBe(true);
          expect(sizes.rational(rowsSize(name))).toEqual(rational(wanted.rows));
          expect([...found.starts()]).toEqual(
            [...list, 0].map((_, b) => wanted.counts.slice(0, b).reduce((x, y) => x + y, 0)),
          );
        }
      }
      for (const axis of axes) {
        if (axis.role !== "sequence" || axis.count.kind !== "top") continue;
        const by = countingAxis(axes, axis.count);
        const { k } = axis.count;
        const sizes = resolveSizes(axes, run);
        const open = (n: number) => toNumber(evaluateSize(k, (a) => valueIn(a, by, n, sizes, run)));
        expect([...kTable(axes, axis.count, run, sizes)]).toEqual(
          Array.from({ length: sizes.sequence(by).longest + 1 }, (_, n) =>
            Math.trunc(Math.max(0, Math.min(MAX_EXTENT, open(n)))),
          ),
        );
      }
    }
  });

  it("take no longer for four billion sequences than for one, and stay exact", () => {
    const axes: Axis[] = [
      { role: "batch", name: "B", bound: null },
      { role: "sequence", name: "T", bound: null, count: { kind: "input" } },
      { role: "sequence", name: "K", bound: null, count: { kind: "top", parent: "T", k: parseSize("ceil(1/8*T)") } },
      { role: "sequence", name: "A", bound: null, count: { kind: "above", parent: "T", expected: rational(1, 8) } },
      {
        role: "sequence",
        name: "KA",
        bound: null,
        count: { kind: "top", parent: "A", k: parseSize("min(ceil(1/2*A), 3 + mod(A, 1000))") },
      },
      { role: "sequence", name: "L", bound: null, count: { kind: "span", parent: "KA", start: -2, stop: null } },
      { role: "sequence", name: "J", bound: null, count: { kind: "join", parts: ["K", "L", "T"] } },
    ];
    const run: RunSizes = {
      extents: new Map(Object.entries({ B: MAX_EXTENT, T: MAX_EXTENT })),
      lengths: new Map(),
      live: new Map(),
    };
    for (const mode of ["bound", "expected", "dense"] as const) {
      const sizes = resolveSizes(axes, run, mode);
      const each = axes.slice(1).map((a) => sizes.sequence(a.name).each);
      const [full, k] = [MAX_EXTENT, 2 ** 29];
      const wanted = {
        bound: [full, k, full, 1002, 2, k + 2 + full],
        expected: [full, k, k, 1002, 2, k + 2 + full],
        dense: [full, full, full, full, 2, 2 * full + 2],
      };
      expect(each).toEqual(wanted[mode]);
      expect(sizes.rational(rowsSize("K"))).toEqual(rational(BigInt(MAX_EXTENT) * BigInt(each[1]!)));
    }
  });

  it("compare by what they hold", () => {
    const same = (a: Counts, b: Counts): boolean => a.equals(b) && b.equals(a);
    expect(same(Counts.equal(3, 2, true), Counts.listed(Uint32Array.of(2, 2, 2), true))).toBe(true);
    expect(same(Counts.equal(3, 2, true), Counts.equal(2, 3, true))).toBe(false);
    expect(same(Counts.listed(Uint32Array.of(1, 3), true), Counts.listed(Uint32Array.of(3, 1), true))).toBe(false);
    expect(Counts.equal(MAX_EXTENT, 7, true).equals(Counts.equal(MAX_EXTENT, 7, true))).toBe(true);
  });
});

const valueIn = (
  a: { readonly kind: string; readonly axis?: string; readonly name?: string },
  by: string,
  n: number,
  sizes: ReturnType<typeof resolveSizes>,
  run: RunSizes,
): number | Rational =>
  a.kind === "live"
    ? run.live.get(a.name!)!
    : a.kind === "rows"
      ? sizes.rational(rowsSize(a.axis!))
      : a.axis === by
        ? n
        : sizes.rational(axisSize(a.axis!));

describe("a size as a function of an axis", () => {
  const texts = [
    "7",
    "A",
    "ceil(1/8*A)",
    "1/3*A + -5/7",
    "floor(-1/3*A)",
    "round(1/2*A)",
    "round(-1/2*A)",
    "mod(A, 5)",
    "mod(-1*A, 5)",
    "mod(A, -3)",
  ];
  texts.push(
    "min(A, 40 + -1*A, 1/2*A)",
    "max(1/3*A, 2/5*A + -1)",
    "div(A, 3)",
    "div(100, A)",
    "mod(100, A)",
    "A*A*live(c)",
    "A*A*A*A*1000003",
    "B*rows(T)*A",
  );
  texts.push("mod(7/2, 1/3*A)", "ceil(12345678901234567/98765432109876543*A)", "90071992547409910*A + 1");
  const value = (a: { readonly kind: string }): number | Rational =>
    a.kind === "live" ? rational(-7, 9) : a.kind === "rows" ? 1000 : 12;

  it("has the values that evaluating it has", () => {
    for (const text of texts) {
      const size = parseSize(text);
      for (const most of [40, 100_000, 2 ** 32 - 1]) {
        const quick = sizeFunction(size, "A", most, value);
        for (const n of [0, 1, 2, 3, 7, 12, 35, 40, most - 1, most].filter((x) => x <= most))
          expect(quick(n), `${text} at ${n}`).toEqual(
            0 + toNumber(evaluateSize(size, (a) => (a.kind === "axis" && a.axis === "A" ? n : value(a)))),
          );
      }
    }
  });

  it("has the largest value that a look at each finds", () => {
    for (const text of texts) {
      const size = parseSize(text);
      if (typeof size === "number") continue;
      for (const [low, high] of [
        [0, 0],
        [0, 1],
        [0, 40],
        [3, 17],
        [29, 30],
      ] as const) {
        const at = (n: number): bigint => {
          const { num, den } = evaluateSize(size, (a) => (a.kind === "axis" && a.axis === "A" ? n : value(a)));
          return (num - (((num % den) + den) % den)) / den;
        };
        const all = Array.from({ length: high - low + 1 }, (_, i) => at(low + i));
        expect(maxOverRange(size, "A", low, high, value, 0n), `${text} in ${low} … ${high}`).toBe(
          all.reduce((a, b) => (a > b ? a : b), 0n),
        );
      }
    }
  });

  it("gives both ends of a span", () => {
    const ends = spanFunction({ kind: "span", parent: "T", start: parseSize("floor(1/4*T)"), stop: -1 }, 100);
    expect([0, 1, 2, 8, 100].map(ends)).toEqual([
      [0, 0],
      [0, 0],
      [0, 1],
      [2, 7],
      [25, 99],
    ]);
  });
});
