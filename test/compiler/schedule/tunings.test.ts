// Tunings are plain data: they survive a file, fit the targets they are made for, and nothing else gets in.
import { describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { kernelsDigest } from "../../../src/ground/embedded.js";
import { parseProgram, printProgram } from "../../../src/runtime/program/serialize.js";
import {
  DEFAULT_LIMITS,
  DEVICE_CLASSES,
  PORTABLE,
  type SubgroupRange,
  type Target,
} from "../../../src/runtime/program/target.js";
import {
  tuningsDigest,
  checkTunings,
  isOf,
  parseTunings,
  printTunings,
  TuningsError,
  tuningsFile,
} from "../../../src/compiler/schedule/tunings/file.js";
import {
  candidates,
  families,
  misfitOf,
  tuningsFor,
  type FamilyName,
  type Tunings,
} from "../../../src/compiler/schedule/tunings/index.js";
import { random } from "../../random.js";

const RANGES: readonly (SubgroupRange | null)[] = [
  null,
  [4, 4],
  [8, 8],
  [16, 16],
  [32, 32],
  [64, 64],
  [8, 32],
  [32, 64],
];
const TARGETS: readonly Target[] = DEVICE_CLASSES.flatMap((device) =>
  RANGES.flatMap((subgroups) =>
    [true, false].map((f16): Target => ({ device, subgroups, f16, limits: DEFAULT_LIMITS })),
  ),
);
const nameOf = ({ device, subgroups, f16 }: Target): string =>
  `${device}, subgroups ${subgroups?.join(" to ") ?? "none"}, ${f16 ? "with" : "without"} f16`;
const ADAPTER = { name: "A GPU", vendor: "somebody", architecture: "first", driver: "1.0" };
const FAMILIES = Object.keys(families) as readonly FamilyName[];

describe("tunings of a target", () => {
  it.each(TARGETS.map((t) => [nameOf(t), t] as const))("fit it, and survive a file: %s", (_name, target) => {
    const tunings = tuningsFor(target);
    expect(misfitOf(tunings, target)).toBeNull();
    const file = tuningsFile(ADAPTER, target, tunings);
    expect(parseTunings(printTunings(file))).toEqual(file);
  });
  it.each(TARGETS.filter((t) => t.f16).map((t) => [nameOf(t), t] as const))(
    "may be every candidate: %s",
    (_name, target) => {
      for (const family of FAMILIES) {
        const all = candidates(family, target);
        expect(new Set(all.map((c) => c.name)).size).toBe(all.length);
        for (const { name, tunings } of all) {
          const file = tuningsFile(ADAPTER, target, { ...tuningsFor(target), [family]: tunings });
          expect(misfitOf(file.tunings, target), `${family} ${name}`).toBeNull();
          expect(parseTunings(printTunings(file)), `${family} ${name}`).toEqual(file);
        }
      }
    },
  );
  it("rely on no subgroups where there are none of one width", () => {
    for (const target of TARGETS)
      if (target.subgroups === null || target.subgroups[0] !== target.subgroups[1])
        expect(JSON.stringify(tuningsFor(target))).not.toContain('"kind":"subgroup"');
  });
});

const MESA: Target = { device: "mesa-software", subgroups: [8, 8], f16: true, limits: DEFAULT_LIMITS };
const good = tuningsFile(ADAPTER, MESA, tuningsFor(MESA));
type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** The file with something else in a place. */
function changed(path: readonly (string | number)[], value: unknown): string {
  // changed below as no program would
  const copy = structuredClone(good) as unknown as Record<string | number, unknown>;
  let at = copy;
  for (const step of path.slice(0, -1)) at = at[step] as typeof at;
  at[path.at(-1)!] = value;
  return JSON.stringify(copy);
}

describe("a file of tunings is refused", () => {
  const CASES: readonly (readonly [string, string, RegExp])[] = [
    ["that is no JSON", "{", /it is not JSON/],
    ["that is a list", "[]", /it must be an object, found a list/],
    ["that is too long", `"${"x".repeat(5_000_000)}"`, /it is too long/],
    ["of another format", changed(["format"], "modc-program"), /format must be "modc-tunings"/],
    ["of another version", changed(["version"], 2), /version is 2/],
    ["with a field more", changed(["tunings", "more"], 1), /tunings has an unknown field "more"/],
    ["with a family less", JSON.stringify({ ...good, tunings: {} }), /tunings has no /],
    [
      "with __proto__",
      printTunings(good).replace('"products"', '"__proto__": {}, "products"'),
      /unknown field "__proto__"/,
    ],
    ["with an adapter that has no name", changed(["adapter", "name"], null), /adapter\.name must be a string/],
    ["with a name without end", changed(["adapter", "name"], "x".repeat(2000)), /adapter\.name must have at most 1000/],
    [
      "with a tile that no kernel has",
      changed(["tunings", "products", "byWeight", 0, "tuning", "rows"], 3),
      /rows must be one of 1, 4, 8, 16, 24, found 3/,
    ],
    [
      "with a kernel that does not exist",
      changed(["tunings", "products", "byValue"], { kind: "magic" }),
      /byValue\.kind must be/,
    ],
    [
      "with selections that are neither wide nor not",
      changed(["tunings", "reductions", "wide"], 1),
      /reductions\.wide must be true or false/,
    ],
    [
      "with as many keys in registers as no kernel has",
      changed(["tunings", "top", 0, "tuning"], { kind: "held", keys: 5 }),
      /top\[0\]\.tuning\.keys must be one of 4, 8, 16, found 5/,
    ],
    [
      "with lanes for a query that no workgroup has",
      changed(["tunings", "attention", "few"], { lanes: 96, least: null, most: 8, part: null }),
      /few\.lanes must be one of 64, 128, 256, 512, 1024, found 96/,
    ],
    [
      "with more lanes for a query than its target has in a workgroup",
      changed(["tunings", "attention", "few"], { lanes: 1024, least: null, most: 8, part: null }),
      /do not fit their own target: attention of few queries needs workgroups of 1024/,
    ],
    [
      "with parts of no keys",
      changed(["tunings", "attention", "few"], { lanes: 64, least: null, most: 8, part: 0 }),
      /few\.part must be a whole number from 256 to 65536, found 0/,
    ],
    [
      "with wider subgroups for a query than its target has",
      changed(["tunings", "attention", "few"], { lanes: 256, least: 16, most: 8, part: null }),
      /do not fit their own target: attention of few queries needs subgroups of at least 16/,
    ],
    [
      "with a tile of rows that has more sums than lanes",
      changed(["tunings", "products", "byValue"], { kind: "row", rows: 4, vectors: 8 }),
      /byValue is row, of 4 × 8 vectors, which are more than 16/,
    ],
    [
      "with few columns by another kernel",
      changed(["tunings", "products", "narrow"], {
        byWeight: [{ most: null, tuning: { kind: "row", rows: 1, vectors: 4 } }],
        byWeightAnyRows: [{ most: null, tuning: { kind: "plain" } }],
      }),
      /narrow\.byWeightAnyRows has a case that is not of kind row/,
    ],
    [
      "with few columns by a kernel of whole panels",
      changed(["tunings", "products", "narrow"], {
        byWeight: [{ most: null, tuning: { kind: "tiled", rows: 4, vectors: 1 } }],
        byWeightAnyRows: [{ most: null, tuning: { kind: "row", rows: 1, vectors: 4 } }],
      }),
      /narrow\.byWeight\[0\]\.tuning is tiled/,
    ],
    ["with no case", changed(["tunings", "products", "byWeight"], []), /byWeight must hold a case/],
    [
      "without a case for many rows",
      changed(["tunings", "products", "byWeight"], [{ most: 3, tuning: { kind: "plain" } }]),
      /must end with a case for any/,
    ],
    [
      "with a panel that a tile does not take",
      changed(["tunings", "products", "panel"], 64),
      /which takes panels of four times/,
    ],
    ["with a panel that is no whole vectors", changed(["tunings", "products", "panel"], 33), /must be a multiple of 4/],
    ["with subgroups that its target lacks", changed(["target", "subgroups"], null), /do not fit their own target/],
    [
      "with no case for integers",
      changed(["tunings", "products", "quantized", "byWeight"], []),
      /quantized\.byWeight must hold a case/,
    ],
    [
      "with cases for buffers without those of any rows",
      changed(["tunings", "products", "buffered"], { byWeight: [] }),
      /buffered has no "?byWeightAnyRows/,
    ],
    [
      "with rows packed for subgroups of another width",
      changed(["tunings", "products"], {
        subgroupSize: 16,
        panel: 64,
        leastColumns: 1,
        shapes: [],
        byValue: { kind: "plain" },
        byWeight: [{ most: null, tuning: { kind: "packed", rows: 24, vectors: 2 } }],
        byWeightAnyRows: [{ most: null, tuning: { kind: "plain" } }],
      }),
      /is packed, by 24 rows, which are no multiple of the width of a subgroup/,
    ],
    [
      "with a case for some columns of a shape that has its own",
      changed(
        ["tunings", "products", "shapes"],
        [
          {
            depth: 64,
            columns: 256,
            panel: 32,
            byWeight: [
              { most: null, tuning: { kind: "plain" }, columns: 512 },
              { most: null, tuning: { kind: "plain" } },
            ],
            byWeightAnyRows: [{ most: null, tuning: { kind: "plain" } }],
          },
        ],
      ),
      /shapes\[0\] has a case for some columns/,
    ],
    [
      "with no case for as many rows and fewer columns",
      changed(
        ["tunings", "products", "byWeightAnyRows"],
        [
          { most: 8, columns: 64, tuning: { kind: "plain" } },
          { most: null, tuning: { kind: "plain" } },
        ],
      ),
      /byWeightAnyRows must have a case for as many rows behind that of 64 columns/,
    ],
    [
      "whose last case is of some columns",
      changed(["tunings", "products", "byWeightAnyRows"], [{ most: null, columns: 64, tuning: { kind: "plain" } }]),
      /must end with a case for any number of rows .* whatever the columns/,
    ],
    [
      "with packed rows of what is computed",
      changed(["tunings", "products", "byValue"], { kind: "packed", rows: 24, vectors: 2 }),
      /byValue must not be packed/,
    ],
    ["that says how tiles narrow", changed(["tunings", "products", "narrows"], 2), /narrows must be true or false/],
    ["with infinite rows", printTunings(good).replace('"most": 1,', '"most": 1e999,'), /most is too large/],
  ];
  it.each(CASES)("%s", (_name, text, message) => {
    expect(() => parseTunings(text)).toThrow(TuningsError);
    expect(() => parseTunings(text)).toThrow(message);
  });

  it("with cases that go down", () => {
    const cases = [4, 4, null].map((most) => ({ most, tuning: { kind: "plain" } }));
    expect(() => parseTunings(changed(["tunings", "products", "byWeight"], cases))).toThrow(
      /byWeight must go up, found 4 after 4/,
    );
  });
  it("as stale where its kernels are others, whatever else is in it", () => {
    const fault = (() => {
      try {
        return checkTunings({ ...good, kernels: "0000000000000000", tunings: null });
      } catch (error) {
        return error;
      }
    })();
    expect(fault).toMatchObject({ name: "TuningsError", fault: "stale", hint: "run `modc tune` again" });
  });

  it("or read whole, whatever stands in any place", () => {
    const r = random(5);
    const places: (string | number)[][] = [];
    const walk = (value: unknown, path: (string | number)[]): void => {
      if (path.length > 0) places.push(path);
      if (typeof value === "object" && value !== null)
        for (const [k, v] of Object.entries(value)) walk(v, [...path, Array.isArray(value) ? Number(k) : k]);
    };
    walk(good, []);
    const values: readonly Json[] = [
      null,
      true,
      -1,
      0,
      1,
      2,
      0.5,
      1e300,
      "",
      "x",
      [],
      [1],
      {},
      { kind: "plain" },
      { most: null, tuning: { kind: "tiled", rows: 4, vectors: 1 } },
      { kind: "tiled" },
      { kind: "tiled", rows: 5, vectors: 1 },
      { kind: "tiled", rows: 4, vectors: 2 },
      { kind: "row", rows: 2, vectors: 8 },
    ];
    for (const path of places)
      for (const value of values) {
        if (r.next() < 0.3) continue;
        try {
          const file = parseTunings(changed(path, value));
          expect(misfitOf(file.tunings, file.target)).toBeNull();
        } catch (error) {
          expect(error).toBeInstanceOf(TuningsError);
        }
      }
  });
});

describe("an adapter", () => {
  it.each(["name", "vendor", "architecture", "driver"] as const)("is another where its %s is", (field) => {
    expect(isOf(good, ADAPTER)).toBe(true);
    expect(isOf(good, { ...ADAPTER, [field]: "other" })).toBe(false);
  });
});

describe("compile", () => {
  const source = `import { Linear } from "std"
model M(n: int = 64) {
  l: Linear(n, 96)
  forward(x: f32[B, T, n]) -> f32[B, T, 96] { l(x) }
}`;
  const plain: Tunings = { ...tuningsFor(PORTABLE), products: candidates("products", MESA)[0]!.tunings };
  const file = tuningsFile(ADAPTER, MESA, plain);
  const kernelsOf = (text: ReturnType<typeof compile>): string => text.program!.kernels.map((k) => k.name).join();

  it("takes what a file holds, for the file's target unless another is given", () => {
    const { program } = compile(source, { tunings: file });
    expect(program!.target).toEqual(MESA);
    expect(kernelsOf(compile(source, { tunings: file }))).not.toBe(kernelsOf(compile(source, { target: MESA })));
    expect(compile(source, { tunings: file, target: PORTABLE }).program!.target).toEqual(PORTABLE);
  });
  it("names the tunings in the program, and the same ones give the same text", () => {
    const one = compile(source, { tunings: file }).program!;
    const again = compile(source, { tunings: parseTunings(printTunings(file)) }).program!;
    expect(one.tunings).toBe(tuningsDigest(plain));
    expect(printProgram(again)).toBe(printProgram(one));
    expect(parseProgram(printProgram(one)).tunings).toBe(one.tunings);
    expect(compile(source, { target: MESA }).program!.tunings).toBe(tuningsDigest(tuningsFor(MESA)));
  });
  it("refuses tunings that the target cannot run, and data that is no file of them", () => {
    expect(() => compile(source, { tunings: good, target: PORTABLE })).toThrow(
      /the tunings do not fit the target: .* needs? subgroups of 8, /,
    );
    expect(() => compile(source, { tunings: { ...file, tunings: { products: 3 } } as unknown as typeof file })).toThrow(
      TuningsError,
    ); // as a caller without types
  });
});

describe("digests", () => {
  it("are the same for the same data in another order, and others for other data", () => {
    // the same fields
    const turned = Object.fromEntries(Object.entries(good.tunings).toReversed()) as unknown as Tunings;
    expect(tuningsDigest(turned)).toBe(tuningsDigest(good.tunings));
    const digests = candidates("products", MESA).map(({ tunings }) =>
      tuningsDigest({ ...good.tunings, products: tunings }),
    );
    expect(new Set(digests).size).toBe(digests.length);
    expect(tuningsDigest(good.tunings)).toMatch(/^[0-9a-f]{16}$/);
    expect(kernelsDigest).toMatch(/^[0-9a-f]{16}$/);
  });
});
