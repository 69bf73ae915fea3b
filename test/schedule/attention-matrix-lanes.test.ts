// Attention on matrix units, for subgroups of every width: by the kernels' own expressions every value of a tile is
// staged once, and every score and every sum has one lane.
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, type MatrixShape, type Target } from "../../src/program/target.js";
import { attentionOnUnits } from "../../src/schedule/tunings/attention.js";
import { columnsOf } from "../../src/schedule/tunings/attention-matrix.js";
import { byTurns } from "../soak.js";
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
        // The rows that its units read are those that its lanes wrote.
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

  it.each([
    ["attention_matrix_grad.wgsl", "ownA", "TILE", "COLUMNS", "STRIDE"],
    ["attention_matrix_grad.wgsl", "ownB", "TILE", "COLUMNS_V", "STRIDE_V"],
    ["attention_matrix_grad.wgsl", "otherX", "BLOCK", "COLUMNS", "STRIDE"],
    ["attention_matrix_grad.wgsl", "otherY", "BLOCK", "COLUMNS_V", "STRIDE_V"],
  ])("%s stages every value of %s once", (file, name, rows, columns, stride) => {
    const { one, constantsOf } = expressionsOf(file);
    const place = one(new RegExp(`${name}\\[([^\\]]+)\\] = half\\[j\\]`, "g"));
    for (const t of all) {
      const c = constantsOf(constants(t));
      const at = expressionOf(place, [...Object.keys(c), "i", "r", "c", "j"]);
      const fours = c[columns]! / 4;
      const staged = range(c[rows]! * fours).flatMap((i) =>
        range(4).map((j) => at({ ...c, i, r: Math.floor(i / fours), c: i % fours, j })),
      );
      expect(sorted(staged)).toEqual(cells(c[rows]!, c[columns]!, c[stride]!));
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
      // All of a lane's are as many as there are.
      for (const [each, places] of [
        ["QUERIES_EACH", "QUERY_PLACES"],
        ["KEYS_EACH", "KEY_PLACES"],
        ["VALUES_EACH", "VALUE_PLACES"],
      ] as const)
        expect(c[each]! * c["LANES"]!).toBeGreaterThanOrEqual(c[places]!);
    }
  });

  it("give every pair's weight and change one lane", () => {
    const { one, constantsOf } = expressionsOf("attention_matrix_grad.wgsl");
    for (const t of all) {
      const c = constantsOf(constants(t));
      const names = Object.keys(c);
      const row = expressionOf(one(/let r = (.+);/g), [...names, "i"]);
      const column = expressionOf(one(/let j = (.+);/g), [...names, "i"]);
      const at = expressionOf(one(/changes\[(.+)\] = /g), [...names, "r", "j", "c"]);
      const written = range((c["TILE"]! * t.keys) / 4).flatMap((i) =>
        range(4).map((n) => at({ ...c, r: row({ ...c, i }), j: column({ ...c, i }), c: n })),
      );
      expect(sorted(written)).toEqual(cells(c["TILE"]!, t.keys, c["STRIDE_P"]!));
    }
  });
});
