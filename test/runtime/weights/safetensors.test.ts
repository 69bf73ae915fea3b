// Safetensors files: what is written reads back; each broken file gets one clear message.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ProgramWeight } from "../../../src/runtime/program/program.js";
import {
  initialWeights,
  matchWeights,
  readSafetensors,
  readWeight,
  WeightsError,
  writeSafetensors,
  type WeightSource,
} from "../../../src/runtime/index.js";
import type { Words } from "../../../src/ground/base/dtype.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { readingInTurns } from "../../../src/runtime/weights/in-turns.js";
import { openWeights, saveWeights } from "../../../src/runtime/node.js";
import { keyPattern } from "../../../src/runtime/weights/match.js";

/** A file from its header's text and its data's length. */
function file(
  header: string,
  data: number | Uint8Array = 0,
  length = new TextEncoder().encode(header).length,
): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = typeof data === "number" ? new Uint8Array(data) : data;
  const out = new Uint8Array(8 + json.length + bytes.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(json, 8);
  out.set(bytes, 8 + json.length);
  return out;
}

const tensor = (dtype: string, shape: readonly number[], begin: number, end: number): string =>
  `{"dtype":"${dtype}","shape":[${shape.join()}],"data_offsets":[${begin},${end}]}`;

const broken: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["an empty file", new Uint8Array(0), /it has 0 bytes, fewer than the eight/],
  ["less than a length", new Uint8Array(7), /it has 7 bytes/],
  ["a length beyond the file", file("{}", 0, 1000), /truncated: its header would have 1000 bytes, the file has 2/],
  ["a length beyond the format", file("{}", 0, 200_000_000), /the format allows 100000000/],
  [
    "a length beyond any number",
    new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255, 123, 125]),
    /18446744073709551615 bytes/,
  ],
  ["a header that is not JSON", file("{oops}"), /broken header: expected a key at character 1/],
  ["a header that ends early", file('{"a":'), /broken header: expected a value/],
  ["a header with more behind it", file("{} {}"), /broken header: unexpected text/],
  ["a header that is not UTF-8", file("", new Uint8Array([0x7b, 0xff, 0x7d]), 3), /broken header: it is not UTF-8/],
  ["a header that is a list", file("[]"), /it is not an object/],
  ["a header nested without end", file("[".repeat(100_000)), /nested too deeply/],
  [
    "a key that stands twice",
    file(`{"a":${tensor("F32", [1], 0, 4)},"a":${tensor("F32", [1], 4, 8)}}`, 8),
    /key "a" twice/,
  ],
  [
    "a field that stands twice",
    file(`{"a":{"dtype":"F32","dtype":"F16","shape":[],"data_offsets":[0,4]}}`, 4),
    /key "dtype" twice/,
  ],
  ["an unknown dtype", file(`{"a":${tensor("F128", [1], 0, 16)}}`, 16), /"a" has an unknown dtype "F128"/],
  [
    "a dtype that names a member of objects",
    file(`{"a":${tensor("constructor", [1], 0, 16)}}`, 16),
    /unknown dtype "constructor"/,
  ],
  ["no dtype", file(`{"a":{"shape":[1],"data_offsets":[0,4]}}`, 4), /unknown dtype null/],
  ["an unknown field", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), /unknown field "x"/],
  ["a tensor that is not an object", file(`{"a":[1]}`), /"a" is not described by an object/],
  ["a negative extent", file(`{"a":${tensor("F32", [-1], 0, 4)}}`, 4), /no shape of whole numbers/],
  ["a fraction as extent", file(`{"a":${tensor("F32", [1.5], 0, 4)}}`, 4), /no shape of whole numbers/],
  [
    "extents whose product overflows",
    file(`{"a":${tensor("F32", [4294967296, 4294967296], 0, 4)}}`, 4),
    /a shape with too many elements/,
  ],
  ["an extent beyond exact numbers", file(`{"a":${tensor("F32", [2 ** 60], 0, 4)}}`, 4), /no shape of whole numbers/],
  ["one offset", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, 4), /no data_offsets of two/],
  ["offsets the wrong way round", file(`{"a":${tensor("F32", [1], 4, 0)}}`, 4), /ends before it begins/],
  [
    "data that ends early",
    file(`{"a":${tensor("F32", [2], 0, 8)}}`, 4),
    /ends at byte 8 of the data, the file holds 4: it is truncated/,
  ],
  [
    "a range that is not the shape's",
    file(`{"a":${tensor("F32", [2], 0, 4)}}`, 4),
    /has 4 bytes, F32 of shape \[2\] has 8/,
  ],
  [
    "ranges that overlap",
    file(`{"a":${tensor("F32", [1], 0, 4)},"b":${tensor("F16", [2], 2, 6)}}`, 6),
    /"b" overlaps another/,
  ],
  [
    "a gap between ranges",
    file(`{"a":${tensor("F32", [1], 0, 4)},"b":${tensor("F32", [1], 8, 12)}}`, 12),
    /4 bytes before tensor "b" belong to none/,
  ],
  ["bytes behind the last", file(`{"a":${tensor("F32", [1], 0, 4)}}`, 7), /3 bytes at the end belong to no tensor/],
  ["metadata that is not an object", file(`{"__metadata__":1}`), /__metadata__ is not an object/],
  ["metadata that is not text", file(`{"__metadata__":{"a":1}}`), /__metadata__ "a" is not a string/],
];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "modc-weights-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("a broken safetensors file", () => {
  for (const [what, bytes, message] of broken) {
    it(`with ${what} is refused`, async () => {
      const inMemory = await Promise.resolve()
        .then(() => readSafetensors(bytes, "w.safetensors"))
        .then(
          () => null,
          (e: unknown) => e,
        );
      expect(inMemory).toBeInstanceOf(WeightsError);
      expect((inMemory as Error).message).toMatch(message);
      const path = join(folder, "broken.safetensors");
      await writeFile(path, bytes);
      const onDisk = await openWeights(path).then(
        () => null,
        (e: unknown) => e,
      );
      expect(onDisk).toBeInstanceOf(WeightsError);
      expect((onDisk as Error).message).toMatch(message);
    });
  }

  it("cut at any place is refused", () => {
    const whole = writeSafetensors([
      { key: "a", dtype: "F32", shape: [2, 3], data: new Uint8Array(24) },
      { key: "b", dtype: "U8", shape: [5], data: new Uint8Array(5) },
    ]);
    expect(() => readSafetensors(whole)).not.toThrow();
    for (let n = 0; n < whole.length; n++) expect(() => readSafetensors(whole.slice(0, n))).toThrow(WeightsError);
  });
});

const weight = (path: string, shape: readonly number[], more: Partial<ProgramWeight> = {}): ProgramWeight => ({
  path,
  dtype: "f32",
  shape,
  init: { kind: "normal", std: 1 },
  keys: [path],
  slots: [],
  ...more,
});

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

describe("weights on disk", () => {
  it("read back bit for bit, under the mapped keys or the paths", async () => {
    const program = {
      ignore: [],
      weights: [
        weight("a.weight", [3, 5], { keys: ["model.a", "tied.a"] }),
        weight("__proto__", [2], { keys: ["constructor"] }),
        weight("mask", [4], { dtype: "bool", init: { kind: "ones" } }),
        weight("n", [1], { dtype: "i32", init: { kind: "zeros" } }),
      ],
    };
    for (const keys of ["mapped", "paths"] as const) {
      const path = join(folder, `${keys}.safetensors`);
      await saveWeights(path, program, initialWeights(3), { keys });
      const source = await openWeights(path);
      expect([...source.tensors.keys()]).toEqual(
        keys === "paths" ? ["a.weight", "__proto__", "mask", "n"] : ["model.a", "constructor", "mask", "n"],
      );
      const matched = matchWeights(program, source);
      for (const w of program.weights)
        expect(await readWeight(w, matched.get(w)!, source)).toEqual(initialWeights(3)(w));
      await source.close();
    }
    expect((await readdir(folder)).filter((f) => f.endsWith(".tmp"))).toEqual([]);
  });

  it("leave the old file where writing fails", async () => {
    const path = join(folder, "kept.safetensors");
    await writeFile(path, "old");
    const failing = saveWeights(path, { weights: [weight("a", [1])] }, () => Promise.reject(new Error("no values")));
    await expect(failing).rejects.toThrow("no values");
    expect(await readFile(path, "utf8")).toBe("old");
    expect((await readdir(folder)).filter((f) => f.endsWith(".tmp"))).toEqual([]);
  });

  it("convert between F32, F16 and BF16 with one rounding", async () => {
    const values = [
      0,
      -0,
      1,
      -1.5,
      65504,
      65519.996,
      1e-7,
      6e-8,
      2 ** -25,
      2 ** -24,
      2.7,
      1 / 3,
      Infinity,
      NaN,
      0.00006103515625,
      2049,
      2051,
    ];
    const program = { ignore: [], weights: [weight("a", [values.length])] };
    for (const floatsAs of ["F32", "F16", "BF16"] as const) {
      const path = join(folder, "converted.safetensors");
      await saveWeights(path, program, () => Float32Array.from(values), { floats: floatsAs });
      const source = await openWeights(path);
      const back = await readWeight(program.weights[0]!, ["a"], source);
      expect([...back]).toEqual(
        values.map((v) => ({ F32: Math.fround, F16: halfByHand, BF16: brainByHand })[floatsAs](Math.fround(v))),
      );
      await source.close();
    }
    for (const beyond of [65520, -70000])
      await expect(
        saveWeights(
          join(folder, "beyond.safetensors"),
          program,
          () => Float32Array.from([...values.keys()].fill(beyond)),
          {
            floats: "F16",
          },
        ),
      ).rejects.toThrow(`a[0] is ${beyond}, which f16 does not hold`);
  });

  it("become an f16 weight rounded to half", async () => {
    const source = readSafetensors(
      writeSafetensors([{ key: "a", dtype: "F32", shape: [2], data: floats(1 / 3, 2049) }]),
    );
    expect([...(await readWeight(weight("a", [2], { dtype: "f16" }), ["a"], source))]).toEqual([
      halfByHand(1 / 3),
      2048,
    ]);
  });

  it("convert whole numbers where each fits, and name the one that does not", async () => {
    const i64 = (...n: bigint[]): Uint8Array => new Uint8Array(BigInt64Array.from(n).buffer);
    const read = async (dtype: "u32" | "i32" | "bool", from: string, data: Uint8Array): Promise<number[]> => {
      const shape = [data.length / (from === "I64" ? 8 : 1)];
      return [
        ...(await readWeight(
          weight("a", shape, { dtype }),
          ["a"],
          readSafetensors(writeSafetensors([{ key: "a", dtype: from, shape, data }]), "w"),
        )),
      ];
    };
    expect(await read("u32", "I64", i64(0n, 4294967295n))).toEqual([0, 4294967295]);
    expect(await read("i32", "I64", i64(-5n))).toEqual([-5]);
    expect(await read("bool", "U8", Uint8Array.of(1, 0))).toEqual([1, 0]);
    await expect(read("u32", "I64", i64(7n, -1n))).rejects.toThrow(
      'w: tensor "a": element 1 is -1, which u32 cannot represent',
    );
    await expect(read("bool", "BOOL", Uint8Array.of(2))).rejects.toThrow("element 0 is 2, which bool cannot represent");
  });

  it("of many values are converted in pieces with the same results", async () => {
    const count = 300_001; // more than a piece, as I64
    const values = BigInt64Array.from({ length: count }, (_, i) => BigInt((i * 7919) % 1000));
    const read = (dtype: "u32" | "i32"): Promise<Words | string> =>
      Promise.resolve(
        readingInTurns(async () => {}).words(new Uint8Array(values.buffer), "I64", { dtype, shape: [count] }),
      );
    for (const dtype of ["u32", "i32"] as const) {
      const [found, expected] = [await read(dtype), fromBytes(new Uint8Array(values.buffer), "I64", dtype)];
      if (typeof found === "string" || typeof expected === "string") throw new Error("all values fit");
      expect(Buffer.from(found.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
    }
    values[count - 1] = -1n;
    expect(await read("u32")).toBe(`element ${count - 1} is -1, which u32 cannot represent`);
  });

  it("may be tied copies if they are equal byte for byte", async () => {
    const tied = weight("embed", [2], { keys: ["embed_tokens", "lm_head"] });
    const source = (b: number): WeightSource =>
      readSafetensors(
        writeSafetensors([
          { key: "embed_tokens", dtype: "F32", shape: [2], data: floats(1, 2) },
          { key: "lm_head", dtype: "F32", shape: [2], data: floats(1, b) },
        ]),
        "w",
      );
    const read = (s: WeightSource): Promise<unknown> =>
      readWeight(tied, matchWeights({ weights: [tied], ignore: [] }, s).get(tied)!, s);
    expect(await read(source(2))).toEqual(Float32Array.of(1, 2));
    await expect(read(source(3))).rejects.toThrow('w: "embed_tokens" and "lm_head" are one weight, but differ');
  });

  it("are strict: what is missing, unexpected or wrong stands in one error", () => {
    const program = {
      ignore: ["layers.{i}.inv_freq"],
      weights: [weight("layers.0.w", [2, 2]), weight("gone", [1]), weight("n", [1])],
    };
    const source = readSafetensors(
      writeSafetensors([
        { key: "layers.0.w", dtype: "F32", shape: [4], data: new Uint8Array(16) },
        { key: "n", dtype: "F64", shape: [1], data: new Uint8Array(8) },
        { key: "layers.0.inv_freq", dtype: "F32", shape: [1], data: new Uint8Array(4) },
        { key: "extra.b", dtype: "F16", shape: [1], data: new Uint8Array(2) },
      ]),
      "w.safetensors",
    );
    expect(() => matchWeights(program, source)).toThrow(
      new WeightsError(
        'w.safetensors does not fit the model:\n  unexpected: "extra.b", F16[1]\n  wrong shape: "layers.0.w" is ' +
          '[4], the model has [2, 2]\n  wrong type: "n" is F64, which does not convert to f32\n  missing: "gone", ' +
          "f32[1]",
        { tensors: source.tensors },
      ),
    );
  });

  it("are listed ten of a kind, what is unexpected first", () => {
    const names = (kind: string): readonly string[] => Array.from({ length: 12 }, (_, i) => `${kind}.${i}`);
    const program = { ignore: [], weights: names("layers").map((name) => weight(name, [1])) };
    const tensors = names("blocks").map((key) => ({ key, dtype: "F32", shape: [1], data: new Uint8Array(4) }));
    const lines = [
      ...names("blocks")
        .slice(0, 10)
        .map((key) => `unexpected: "${key}", F32[1]`),
      "… and 2 more unexpected",
      ...names("layers")
        .slice(0, 10)
        .map((key) => `missing: "${key}", f32[1]`),
      "… and 2 more missing",
    ];
    expect(() => matchWeights(program, readSafetensors(writeSafetensors(tensors), "w"))).toThrow(
      ["w does not fit the model:", ...lines].join("\n  "),
    );
  });

  it("ignore keys by a pattern, one segment for each {x}", () => {
    expect(["a.0.b", "a.xy.b"].every(keyPattern("a.{i}.b"))).toBe(true);
    expect(["a..b", "a.0.1.b", "a.0.c", "a.b"].some(keyPattern("a.{i}.b"))).toBe(false);
    expect(["h12.w", "hx1.w"].every(keyPattern("h{i}.w"))).toBe(true);
    expect(keyPattern("h{i}.w")("h.w")).toBe(false);
    expect(keyPattern("a{x}b{y}c")("a1b2c")).toBe(true);
    expect(keyPattern("a{x}b{y}c")("abbc")).toBe(false);
    expect(keyPattern(`${"{x}a".repeat(30)}z`)("a".repeat(5000))).toBe(false);
  });
});

/** The nearest half by searching all of them; ties to the even fraction. */
function halfByHand(value: number): number {
  if (Number.isNaN(value) || Math.abs(value) >= 65520) return Number.isNaN(value) ? NaN : Math.sign(value) * Infinity;
  let best = 0;
  let bestBits = 0;
  for (let bits = 0; bits < 0x7c00; bits++) {
    const exponent = bits >> 10;
    const half = exponent === 0 ? (bits & 1023) * 2 ** -24 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
    const closer = Math.abs(half - Math.abs(value)) - Math.abs(best - Math.abs(value));
    if (closer < 0 || (closer === 0 && bits % 2 === 0 && bestBits % 2 === 1)) [best, bestBits] = [half, bits];
  }
  return value < 0 || Object.is(value, -0) ? -best : best;
}

/** A bfloat16 has eight bits of fraction, the leading one included. */
function brainByHand(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
  const scaled = Math.abs(value) / unit;
  const low = Math.floor(scaled);
  const up = scaled - low > 0.5 || (scaled - low === 0.5 && low % 2 === 1);
  return Math.sign(value) * (low + (up ? 1 : 0)) * unit;
}
