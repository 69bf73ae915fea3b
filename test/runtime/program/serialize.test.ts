import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { emit } from "../../../src/compiler/codegen/emit.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { parseProgram, printProgram, ProgramError } from "../../../src/runtime/program/serialize.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { allSamples, caseOf } from "../../compiler/ops/samples.js";
import { ABOVE, graphOf } from "../../compiler/schedule/graphs.js";
import { cases, seedOf } from "../../soak.js";

const program: Program = emit(
  schedule(
    graphOf(
      `${ABOVE.body}%w = weight {"path":"__proto__","dtype":"f32","shape":[4,4]}()
%m = state {"name":"m","dtype":"f32","shape":[4]}()
%n = exp(%m)
state "m" f32[4] = zeros next %n
%h = matmul {"transposed":true}(%rows, %w)
%c = constant {"value":3,"dtype":"f32","shape":[]}()
%y = mul(%h, %c)
result "y" = %y [B, K, 4] packed K 0 1
result "old" = %m [4]`,
      ABOVE,
    ),
  ),
);
const text = printProgram(program);

const panels = (some: { depth: number; columns: number; total: number }): Json => ({
  kind: "panels",
  width: 4,
  transposed: true,
  first: 0,
  pairs: 0,
  ...some,
});

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** The program with one place changed. */
function changed(path: readonly (string | number)[], value: Json, of = text): string {
  const copy = JSON.parse(of) as Json;
  let at = copy as Record<string | number, Json>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, Json>;
  const last = path.at(-1)!;
  Object.defineProperty(at, last, { value, enumerable: true, configurable: true, writable: true });
  return JSON.stringify(copy);
}

describe("printing and parsing", () => {
  it("give the same program back", () => {
    expect(parseProgram(text)).toEqual(program);
    expect(printProgram(parseProgram(text))).toBe(text);
  });
  it.each(allSamples.map(({ op, sample }) => [op, sample.name, sample] as const))("%s (%s)", (op, _name, sample) => {
    const made = emit(schedule(caseOf(op, sample).graph));
    expect(parseProgram(printProgram(made))).toEqual(made);
  });
  it("put each step on a line", () => {
    expect(text.split("\n").filter((l) => l.includes('"kind":"dispatch"'))).toHaveLength(
      program.steps.filter((s) => s.kind === "dispatch").length,
    );
  });
});

describe("a damaged program is refused with the place", () => {
  const dispatch = program.steps.findIndex((s) => s.kind === "dispatch");
  const copy = program.steps.findIndex((s) => s.kind === "copy");
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["text that is not JSON", "{", /not JSON/],
    ["no object", "[]", /must be an object, found a list/],
    ["nothing in it", "{}", /has no format/],
    ["another format", changed(["format"], "onnx"), /format must be/],
    ["a later version", changed(["version"], 5), /version is 5/],
    ["a field too many", changed(["extra"], 1), /unknown field "extra"/],
    [
      "a prototype as a field",
      text.replace('{\n"format"', '{\n"__proto__": {"version": 1}, "format"'),
      /unknown field "__proto__"/,
    ],
    ["a field too few", changed(["slots", 0], { bytes: 4 }), /slots\[0\] has no label/],
    ["a size that is none", changed(["slots", 0, "bytes"], "4*rows(T"), /slots\[0\]\.bytes is not a size/],
    ["a size of an axis that is none", changed(["slots", 0, "bytes"], "4*Q"), /mentions "Q"/],
    ["rows of an axis that has none", changed(["slots", 0, "bytes"], "rows(B)"), /not a sequence axis/],
    ["a size that nests without end", changed(["slots", 0, "bytes"], `${"ceil(".repeat(500)}1`), /is not a size/],
    ["a size of a million characters", changed(["slots", 0, "bytes"], "1".repeat(1_000_000)), /at most/],
    ["a negative size", changed(["slots", 0, "bytes"], -4), /slots\[0\]\.bytes must be a whole number/],
    ["a size that is not a whole number", changed(["slots", 0, "bytes"], 1.5), /must be a whole number/],
    ["a live parameter that is none", changed(["slots", 0, "bytes"], "live(q)"), /mentions "q"/],
    ["a slot beyond the last", changed(["steps", dispatch, "slots", 0], 999), /slots\[0\] is 999/],
    ["a slot that is not a number", changed(["steps", dispatch, "slots", 0], "0"), /must be a number/],
    ["a kernel beyond the last", changed(["steps", dispatch, "kernel"], -1), /kernel is -1/],
    ["too few slots for the kernel", changed(["steps", dispatch, "slots"], []), /slots must be \d+ slots, found 0/],
    ["too few words for the kernel", changed(["steps", dispatch, "uniforms"], []), /uniforms must be \d+ words/],
    [
      "a slot written and bound twice",
      changed(
        ["steps", dispatch, "slots"],
        program.kernels[0]!.access.map(() => 0),
      ),
      /twice, once to be written/,
    ],
    [
      "a state that starts as a weight that is none",
      changed(["states", 0, "init"], { kind: "weight", path: "nowhere" }),
      /init\.path is "nowhere", which is not a weight/,
    ],
    [
      "starts of a dimension beyond the last",
      changed(["outputs", 0, "starts"], [{ dim: 9, slot: 0 }]),
      /starts\[0\]\.dim is 9/,
    ],
    ["a class of device that is none", changed(["target", "device"], "tpu"), /target\.device must be portable or/],
    [
      "a feature that is none",
      changed(["requires", "features"], ["warp-drive"]),
      /requires\.features\[0\] must be subgroups or/,
    ],
    [
      "subgroups of no width",
      changed(["requires", "subgroupSize"], 0),
      /requires\.subgroupSize must be a whole number from 1/,
    ],
    [
      "subgroups that are at least of no width",
      changed(["requires", "leastSubgroup"], 0),
      /requires\.leastSubgroup must be a whole number from 1/,
    ],
    ["a weight of an unknown form", changed(["weights", 0, "slots", 0, "form"], "f8"), /form must be .*"f8"/],
    [
      "a weight of two bytes a value in a slot of four",
      changed(["weights", 0, "slots", 0, "form"], "bf16"),
      /slot is \d+, which has not the 32 bytes/,
    ],
    [
      "a weight in an unknown layout",
      changed(["weights", 0, "slots", 0, "layout"], { kind: "tiles" }),
      /layout\.kind must be given or panels/,
    ],
    [
      "a weight in panels of other matrices",
      changed(["weights", 0, "slots", 0, "layout"], panels({ depth: 3, columns: 4, total: 4 })),
      /layout\.depth and width are 3 and 4/,
    ],
    [
      "a weight in panels that its slot does not hold",
      changed(["weights", 0, "slots", 0, "layout"], panels({ depth: 4, columns: 32, total: 4 })),
      /slots\[0\]\.slot is \d+, which has not the 512 bytes/,
    ],
    [
      "a copy onto itself",
      changed(["steps", copy, "to"], (program.steps[copy] as { from: number }).from),
      /is the slot that is copied/,
    ],
    ["a work beyond the last", changed(["steps", dispatch, "work"], 999), /work is 999/],
    ["a work named for no operator of its own", changed(["works", 0, "main"], 99), /works\[0\]\.main is 99/],
    ["a work of an unknown place", changed(["works", 0, "ops", 0, "origin"], 99), /works\[0\]\.ops\[0\]\.origin is 99/],
    ["operations that are no size", changed(["works", 0, "flops"], "2*Q"), /works\[0\]\.flops mentions "Q"/],
    ["an unknown kind of step", changed(["steps", 0, "kind"], "jump"), /kind must be dispatch or copy or clear/],
    ["an axis made from a later one", changed(["axes", 2, "count", "parent"], "K"), /stands before/],
    ["an axis twice", changed(["axes", 2, "name"], "T"), /second axis T/],
    ["a ratio that is none", changed(["axes", 2, "count", "expected"], "1/0"), /must be a ratio/],
    [
      "a table of counts that only the device has",
      changed(["tables", 0], { kind: "positions", axis: "K", slot: 0 }),
      /axis is "K", whose counts only the device/,
    ],
    ["a table of the wrong axis", changed(["tables", 0], { kind: "k", axis: "T", slot: 0 }), /no table of this kind/],
    [
      "two inputs of one name",
      changed(
        ["inputs"],
        [...(JSON.parse(text) as { inputs: Json[] }).inputs, ...(JSON.parse(text) as { inputs: Json[] }).inputs],
      ),
      /twice/,
    ],
    ["a dtype that is none", changed(["weights", 0, "dtype"], "f64"), /dtype must be/],
    ["a packing beyond the shape", changed(["outputs", 0, "packing", "tokenDim"], 7), /tokenDim is 7/],
  ];
  it.each(cases)("%s", (_name, damaged, message) => {
    expect(() => parseProgram(damaged)).toThrow(ProgramError);
    expect(() => parseProgram(damaged)).toThrow(message);
  });
});

describe("weights that share a slot", () => {
  const shared = emit(
    schedule(
      graphOf(
        `${ABOVE.body}%u = weight {"path":"u","dtype":"f32","shape":[40,4]}()
%v = weight {"path":"v","dtype":"f32","shape":[24,4]}()
%w = concat {"axis":0}(%u, %v)
%h = matmul {"transposed":true}(%rows, %w)
result "y" = %h [B, K, 64] packed K 0 1`,
        ABOVE,
      ),
    ),
  );
  const printed = printProgram(shared);
  const [u, v] = shared.weights.map((w) => w.slots[0]!) as [
    Program["weights"][0]["slots"][0],
    Program["weights"][0]["slots"][0],
  ];
  it("are read back side by side", () => {
    expect(parseProgram(printed)).toEqual(shared);
    expect(u.slot).toBe(v.slot);
    expect([u.layout, v.layout]).toMatchObject([
      { width: 40, first: 0, total: 64 },
      { width: 24, first: 40, total: 64 },
    ]);
  });
  const at = (field: string): readonly (string | number)[] => ["weights", 1, "slots", 0, "layout", field];
  it.each([
    [
      "with a gap",
      at("first"),
      36,
      /weights\[1\]\.slots\[0\] begins at column 36 of its slot, where 40 columns are taken/,
    ],
    ["beyond the end", at("first"), 41, /layout\.first must be a whole number from 0 to 40/],
    ["one of another depth", at("depth"), 2, /weights\[1\]\.slots\[0\] cannot share a slot with u/],
    ["one that lies otherwise", at("transposed"), false, /weights\[1\]\.slots\[0\] cannot share a slot with u/],
    ["in pairs of no multiple", at("pairs"), 5, /layout\.pairs is 5: 64 columns are not a multiple of 10/],
    ["of another dtype", ["weights", 1, "dtype"], "u32", /weights\[1\]\.slots\[0\] cannot share a slot with u/],
    [
      "not all of it",
      ["weights", 1, "slots"],
      [],
      /weights\[0\]\.slots\[0\] is in a slot of 64 columns, of which weights fill 40/,
    ],
    [
      "twice",
      ["weights", 1, "slots"],
      [v, v] as unknown as Json,
      /weights\[1\]\.slots\[1\] begins at column 40 of its slot, where 64 columns are taken/,
    ],
  ] as const)("are refused %s", (_name, path, value, message) => {
    expect(() => parseProgram(changed(path, value as Json, printed))).toThrow(message);
  });
  it("are refused where one lies there as given", () => {
    const given = changed(
      ["weights", 0, "slots", 0, "layout"],
      { kind: "given" },
      changed(["slots", u.slot, "bytes"], 640, printed),
    );
    expect(() => parseProgram(given)).toThrow(/which has not the 1024 bytes|holds another weight already/);
  });
});

it("whatever is put in any place, parsing accepts it whole or throws ProgramError", () => {
  const paths: (string | number)[][] = [];
  const walk = (value: Json, path: (string | number)[]): void => {
    if (path.length > 0) paths.push(path);
    if (Array.isArray(value)) value.forEach((v, i) => walk(v, [...path, i]));
    else if (typeof value === "object" && value !== null)
      for (const [k, v] of Object.entries(value)) walk(v, [...path, k]);
  };
  walk(JSON.parse(text) as Json, []);
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
      const damaged = changed(path, value as Json);
      try {
        expect(JSON.parse(printProgram(parseProgram(damaged)))).toEqual(JSON.parse(damaged));
      } catch (error) {
        expect(error).toBeInstanceOf(ProgramError);
      }
    }),
    { seed: seedOf(3), numRuns: cases(2000) },
  );
});
