// Attention on matrix units, for subgroups of every width: by the kernels' own expressions every value of a tile is
// staged once, and every score and every sum has one lane.
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, type MatrixShape, type Target } from "../../../src/runtime/program/target.js";
import { attentionOnUnits } from "../../../src/compiler/schedule/tunings/attention.js";
import { columnsOf } from "../../../src/compiler/schedule/tunings/attention-matrix.js";
import { byTurns } from "../../soak.js";
import { expressionOf, expressionsOf, range, type Expression } from "./wgsl-expressions.js";

const half = (m: number, n: number, k: number): MatrixShape => ({ m, n, k, input: "f16", output: "f32" });
const targetOf = (width: number): Target => ({
  device: "discrete",
  subgroups: [width, width],
  f16: true,
  matrices: [half(8, 8, 8), half(8, 16, 16), half(16, 16, 16), half(16, 8, 16), half(16, 8, 8)],
  limits: { ...DEFAULT_LIMITS, workgroupStorageBytes: 32_768, invocationsPerWorkgroup: 1024 },
});
const cells = (rows: number, columns: number, stride: number): number[] =>
  range(rows).flatMap((row) => range(columns).map((column) => row * stride + column));
const sorted = (places: readonly number[]): number[] => places.toSorted((a, b) => a - b);

describe.each([4, 8, 16, 32, 64])("subgroups of %i", (width) => {
  const all = byTurns(attentionOnUnits(targetOf(width)), 24, width / 4);
  const constants = (t: (typeof all)[number]) => {
    const given = { WIDTH: width, M: t.m, N: t.n, K: t.k, SUBGROUPS: t.subgroups, BLOCK: t.keys, BOTH: 1 };
    return { ...given, COLUMNS: columnsOf(t, 20), COLUMNS_V: columnsOf(t, 36), STRIDE_W: t.keys / 8 + 1 };
  };

  it("give every score and every sum of a query to one lane of its own subgroup", () => {
    const { one, constantsOf } = expressionsOf("attention_matrix.wgsl");
    for (const t of all) {
      const c = constantsOf(constants(t));
      const of = (wgsl: string, ...names: string[]): Expression => {
        const own = expressionOf(wgsl, [...Object.keys(c), ...names]);
        return (values) => own({ ...c, ...values });
      };
      const firstRow = of(one(/let firstRow = (.+);/g), "subgroup", "member");
      const share = of(one(/let share = (.+);/g), "member");
      const key = of(one(/let j = (8u \* .+);/g), "e", "h");
      const owned = of(one(/if \((EIGHTS .+)\) \{/g), "e");
      const eighth = of("p * SHARING + share", "p", "share");
      const strip = of(one(/leftAt\(FIRST_WEIGHTS \+ (.+), STRIDE_W\);/g), "subgroup", "j");
      const [scored, summed]: [number[], number[]] = [[], []];
      for (const subgroup of range(t.subgroups)) {
        const rows = new Set<number>();
        for (const member of range(width))
          for (const r of range(c["EACH"]!)) {
            const row = firstRow({ subgroup, member }) + r;
            rows.add(row);
            for (const p of range(c["PARTS"]!)) {
              const e = eighth({ p, share: share({ member }) });
              if (!owned({ e })) continue;
              for (const h of [0, 1]) scored.push(...range(4).map((i) => row * t.keys + key({ e, h }) + i));
            }
            // As the loop over `c` from `share` on does, a block of columns after another.
            for (const column of range(c["COLUMNS_V"]! / 4))
              if (share({ member }) === (column % (t.keys / 4)) % c["SHARING"]!)
                summed.push(...range(4).map((i) => row * c["COLUMNS_V"]! + 4 * column + i));
          }
        // A subgroup's units read exactly the rows that its lanes wrote.
        const first = strip({ subgroup, j: 0 }) / c["STRIDE_W"]!;
        expect(sorted([...rows])).toEqual(range(t.m).map((i) => first + i));
      }
      expect(sorted(scored)).toEqual(cells(c["TILE"]!, t.keys, t.keys));
      expect(sorted(summed)).toEqual(cells(c["TILE"]!, c["COLUMNS_V"]!, c["COLUMNS_V"]!));
      // Lanes that share a query lie side by side, so that those whose numbers differ in low bits meet.
      for (const member of range(width)) expect(share({ member })).toBe(member % c["SHARING"]!);
      expect(width % c["SHARING"]!).toBe(0);
    }
  });

  /** Expressions of the gradient by its constants and some names. */
  const gradient = (t: (typeof all)[number]) => {
    const { one, constantsOf } = expressionsOf("attention_matrix_grad.wgsl");
    const c = constantsOf({ ...constants(t), HELD: 1, FIRST_WEIGHTS: 0 });
    const of = (wgsl: string, ...names: string[]): Expression => {
      const own = expressionOf(wgsl, [...Object.keys(c), ...names]);
      return (values) => own({ ...c, ...values });
    };
    return { c, of, at: (pattern: RegExp, ...names: string[]) => of(one(pattern), ...names) };
  };

  it.each([
    ["a", "A", "COLUMNS", "STRIDE"],
    ["b", "B", "COLUMNS_V", "STRIDE_V"],
  ] as const)("stage every value of %s of the gradient once", (_, letter, columns, stride) => {
    for (const t of all) {
      const { c, at } = gradient(t);
      const eighths = c[columns]! / 8;
      const place = at(new RegExp(`put\\(FIRST_${letter} \\+ (.+), both\\);`, "g"), "i", "c");
      const staged = range(c[`PLACES_${letter}`]!).map((i) => place({ i, c: 2 * (i % eighths) }));
      expect(sorted(staged)).toEqual(cells(c["TILE"]!, eighths, c[stride]!));
    }
  });

  it("stage every value of x and y of the gradient once as it lies, and once turned", () => {
    for (const t of all) {
      const { c, at } = gradient(t);
      const row = at(/let row = (8u \* at\.x .+);/g, "at_x", "j", "isOdd");
      const vector = at(/put\((select\(FIRST_Y.+) \+ at\.y \/ 2u, both\)/g, "row", "ofX");
      const turned = at(/put\((select\(FIRST_TURNED_Y.+) \+ at\.x, eight\(/g, "at_y", "q", "ofX");
      const eighths = t.keys / 8;
      let first = 0;
      for (const [ofX, columns, stride, from, fromTurned] of [
        [1, "COLUMNS", "STRIDE", 0, "FIRST_TURNED"],
        [0, "COLUMNS_V", "STRIDE_V", "FIRST_Y", "FIRST_TURNED_Y"],
      ] as const) {
        const fours = c[columns]! / 4;
        const places = range(eighths * fours).map((i) => ({ at_x: Math.floor(i / fours), at_y: i % fours, ofX }));
        const lying = places.flatMap((place) =>
          range(4).map((j) => {
            const own = row({ ...place, j, isOdd: place.at_y % 2 });
            return vector({ row: own, ofX }) + Math.floor(place.at_y / 2) - (from === 0 ? 0 : c[from]!);
          }),
        );
        expect(sorted(lying)).toEqual(cells(t.keys, c[columns]! / 8, c[stride]!));
        const over = places.flatMap((place) =>
          range(4).map((q) => turned({ ...place, q }) + place.at_x - c[fromTurned]!),
        );
        expect(sorted(over)).toEqual(cells(c[columns]!, eighths, c["STRIDE_T"]!));
        first += places.length;
      }
      expect(first).toBe(c["PLACES"]);
      expect(c["EACH_OTHER"]! * c["LANES"]!).toBeGreaterThanOrEqual(first);
      expect(c["ROWS_EACH"]! * c["LANES"]!).toBeGreaterThanOrEqual(t.keys);
    }
  });

  it("stage every vector of a tile once", () => {
    const { one, constantsOf } = expressionsOf("attention_matrix.wgsl");
    for (const t of all) {
      const c = constantsOf(constants(t));
      const at = (pattern: RegExp, ...names: string[]): Expression => {
        const own = expressionOf(one(pattern), [...Object.keys(c), ...names]);
        return (values) => own({ ...c, ...values });
      };
      const eighths = c["COLUMNS"]! / 8;
      const query = at(/put\((i \/ .+ \+ c \/ 2u),$/gm, "i", "c");
      const queries = range(c["QUERY_PLACES"]!).map((i) => query({ i, c: 2 * (i % eighths) }));
      expect(sorted(queries)).toEqual(cells(c["TILE"]!, eighths, c["STRIDE"]!));
      const key = at(/put\((i \/ .+), eight\(halves\(next\.keys/g, "i");
      const keys = range(c["KEY_PLACES"]!).map((i) => key({ i }));
      expect(sorted(keys)).toEqual(cells(t.keys, eighths, c["STRIDE"]!));
      const value = at(/put\(FIRST_VALUES \+ (.+), eight\(/g, "i", "q");
      const values = range(c["VALUE_PLACES"]!).flatMap((i) => range(4).map((q) => value({ i, q })));
      expect(sorted(values)).toEqual(cells(c["COLUMNS_V"]!, t.keys / 8, c["STRIDE_V"]!));
      // Together, the lanes have a register for every place.
      for (const [each, places] of [
        ["QUERIES_EACH", "QUERY_PLACES"],
        ["KEYS_EACH", "KEY_PLACES"],
        ["VALUES_EACH", "VALUE_PLACES"],
      ] as const)
        expect(c[each]! * c["LANES"]!).toBeGreaterThanOrEqual(c[places]!);
    }
  });

  it("give every pair's weight and change one lane of its own subgroup", () => {
    for (const t of all) {
      const { c, of, at } = gradient(t);
      const firstRow = at(/let firstRow = (.+);/g, "subgroup", "member");
      const share = at(/let share = (.+);/g, "member");
      const score = at(/let j = (8u \* .+);/g, "p", "share", "h");
      const vector = at(/let at = \(firstRow \+ r\) \* STRIDE_W \+ (.+);/g, "p", "share");
      const beyond = of("p * SHARING + share", "p", "share");
      const [read, written]: [number[], number[]] = [[], []];
      for (const subgroup of range(t.subgroups))
        for (const member of range(width))
          for (const r of range(c["EACH"]!))
            for (const p of range(c["PARTS"]!)) {
              const row = firstRow({ subgroup, member }) + r;
              const own = { p, share: share({ member }) };
              expect(Math.floor(row / t.m)).toBe(subgroup);
              if (beyond(own) >= t.keys / 8) continue;
              written.push((row * t.keys) / 8 + vector(own));
              for (const h of [0, 1]) read.push(...range(4).map((n) => row * t.keys + score({ ...own, h }) + n));
            }
      expect(sorted(read)).toEqual(cells(c["TILE"]!, t.keys, t.keys));
      expect(sorted(written)).toEqual(cells(c["TILE"]!, t.keys / 8, t.keys / 8));
    }
  });
});
