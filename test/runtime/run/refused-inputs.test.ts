// What a run is given and cannot be: told in one sentence, with the place in the input and the value by its name.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkLengths } from "../../../src/runtime/run/extents.js";
import { InputError, load, type Session } from "../../../src/runtime/index.js";
import type { Axis } from "../../../src/ground/size/axes.js";
import { testDevice } from "../../device.js";
import { tablesProgram } from "./programs.js";

describe("a run", () => {
  let session: Session;
  beforeAll(async () => {
    session = await load(tablesProgram, await testDevice());
  });
  afterAll(() => session.dispose());

  const faults: readonly (readonly [string, unknown, object, RegExp])[] = [
    ["null for inputs", null, {}, /^the inputs are not an object of tensors by name$/],
    ["nothing for inputs", undefined, {}, /^the inputs are not an object/],
    ["one tensor for inputs", [[1]], {}, /^the inputs are not an object/],
    ["one typed array for inputs", new Uint32Array(1), {}, /^the inputs are not an object/],
    ["a missing input", {}, {}, /^input x is missing$/],
    ["an unknown input", { x: [[1]], y: [[1]] }, {}, /no input y/],
    ["a wrong rank", { x: [1, 2] }, {}, /^input x has shape \[2\], the model takes \[B, T\]$/],
    ["rows of unequal length", { x: [[1, 2], [3]] }, {}, /^x\[1\] has 1 entries, x\[0\] has 2$/],
    ["a text", { x: [["a"]] }, {}, /^x\[0\]\[0\] is "a", not a number$/],
    ["a list among numbers", { x: [[1, [2]]] }, {}, /^x\[0\]\[1\] is a list, but the first entry is not$/],
    ["a value at the limit", { x: [[1, 10]] }, {}, /^x\[0\]\[1\] is 10: it must be from 0 to 9$/],
    ["a negative value", { x: [[1], [-1]] }, {}, /^x\[1\]\[0\] is -1: u32 takes whole numbers/],
    ["a fraction", { x: [[1.5]] }, {}, /^x\[0\]\[0\] is 1.5: u32 takes whole numbers/],
    ["a boolean", { x: [[true]] }, {}, /^x\[0\]\[0\] is true: u32/],
    ["NaN among whole numbers", { x: [[1], [NaN]] }, {}, /^x\[1\]\[0\] is NaN: u32 takes whole numbers/],
    [
      "an infinity of a typed array",
      { x: { data: Float64Array.of(0, -Infinity), shape: [1, 2] } },
      {},
      /^x\[0\]\[1\] is -Infinity: u32/,
    ],
    ["null, as JSON has NaN", { x: [[1, null]] }, {}, /^x\[0\]\[1\] is null, not a number$/],
    ["a hole", { x: { data: [1, undefined], shape: [1, 2] } }, {}, /^x\[0\]\[1\] is undefined: u32/],
    ["a text of a megabyte", { x: [["a".repeat(1e6)]] }, {}, /^x\[0\]\[0\] is "a+ … a+", not a number$/],
    ["an empty sequence axis", { x: [[]] }, {}, /^T is 0 in x: it must be at least 1$/],
    ["no sequence", { x: [] }, {}, /has shape \[0\]/],
    [
      "a length beyond the bound",
      { x: { data: new Uint8Array(17), shape: [1, 17] } },
      {},
      /^T is 17 in x: it must not exceed 16$/,
    ],
    [
      "data that does not fill its shape",
      { x: { data: new Uint32Array(3), shape: [2, 2] } },
      {},
      /^input x has 3 values, its shape \[2, 2\] has 4$/,
    ],
    ["an object", { x: { a: 1 } }, {}, /an object without data and shape/],
    [
      "too many lengths",
      { x: [[1]] },
      { lengths: [1, 1] },
      /^lengths needs an entry for each sequence, 1 in all, not 2$/,
    ],
    ["a length beyond T", { x: [[1]] }, { lengths: [2] }, /^lengths\[0\] is 2: it must be a whole number from 0 to 1$/],
    ["a live ratio above 1", { x: [[1]] }, { live: { capacity: "101%" } }, /between 0% and 100%$/],
    ["a live value that is none", { x: [[1]] }, { live: { heat: "hot" } }, /"hot": it must be a number/],
    [
      "a live value that is NaN",
      { x: [[1]] },
      { live: { heat: NaN } },
      /^live parameter heat is NaN: it must be a number/,
    ],
    [
      "a live value beyond f32",
      { x: [[1]] },
      { live: { heat: 1e39 } },
      /^live parameter heat is 1e\+39: it must be a number/,
    ],
    [
      "an infinite live value",
      { x: [[1]] },
      { live: { heat: -Infinity } },
      /^live parameter heat is -Infinity: it must be a number/,
    ],
    [
      "a length that is NaN",
      { x: [[1]] },
      { lengths: [NaN] },
      /^lengths\[0\] is NaN: it must be a whole number from 0 to 1$/,
    ],
    [
      "an unknown live parameter",
      { x: [[1]] },
      { live: { __proto__: null, constructor: 1 } },
      /no live parameter constructor/,
    ],
    ["a seed that is none", { x: [[1]] }, { seed: -1 }, /^seed is -1/],
    ["a seed that is NaN", { x: [[1]] }, { seed: NaN }, /^seed is NaN/],
    [
      "an extent that is a text",
      { x: [[1]] },
      { extents: { T: "abc" } },
      /^extents: T is "abc": it must be a whole number from 1 to 4294967295$/,
    ],
    [
      "an extent beyond any",
      { x: [[1]] },
      { extents: { B: 1e308 } },
      /^extents: B is 1e\+308: it must be a whole number from 1 to 4294967295$/,
    ],
    ["an unknown output", { x: [[1]] }, { outputs: ["nothing"] }, /^the model has no result "nothing"$/],
    [
      "a promise that there is none of",
      { x: [[1]] },
      { promises: ["greedi"] as never },
      /^there is no promise "greedi"$/,
    ],
    [
      "a promise that is not a list",
      { x: [[1]] },
      { promises: "greedy" as never },
      /^promises is "greedy": it must be a list$/,
    ],
    ["an unknown observed value", { x: [[1]] }, { observe: ["chosen"] }, /^the model observes no "chosen"$/],
  ];
  for (const [what, inputs, options, message] of faults) {
    it(`refuses ${what} in one sentence`, async () => {
      const error = await session.run(inputs as never, options).then(
        () => null,
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(InputError);
      expect((error as Error).message).toMatch(message);
    });
  }
});

it("takes lengths by axis, and refuses plain ones of inputs along several", () => {
  const axis = (name: string, role: Axis["role"]): Axis => ({ name, role, bound: null, count: { kind: "input" } });
  const axes = [axis("B", "batch"), axis("T", "sequence"), axis("S", "sequence")];
  const extents = new Map([
    ["B", 1],
    ["T", 3],
    ["S", 4],
  ]);
  const fault = (lengths: unknown): unknown => {
    try {
      return checkLengths(lengths, axes, extents);
    } catch (error) {
      return error instanceof InputError ? [error.code, error.message, error.hint] : error;
    }
  };
  expect(fault([2])).toEqual([
    "ambiguous-lengths",
    "lengths name no axis, but the inputs have sequences along T and S",
    "give them by axis: lengths: { T: […], S: […] }, --lengths T=4,2",
  ]);
  expect(fault({ S: [4] })).toEqual(new Map([["S", Uint32Array.of(4)]]));
  expect(fault({ S: [4], T: Uint32Array.of(0) })).toEqual(
    new Map([
      ["S", Uint32Array.of(4)],
      ["T", Uint32Array.of(0)],
    ]),
  );
  expect(fault({ S: [5] })).toEqual(["bad-input", "lengths of S[0] is 5: it must be a whole number from 0 to 4", null]);
  expect(fault({ S: [1, 1] })).toEqual([
    "bad-input",
    "lengths of S needs an entry for each sequence, 1 in all, not 2",
    null,
  ]);
  expect(fault({ K: [1] })).toEqual([
    "bad-input",
    "lengths: the inputs have no sequences along K",
    "they have T and S",
  ]);
  expect(fault({ S: 3 })).toEqual(["bad-input", "lengths of S is not a list of whole numbers", null]);
  expect(fault("2")).toEqual(["bad-input", "lengths is not a list of whole numbers", null]);
  expect(checkLengths([2], axes.slice(0, 2), extents)).toEqual(new Map([["T", Uint32Array.of(2)]]));
  expect(checkLengths(undefined, axes, extents)).toEqual(new Map());
  // Axes that generation adds are not the model's.
  const caches = [axis("T.capacity", "sequence"), axis("generate.sequence", "sequence")];
  expect(checkLengths([2], [...axes.slice(0, 2), ...caches], extents)).toEqual(new Map([["T", Uint32Array.of(2)]]));
});
