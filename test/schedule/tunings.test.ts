// The families of tunings: what a device starts with fits it, all that may be chosen is read back as it was printed, and nothing else is.
import { describe, expect, it } from "vitest";
import { Reader } from "../../src/program/reader.js";
import { DEFAULT_LIMITS, DEVICE_CLASSES, type Target } from "../../src/program/target.js";
import { candidates, families, tuningsFor, type FamilyName, type Tunings } from "../../src/schedule/tunings/index.js";

const NAMES = Object.keys(families) as readonly FamilyName[]; // the keys of the total table
const SUBGROUPS = [null, [4, 4], [8, 8], [16, 16], [32, 32], [64, 64], [8, 32]] as const;
const targets: readonly Target[] = DEVICE_CLASSES.flatMap((device) =>
  SUBGROUPS.map((subgroups): Target => ({ device, subgroups, f16: false, limits: DEFAULT_LIMITS })),
);

const readBack = <F extends FamilyName>(name: F, tunings: Tunings[F]): Tunings[F] =>
  families[name].read(Reader.parse(JSON.stringify(tunings), (what) => new Error(what)));

describe.each(NAMES)("tunings of %s", (name) => {
  it("fit every device they are the defaults of", () => {
    for (const target of targets) {
      const own = families[name].defaults(target);
      expect(misfit(name, own, target)).toBeNull();
      expect(tuningsFor(target)[name]).toEqual(own);
      expect(readBack(name, own)).toEqual(own);
    }
  });
  it("that may be chosen fit their device and are read back", () => {
    for (const target of targets) {
      const all = candidates(name, target);
      expect(new Set(all.map((c) => c.name)).size).toBe(all.length);
      for (const { tunings } of all) {
        expect(misfit(name, tunings, target)).toBeNull();
        expect(readBack(name, tunings)).toEqual(tunings);
      }
    }
  });
  it("are refused where a field is missing, too many or no tuning", () => {
    const text = JSON.stringify(tuningsFor(targets[0]!)[name]);
    const damaged = [text.replace(/"\w+":/, '"other":'), text.replace(/\d+/, "-3"), text.replace("{", '{"more":1,'), "null", "[]", '"plain"'];
    for (const wrong of damaged) expect(() => families[name].read(Reader.parse(wrong, (what) => new Error(what))), wrong).toThrow(/must|has|unknown|is|found/);
  });
});

const misfit = <F extends FamilyName>(name: F, tunings: Tunings[F], target: Target): string | null => families[name].misfit(tunings, target);

describe("a target", () => {
  const mesa: Target = { device: "mesa-software", subgroups: [8, 8], f16: false, limits: DEFAULT_LIMITS };
  it("of subgroups in another width, or in none, takes what needs none", () => {
    for (const subgroups of [null, [16, 16], [4, 8]] as const) {
      const { rowSums, top } = tuningsFor({ ...mesa, subgroups });
      expect([rowSums.kind, ...top.map((c) => c.tuning.kind)]).not.toContain("subgroup");
    }
    expect(tuningsFor(mesa).rowSums.kind).toBe("subgroup");
  });
  it("of small workgroups is told what does not fit", () => {
    const small: Target = { ...mesa, subgroups: null, limits: { ...DEFAULT_LIMITS, invocationsPerWorkgroup: 128 } };
    expect(families.top.misfit([{ most: null, tuning: { kind: "workgroup", lanes: 256 } }], small)).toMatch(/workgroups of 256/);
    expect(families.reductions.misfit({ lanes: 256, alone: 0 }, small)).toMatch(/workgroups of 256/);
    expect(families.rowSums.misfit({ kind: "subgroup", width: 8, rows: 4 }, small)).toMatch(/subgroups of 8/);
  });
});

it.each([
  ["no case", "[]"],
  ["no case for any length", '[{"most":5,"tuning":{"kind":"workgroup","lanes":32}}]'],
  ["a case behind that for any length", '[{"most":null,"tuning":{"kind":"workgroup","lanes":32}},{"most":9,"tuning":{"kind":"workgroup","lanes":32}}]'],
  [
    "cases that go down",
    '[{"most":9,"tuning":{"kind":"workgroup","lanes":32}},{"most":5,"tuning":{"kind":"workgroup","lanes":32}},{"most":null,"tuning":{"kind":"workgroup","lanes":32}}]',
  ],
])("tunings of top with %s are refused", (_name, text) => {
  expect(() => families.top.read(Reader.parse(text, (what) => new Error(what)))).toThrow(/must/);
});
