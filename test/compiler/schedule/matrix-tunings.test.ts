// Tunings of matrix units, for subgroups of every width: each is legal on the device it is for, and by the kernel's own
// expressions every value of a tile is staged once and every sum stored once.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { Reader } from "../../../src/runtime/program/reader.js";
import { readTarget } from "../../../src/runtime/program/read-target.js";
import {
  DEFAULT_LIMITS,
  PORTABLE,
  type MatrixShape,
  type Precision,
  type Target,
} from "../../../src/runtime/program/target.js";
import {
  matrixBytes,
  matrixFault,
  matrixMisfit,
  matrixTunings,
} from "../../../src/compiler/schedule/tunings/matrix.js";
import { attentionName, attentionOnUnits } from "../../../src/compiler/schedule/tunings/attention.js";
import { attentionBytes, tilingsOf } from "../../../src/compiler/schedule/tunings/attention-matrix.js";
import { products, tuningName } from "../../../src/compiler/schedule/tunings/products.js";
import { families } from "../../../src/compiler/schedule/tunings/index.js";
import { byTurns, soaking } from "../../soak.js";
import { expressionOf, expressionsOf, range, type Expression } from "./wgsl-expressions.js";

const half = (m: number, n: number, k: number): MatrixShape => ({ m, n, k, input: "f16", output: "f32" });
/** What adapters list: Apple and Mesa, Intel, NVIDIA; and one that kernels have no use for. */
const SHAPES = [half(8, 8, 8), half(8, 16, 16), half(16, 16, 16), half(16, 8, 16), half(16, 8, 8)];
const BYTES: MatrixShape = { m: 16, n: 16, k: 32, input: "u8", output: "u32" };
const WIDTHS = [4, 8, 16, 32, 64];

const targetOf = (width: number, matrices: readonly MatrixShape[], large = true): Target => ({
  device: "discrete",
  subgroups: [width, width],
  f16: true,
  matrices,
  matrixVectors: true,
  limits: large ? { ...DEFAULT_LIMITS, workgroupStorageBytes: 32_768, invocationsPerWorkgroup: 1024 } : DEFAULT_LIMITS,
});

const { one, constantsOf } = expressionsOf("matmul_matrix.wgsl");

describe.each(WIDTHS)("subgroups of %i", (width) => {
  it("have tunings that fit, for each product a device lists", () => {
    for (const large of [true, false]) {
      const target = targetOf(width, [...SHAPES, BYTES], large);
      const all = matrixTunings(target);
      for (const t of all) {
        const subgroups = (t.rows / (t.rows / t.down)) * (t.columns / (t.columns / t.across));
        expect(subgroups * width).toBeLessThanOrEqual(target.limits.invocationsPerWorkgroup);
        expect([matrixFault(t), matrixMisfit(t, target)]).toEqual([null, null]);
        expect(matrixBytes(t)).toBeLessThanOrEqual(target.limits.workgroupStorageBytes);
      }
      expect(new Set(all.map(({ m, n, k }) => `${m} ${n} ${k}`)).size).toBe(SHAPES.length);
    }
  });

  it("stage every value of a tile once, and store every sum once", () => {
    const all = matrixTunings(targetOf(width, SHAPES)).filter((t) => soaking || t.rows * t.columns <= 2048);
    for (const [i, t] of byTurns(all, 24, width / 4).entries()) {
      const given = { WIDTH: width, M: t.m, N: t.n, K: t.k, ROWS: t.rows, COLUMNS: t.columns, DEPTH: t.depth };
      const c = constantsOf({ ...given, DOWN: t.down, ACROSS: t.across, K_PER_LOAD: [1, 4, 8][i % 3]! });
      const of = (wgsl: string, ...names: string[]): Expression => {
        const own = expressionOf(wgsl, [...Object.keys(c), ...names]);
        return (values) => own({ ...c, ...values });
      };
      const cells = (rows: number, columns: number, stride: number): number[] =>
        range(rows).flatMap((row) => range(columns).map((column) => row * stride + column));
      const sorted = (places: readonly number[]): number[] => places.toSorted((a, b) => a - b);

      const eighths = c["EIGHTS"]!;
      const rowA = of(one(/let row = (lane .+);/g), "lane", "r");
      const ownA = of(one(/let own = (lane .+);/g), "lane", "e");
      const fitsA = of(one(/if \((FITS_A .+)\) \{/g), "row", "own", "r");
      const placeA = of(one(/put\((row .+), eight\(/g), "row", "own");
      const stagedA = range(c["LANES"]!).flatMap((lane) =>
        range(c["ALONG_EACH"]!).flatMap((e) =>
          range(c["ROWS_EACH"]!).flatMap((r) => {
            const [row, own] = [rowA({ lane, r }), ownA({ lane, e })];
            return fitsA({ row, own, r }) ? [placeA({ row, own })] : [];
          }),
        ),
      );
      expect(sorted(stagedA)).toEqual(cells(t.rows, eighths, c["STRIDE"]!));

      const placeN = of(one(/let n = (lane .+);\n      var x/g), "lane", "p");
      const fitsB = of(one(/let owns = (FITS_B .+);/g), "n");
      const placeB = of(one(/let at = (FIRST_B .+);/g), "n");
      // Of eight k a place stores its four columns; of four k it and its neighbour store two columns each.
      const columnsOf = (n: number): readonly number[] =>
        c["EIGHT"] === 8 ? range(4) : range(2).map((column) => column + 2 * (n % 2));
      const stagedB = range(c["LANES"]!).flatMap((lane) =>
        range(c["PLACES_EACH"]!).flatMap((p) => {
          const n = placeN({ lane, p });
          return fitsB({ n }) ? columnsOf(n).map((column) => placeB({ n }) + column * c["STRIDE"]!) : [];
        }),
      );
      const columnsOfB = cells(t.columns, eighths, c["STRIDE"]!).map((vector) => c["FIRST_B"]! + vector);
      expect(sorted(stagedB)).toEqual(columnsOfB);

      // What the units read and write: each subgroup's matrices, by the rows and columns of the tile.
      const [ownX, ownY] = one(/let own = vec2u\((.+)\);/g).split(", ") as [string, string];
      const own = [of(ownX, "subgroup"), of(ownY, "subgroup")] as const;
      const readA = of(one(/leftAt\((.+)\); \}/g), "own_x", "i", "k");
      const readB = of(one(/rightAt\(FIRST_B \+ (.+)\);/g), "own_y", "j", "k");
      const stored = of(one(/putSums\((.+), total/g), "subgroup", "own_y", "j");
      const rowOf = of(one(/let row = tile\.first \+ (.+);/g), "at", "i");
      const summed: number[] = [];
      const finished: number[] = [];
      for (const strip of range(c["OWN_DOWN"]!)) {
        const inSums: number[] = [];
        for (const subgroup of range(t.down * t.across)) {
          const [x, y] = [own[0]({ subgroup }), own[1]({ subgroup })];
          for (const j of range(c["OWN_ACROSS"]!)) {
            const [a, b] = [readA({ own_x: x, i: strip, k: 0 }), readB({ own_y: y, j, k: 0 })];
            const [row, column] = [a / c["STRIDE"]!, b / c["STRIDE"]!];
            summed.push(row * t.columns + column);
            const at = stored({ subgroup, own_y: y, j });
            inSums.push(...cells(t.m, t.n / 4, c["STRIDE_SUMS"]!).map((place) => at + place));
            // The row that `finish` takes from there is the row that the units summed.
            expect(rowOf({ at: Math.floor(at / c["STRIDE_SUMS"]!), i: strip })).toBe(row);
            expect(4 * (at % c["STRIDE_SUMS"]!)).toBe(column);
          }
        }
        expect(sorted(inSums)).toEqual(cells(t.down * t.m, t.columns / 4, c["STRIDE_SUMS"]!));
        finished.push(...range(t.down * t.m).map((at) => rowOf({ at, i: strip })));
      }
      expect(sorted(finished)).toEqual(range(t.rows));
      expect(sorted(summed)).toEqual(
        range(t.rows, t.m).flatMap((x) => range(t.columns, t.n).map((y) => x * t.columns + y)),
      );
    }
  });
});

describe("the defaults of a GPU that lists units", () => {
  const { matrices: _, ...without } = targetOf(32, SHAPES);
  const usual = products.defaults(without);
  const own = products.defaults(targetOf(32, SHAPES));

  it("take them where operands may be rounded, and leave all others as they were", () => {
    const { rounding, roundingByValue, largeByValue, ...others } = own;
    const { largeByValue: usualLarge, ...usualOthers } = usual;
    expect(others).toEqual({ ...usualOthers, subgroupSize: 32 });
    const { rounding: roundingLarge, ...large } = largeByValue!;
    expect(large).toEqual(usualLarge);
    expect(roundingLarge && tuningName(roundingLarge)).toBe("matrix 128 × 128 × 32 by 2 × 4 of 16 × 16 × 16");
    expect(rounding?.byWeight.map(({ most, tuning }) => [most, tuningName(tuning)])).toEqual([
      [1, "row 1 × 4"],
      [32, "row 4 × 4"],
      [512, "matrix 64 × 64 × 64 by 2 × 2 of 16 × 16 × 16"],
      [null, "matrix 128 × 128 × 32 by 2 × 4 of 16 × 16 × 16"],
      [null, "matrix 64 × 64 × 64 by 2 × 2 of 16 × 16 × 16"],
    ]);
    expect(roundingByValue).toEqual(rounding?.byWeight[2]?.tuning);
    expect(families.products.read(new Reader(JSON.parse(JSON.stringify(own)), (what) => new Error(what)))).toEqual(own);
    expect(attentionName(families.attention.defaults(targetOf(32, SHAPES)))).toBe(
      "matrix 128 × 32 by 8 of 16 × 16 × 16, query 512 by subgroups in parts of 1024",
    );
    expect(families.attention.defaults(without).kind).toBe("wide");
  });

  it("are no others where it lists none of f16 in f32, varies in width, or is a software device", () => {
    const software: Target = { ...targetOf(8, SHAPES), device: "mesa-software" };
    for (const target of [
      targetOf(32, [BYTES]),
      { ...targetOf(32, SHAPES), subgroups: [16, 32] } as const,
      { ...targetOf(32, SHAPES), f16: false },
      software,
    ]) {
      expect(products.defaults(target).rounding).toBeUndefined();
      expect(families.attention.defaults(target).kind).not.toBe("matrix");
    }
  });

  it("compute by units what has weights in f16, or may be rounded, but few rows", () => {
    const source = (rows: number) => `model Product() {
  weight w: f32[96, 64] = normal(1)
  forward(x: f32[${rows}, 64]) -> f32[${rows}, 96] { x @ transpose(w) }
}`;
    const filesOf = (rows: number, precision: Precision): readonly string[] =>
      compile(source(rows), { target: targetOf(32, SHAPES), precision }).program!.kernels.map(({ name }) =>
        name.replace(/\.\d+$/, ""),
      );
    expect(filesOf(32, {})).toEqual(["matmul_row"]);
    expect(filesOf(33, {})).toEqual(["matmul_tiled"]);
    for (const precision of [{ weights: "f16" }, { products: "f16" }] as const) {
      expect(filesOf(200, precision)).toEqual(["matmul_matrix"]);
      expect(filesOf(16, precision)).toEqual(["matmul_row"]);
    }
  });
});

describe("tunings of attention", () => {
  const target = targetOf(32, [half(16, 16, 16)]);
  const refuse = (what: string): Error => new Error(what);
  const [first] = attentionOnUnits(target);

  it("are what was written", () => {
    for (const tuning of attentionOnUnits(targetOf(16, SHAPES))) {
      expect(families.attention.read(new Reader(JSON.parse(JSON.stringify(tuning)), refuse))).toEqual(tuning);
      expect(families.attention.incompatibility(tuning, targetOf(16, SHAPES))).toBeNull();
    }
  });

  it.each([
    [{ keys: 24 }, /24 keys are not whole matrices of 16/],
    [{ k: 4 }, /matrices of 4 k are no whole eights/],
    [{ vectors: "yes" }, /vectors must be true or false/],
    [{ width: 24 }, /24 lanes cannot share 16 queries/],
    [{ subgroups: 0 }, /whole number from 1/],
    [{ other: { kind: "matrix" } }, /must be/],
  ])("are refused: %o", (changed, message) => {
    expect(() => families.attention.read(new Reader({ ...first, ...changed }, refuse))).toThrow(message);
  });

  it.each([
    [{ ...target, matrices: [half(8, 8, 8)] }, /matrix units of 16 × 16 × 16/],
    [{ ...target, subgroups: [16, 32] }, /subgroups of 32/],
    [{ ...target, matrixVectors: false }, /load vectors/],
    [{ ...target, limits: { ...target.limits, workgroupStorageBytes: 16_384 } }, /32768 bytes of workgroup memory/],
    [{ ...target, limits: { ...target.limits, invocationsPerWorkgroup: 32 } }, /workgroups of 64/],
  ] as const)("do not fit a device that lacks what they need: %o", (other, message) => {
    expect(families.attention.incompatibility(first!, target)).toBeNull();
    expect(families.attention.incompatibility(first!, other)).toMatch(message);
  });

  it("shrink for wide heads until they fit, down to one matrix of queries and of keys", () => {
    const tilings = tilingsOf({ ...first!, subgroups: 4, keys: 32 });
    expect(tilings.map((t) => [t.subgroups, t.keys])).toEqual([
      [4, 32],
      [4, 16],
      [2, 32],
      [2, 16],
      [1, 32],
      [1, 16],
    ]);
    const bytes = tilings.map((t) => attentionBytes(t, 128, 128));
    expect([bytes[0], bytes.at(-1)]).toEqual([Math.max(...bytes), Math.min(...bytes)]);
  });
});

describe("tunings and targets that are read", () => {
  const target = targetOf(32, [half(16, 16, 16)]);
  const refuse = (what: string): Error => new Error(what);
  const tuning = matrixTunings(target)[0]!;
  const cases = [{ most: null, tuning }];
  const productTunings = {
    subgroupSize: 32,
    panel: 32,
    leastColumns: 1,
    byWeight: cases,
    byWeightAnyRows: cases,
    shapes: [],
  };
  const read = (changed: object): unknown => {
    const own = [{ most: null, tuning: { ...tuning, ...changed } }];
    const all = { ...productTunings, byWeight: own, byValue: { kind: "plain" } };
    return families.products.read(new Reader(all, refuse));
  };

  it("are what was written", () => {
    expect(readTarget(new Reader(JSON.parse(JSON.stringify(target)), refuse))).toEqual(target);
    expect(readTarget(new Reader(PORTABLE, refuse))).toEqual(PORTABLE);
    expect(read({})).toMatchObject({ byWeight: cases });
  });

  it.each([
    [{ rows: 24 }, /24 rows are not whole matrices of 16/],
    [{ columns: 40 }, /40 columns are not whole matrices/],
    [{ depth: 40 }, /depth of 40 is no multiple/],
    [{ k: 4 }, /matrices of 4 k are no whole eights/],
    [{ vectors: 1 }, /vectors must be true or false/],
    [{ rows: 512, columns: 512 }, /too many for a subgroup/],
    [{ down: 0 }, /whole number from 1/],
    [{ k: 1e9 }, /whole number from 1/],
    [{ stages: 2 }, /unknown field "stages"/],
  ])("are refused: %o", (changed, message) => {
    expect(() => read(changed)).toThrow(message);
  });

  it.each([
    [{ matrices: [{ ...half(8, 8, 8), input: "f64" }] }, /must be f32 or f16/],
    [{ matrices: [{ ...half(8, 8, 8), m: 0 }] }, /whole number from 1 to 256/],
    [{ matrices: Array.from({ length: 65 }, () => half(8, 8, 8)) }, /at most 64/],
    [{ matrices: null }, /must be a list/],
  ])("are refused in a target: %o", (changed, message) => {
    expect(() => readTarget(new Reader({ ...target, ...changed }, refuse))).toThrow(message);
  });

  it("are refused where subgroups have no width", () => {
    const without = { ...productTunings, subgroupSize: null, byValue: tuning };
    const readAll = (all: object): unknown => families.products.read(new Reader(all, refuse));
    expect(() => readAll(without)).toThrow(/byValue is matrix, and the tunings are for subgroups of no width/);
    expect(() => readAll({ ...without, byValue: { kind: "plain" } })).toThrow(/tuning is matrix, and/);
  });

  it("do not fit a device that lacks what they need", () => {
    const lacking: readonly (readonly [Target, RegExp])[] = [
      [{ ...target, matrices: [half(8, 8, 8)] }, /matrix units of 16 × 16 × 16 of f16 in f32/],
      [{ ...target, f16: false }, /matrix units/],
      [{ ...target, subgroups: [16, 32] }, /matrix units/],
      [{ ...target, matrixVectors: false }, /load vectors/],
      [{ ...target, limits: { ...DEFAULT_LIMITS, workgroupStorageBytes: 1024 } }, /bytes of workgroup memory/],
      [{ ...target, limits: { ...DEFAULT_LIMITS, invocationsPerWorkgroup: 16 } }, /workgroups of 32/],
    ];
    expect(matrixMisfit(tuning, target)).toBeNull();
    for (const [other, message] of lacking) expect(matrixMisfit(tuning, other)).toMatch(message);
  });
});
