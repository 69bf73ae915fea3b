// Samples for casts between every two types with a cast.
import { cast } from "./pointwise-forms.js";
import type { Samples } from "./samples.js";
import { rounded, within } from "./tolerance.js";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

export const castSamples: Samples<"cast"> = {
  cast: within(rounded, [
    cast("f32", "f16", [
      [1, 1],
      [2049, 2048],
      [2051, 2052],
      [65519, 65504],
      [65520, inf],
      [1e-8, 0],
      [2 ** -24, 2 ** -24],
      [3 * 2 ** -25, 2 ** -23],
      [-0.1, -0.0999755859375],
      [nan, nan],
    ]),
    cast("f32", "u32", [
      [2.9, 2],
      [-3, 0],
      [5e9, 0xffffffff],
      [nan, 0],
      [inf, 0xffffffff],
      [16777216, 16777216],
    ]),
    cast("f32", "i32", [
      [2.9, 2],
      [-2.9, -2],
      [3e9, 0x7fffffff],
      [-3e9, -0x80000000],
      [nan, 0],
    ]),
    cast("f32", "bool", [
      [0, 0],
      [-0, 0],
      [0.1, 1],
      [nan, 1],
      [-inf, 1],
    ]),
    cast("f16", "f32", [
      [1.5, 1.5],
      [inf, inf],
    ]),
    cast("f16", "i32", [[-7.5, -7]]),
    cast("u32", "f32", [
      [7, 7],
      [16777216, 16777216],
    ]),
    cast("u32", "i32", [
      [7, 7],
      [0xffffffff, -1],
    ]),
    cast("u32", "f16", [
      [2049, 2048],
      [70000, inf],
    ]),
    cast("u32", "bool", [
      [0, 0],
      [7, 1],
    ]),
    cast("i32", "u32", [
      [-1, 0xffffffff],
      [7, 7],
    ]),
    cast("i32", "f32", [[-7, -7]]),
    cast("i32", "bool", [
      [-7, 1],
      [0, 0],
    ]),
    cast("bool", "f32", [
      [0, 0],
      [1, 1],
    ]),
    cast("bool", "u32", [
      [0, 0],
      [1, 1],
    ]),
    cast("bool", "i32", [
      [0, 0],
      [1, 1],
    ]),
    cast("f32", "f32", [[0.1 + 0.2, Math.fround(0.1 + 0.2)]]),
    {
      name: "rows of unequal lengths",
      setting: { batch: 3, tokens: 4, lengths: [1, 0, 4] },
      build: (b) => b.node("cast", [b.rows([2], [3])], { dtype: "f16" }),
    },
  ]),
};
