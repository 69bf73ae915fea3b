// Cases are chosen from times as if all ways to cut the sizes had been tried; products adopt what gains, and share
// panels.
import { describe, expect, it } from "vitest";
import { PORTABLE, type Target } from "../../../src/runtime/program/target.js";
import { parseTunings, printTunings, tuningsFile } from "../../../src/compiler/schedule/tunings/file.js";
import {
  candidates,
  tuningsFor,
  type ProductTuning,
  type ProductTunings,
} from "../../../src/compiler/schedule/tunings/index.js";
import { weightTunings, type CasesByRows } from "../../../src/compiler/schedule/tunings/product-cases.js";
import { adoptProducts, type ProductTimes } from "../../../src/tools/tune/adopt-products.js";
import { bestOf, chooseCases, type Times } from "../../../src/tools/tune/choose.js";
import { random } from "../../random.js";

/** The least loss of all ways to cover the sizes with at most so many cases. */
function leastLoss({ sizes, choices, seconds }: Times<string>, most: number): number {
  const best = bestOf({ sizes, choices, seconds });
  let least = Infinity;
  const walk = (s: number, count: number, last: number, sum: number): void => {
    if (count > most) return;
    if (s === sizes.length) {
      least = Math.min(least, sum + count * Math.log(1.05));
      return;
    }
    choices.forEach((_, c) => {
      const time = seconds[c]![s];
      if (typeof time === "number") walk(s + 1, c === last ? count : count + 1, c, sum + Math.log(time / best[s]!));
    });
  };
  walk(0, 0, -1, 0);
  return least;
}

describe("cases", () => {
  it("lose as little as any, the price of a case included", () => {
    const r = random(3);
    for (let n = 0; n < 300; n++) {
      const sizes = [1, 4, 9, 30, 31].slice(0, 1 + r.below(5));
      const choices = ["a", "b", "c"].slice(0, 1 + r.below(3));
      const times = {
        sizes,
        choices,
        seconds: choices.map(() => sizes.map(() => (r.next() < 0.1 ? null : 0.1 + r.next()))),
      };
      const most = 1 + r.below(4);
      const found = chooseCases(times, most);
      const least = leastLoss(times, most);
      if (!found) {
        expect(least).toBe(Infinity);
        continue;
      }
      expect(found.cases.length).toBeLessThanOrEqual(most);
      expect(found.loss + found.cases.length * Math.log(1.05)).toBeCloseTo(least, 10);
      expect(found.cases.map((c) => c.most).slice(0, -1)).toEqual(
        found.cases.slice(0, -1).map((c) => sizes.find((s) => s === c.most)),
      );
      expect(found.cases.at(-1)!.most).toBeNull();
    }
  });
  it("are one where a second gains less than it costs", () => {
    const times = { sizes: [1, 8], choices: ["a", "b"], seconds: [[1, 1.04], [2, 1]] }; // prettier-ignore
    expect(chooseCases(times, 3)!.cases).toEqual([{ most: null, choice: "a" }]);
    const two = {
      ...times,
      seconds: [
        [1, 2],
        [2, 1],
      ],
    };
    const cases = [
      { most: 1, choice: "a" },
      { most: null, choice: "b" },
    ];
    expect(chooseCases(two, 3)!.cases).toEqual(cases);
  });
  it("are none where a size was not measured", () => {
    expect(chooseCases({ sizes: [1, 8], choices: ["a"], seconds: [[1, null]] }, 3)).toBeNull();
    expect(chooseCases({ sizes: [], choices: ["a"], seconds: [[]] }, 3)).toBeNull();
  });
});

describe("products", () => {
  const target = { ...PORTABLE, subgroups: [8, 8] as const };
  const base = tuningsFor(target).products;
  const choices = candidates("products", target);
  /** Every choice as fast as said, else a second. */
  const timed = (baseline: readonly number[], fast: Readonly<Record<string, readonly number[]>>): ProductTimes => ({
    depth: 64,
    columns: 96,
    times: { sizes: [1, 32], choices, seconds: choices.map(({ name }) => fast[name] ?? [1, 1]) },
    baseline,
  });
  for (const name of ["subgroup 1 × 1, panels of 32", "tiled 64 × 64, panels of 64", "vectors 1 × 1, panels of 64"])
    it(`may be ${name}`, () => expect(choices.map((c) => c.name)).toContain(name));

  it("adopt what gains, for its shape alone", () => {
    const tuned = adoptProducts(
      base,
      [timed([1, 1], { "subgroup 1 × 1, panels of 32": [0.1, 1], "vectors 4 × 2, panels of 32": [1, 0.1] })],
      false,
    );
    expect(tuned.subgroupSize).toBe(8);
    const { panel, byWeight, byWeightAnyRows } = weightTunings(tuned, 64, 96);
    expect([panel, byWeight]).toEqual([
      32,
      [
        { most: 1, tuning: { kind: "subgroup", rows: 1, vectors: 1 } },
        { most: null, tuning: { kind: "vectors", rows: 4, vectors: 2 } },
      ],
    ]);
    expect(byWeightAnyRows).toEqual(byWeight);
    expect(weightTunings(tuned, 64, 97).byWeight).toEqual(base.byWeight);
  });
  it("keep a weight in one layout, though another were faster at one size", () => {
    const tuned = adoptProducts(
      base,
      [
        timed([1, 1], {
          "subgroup 1 × 1, panels of 32": [0.2, 0.9],
          "tiled 64 × 64, panels of 64": [0.9, 0.1],
          "vectors 1 × 1, panels of 64": [0.3, 1],
        }),
      ],
      false,
    );
    const { panel, byWeight } = weightTunings(tuned, 64, 96);
    expect(panel).toBe(64);
    expect(byWeight.map((c) => c.tuning.kind)).toEqual(["vectors", "tiled"]);
  });
  describe("of a device with cases for buffers and integers", () => {
    const mesa: Target = { ...target, device: "mesa-software", textures: true };
    const own = tuningsFor(mesa).products;
    const adopted = (fast: string, general: boolean): ProductTunings => {
      const found = adoptProducts(own, [timed([1, 1], { [fast]: [0.1, 0.1] })], general);
      const file = tuningsFile({ name: "", vendor: "", architecture: "", driver: "" }, mesa, {
        ...tuningsFor(mesa),
        products: found,
      });
      expect(parseTunings(printTunings(file))).toEqual(file);
      return found;
    };
    it("keep those with their panels", () => {
      const tuned = adopted("subgroup 16 × 1, panels of 32", true);
      expect(tuned.quantized).toBe(own.quantized);
      expect(tuned.byWeight).toEqual([{ most: null, tuning: { kind: "subgroup", rows: 16, vectors: 1 } }]);
      // As measured, however wide.
      expect(weightTunings(tuned, 64, 96).byWeight).toEqual(tuned.byWeight);
      expect(weightTunings(adopted("subgroup 16 × 1, panels of 32", false), 64, 96).buffered).toBeDefined();
    });
    it("pack from the measured columns on, where that is best, and else do what is best without", () => {
      const times = timed([1, 1], {
        "subgroup 1 × 1, panels of 32": [0.1, 0.9],
        "subgroup 16 × 1, panels of 32": [0.9, 0.2],
        "packed 24 × 2, panels of 32": [0.9, 0.1],
      });
      const choicesOfMesa = candidates("products", mesa);
      const seconds = choicesOfMesa.map(({ name }) => {
        const at = times.times.choices.findIndex((c) => c.name === name);
        return name === "packed 24 × 2, panels of 32" ? [0.9, 0.1] : at < 0 ? [1, 1] : times.times.seconds[at]!;
      });
      const tuned = adoptProducts(
        own,
        [{ ...times, times: { ...times.times, choices: choicesOfMesa, seconds } }],
        true,
      );
      const few = { most: 1, tuning: { kind: "subgroup", rows: 1, vectors: 1 } };
      const packs = { most: null, tuning: { kind: "packed", rows: 24, vectors: 2 } };
      const plain = { most: null, tuning: { kind: "subgroup", rows: 16, vectors: 1 } };
      expect(tuned.byWeight).toEqual([few, { ...packs, columns: 96 }, plain]);
      expect(weightTunings(tuned, 65, 95).byWeight).toEqual([few, plain]);
      expect(weightTunings(tuned, 65, 96).byWeight).toEqual([few, packs]);
    });
    it("drop those with others", () => {
      const tuned = adopted("tiled 64 × 64, panels of 64", true);
      expect([tuned.panel, tuned.quantized, tuned.buffered]).toEqual([64, undefined, undefined]);
      const shape = weightTunings(adopted("tiled 64 × 64, panels of 64", false), 64, 96);
      expect([shape.panel, shape.quantized, shape.buffered]).toEqual([64, undefined, undefined]);
    });
    it("keep those of matrix units, which read any panels", () => {
      const units = {
        kind: "matrix",
        m: 16,
        n: 16,
        k: 16,
        rows: 64,
        columns: 64,
        depth: 32,
        down: 2,
        across: 2,
        vectors: false,
      } as const;
      const all = [{ most: null, tuning: units }];
      const rounding = { byWeight: all, byWeightAnyRows: all };
      const tuned = adoptProducts(
        { ...own, rounding },
        [timed([1, 1], { "tiled 64 × 64, panels of 64": [0.1, 0.1] })],
        true,
      );
      expect([tuned.panel, tuned.rounding, tuned.buffered]).toEqual([64, rounding, undefined]);
    });
    it("have none where all weights lie in buffers", () => {
      const { byWeight, buffered } = tuningsFor({ ...mesa, textures: false }).products;
      const inBuffers = own.buffered!.byWeight.map((c) => c.tuning);
      expect(byWeight.slice(0, 3).map((c) => c.tuning)).toEqual(inBuffers.slice(0, 3));
      expect(byWeight.map((c) => c.tuning.kind)).not.toContain("packed");
      expect(buffered).toBeUndefined();
    });
    it("lend shapes with other panels no kernels that rely on theirs", () => {
      const cases = (tuning: ProductTuning): CasesByRows => {
        const all = [{ most: null, tuning }];
        return { byWeight: all, byWeightAnyRows: all };
      };
      const shape = { depth: 64, columns: 96, panel: 64, ...cases({ kind: "tiled", rows: 4, vectors: 1 }) };
      const lent = (tuning: ProductTuning): unknown =>
        weightTunings({ ...own, rounding: cases(tuning), shapes: [shape] }, 64, 96).rounding;
      expect(lent({ kind: "subgroup", rows: 8, vectors: 2 })).toBeUndefined();
      expect(lent({ kind: "vectors", rows: 4, vectors: 1 })).toEqual(cases({ kind: "vectors", rows: 4, vectors: 1 }));
    });
  });
  it("stay as they are where nothing gains", () => {
    expect(adoptProducts(base, [timed([0.101, 0.099], { "subgroup 1 × 1, panels of 32": [0.1, 0.1] })], true)).toBe(
      base,
    );
  });
  it("replace what was measured before", () => {
    const once = adoptProducts(base, [timed([1, 1], { "subgroup 1 × 1, panels of 32": [0.1, 0.1] })], false);
    const twice = adoptProducts(once, [timed([0.1, 0.1], { "vectors 4 × 2, panels of 32": [0.01, 0.01] })], false);
    expect(twice.shapes).toHaveLength(1);
    expect(weightTunings(twice, 64, 96).byWeight[0]!.tuning.kind).toBe("vectors");
  });
  it("of all shapes together are those of shapes that are not listed", () => {
    const fast = { "subgroup 4 × 1, panels of 32": [0.1, 0.1] };
    const tuned = adoptProducts(base, [timed([1, 1], fast), { ...timed([1, 1], fast), depth: 65 }], true);
    expect(weightTunings(tuned, 1000, 1000).byWeight).toEqual([
      { most: null, tuning: { kind: "subgroup", rows: 4, vectors: 1 } },
    ]);
    expect(tuned.shapes).toHaveLength(2);
  });
});
