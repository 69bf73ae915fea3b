// Headers of GGUF files: what is written reads back, and each broken file gets one clear message before anything that
// it claims is allocated.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readHeader, type GgufHeader } from "../../../src/runtime/weights/gguf/header.js";
import { openGguf } from "../../../src/runtime/weights/gguf/file-node.js";
import { readGguf, readSafetensors, WeightsError } from "../../../src/runtime/index.js";
import { openWeights } from "../../../src/runtime/node.js";
import { f32, file, joined, key, list, tensor, text, textKey, u32, u64, u8 } from "./files.js";

const folder = mkdtempSync(join(tmpdir(), "modc-gguf-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const [U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];
const ALL = 2n ** 64n - 1n;
const parsed = (bytes: Uint8Array): GgufHeader =>
  readHeader((at, length) => bytes.subarray(at, at + length), bytes.length, "f.gguf");
const architecture = textKey("general.architecture", "llama");
const values = (n: number): Uint8Array => Uint8Array.from({ length: 4 * n }, (_, i) => i);

const cut = (bytes: Uint8Array, length: number): Uint8Array => bytes.subarray(0, length);
const whole = file({ keys: [architecture], tensors: [tensor("a", [4])], data: values(4) });

/** What is wrong, the file, and the message. */
const broken: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ["an empty file", u8(), /^f\.gguf is not a GGUF file: it has 0 bytes, fewer than the 24/],
  ["less than the first numbers", cut(whole, 23), /it has 23 bytes/],
  ["another magic", file({ magic: "GGML" }), /is not a GGUF file: it begins with "GGML"$/],
  [
    "a page of HTML",
    joined(new TextEncoder().encode("<!doctype html><title>404</title>")),
    /it looks like a page of HTML/,
  ],
  ["the pointer of Git LFS", new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\n"), /Git LFS/],
  ["version 1", file({ version: 1 }), /of version 1, modc reads versions 2 and 3/],
  ["version 4", file({ version: 4 }), /of version 4/],
  ["big-endian order", file({ version: 0x03000000 }), /in big-endian order/],
  ["version 0", file({ version: 0 }), /of version 0/],
  [
    "more tensors than the file has room for",
    file({ counts: { tensors: 9 } }),
    /the number of tensors would be 9, more than/,
  ],
  [
    "more tensors than any number",
    file({ counts: { tensors: ALL } }),
    /tensors would be 18446744073709551615, modc reads up to/,
  ],
  [
    "more keys than any number",
    file({ counts: { keys: ALL } }),
    /keys would be 18446744073709551615, modc reads up to/,
  ],
  [
    "more keys than there are",
    file({ counts: { keys: 1 }, keys: [] }),
    /the number of keys would be 1, more than|truncated/,
  ],
  [
    "a key's name of gigabytes",
    file({ keys: [joined(u64(2 ** 33), new Uint8Array(40))] }),
    /the name of key 0 would have 8589934592 bytes, it may have 65535/,
  ],
  [
    "a key's name beyond the file",
    file({ keys: [joined(u64(60000), u8(1, 2, 3))] }),
    /truncated: its header continues beyond byte/,
  ],
  [
    "a key's name of as many bytes as numbers go",
    file({ keys: [joined(u64(ALL), new Uint8Array(40))] }),
    /would have 18446744073709551615 bytes/,
  ],
  [
    "a key's name that is not UTF-8",
    file({ keys: [key(u8(0xff, 0xfe), U8, u8(1))] }),
    /the name of key 0 is not UTF-8 text/,
  ],
  ["a key twice", file({ keys: [architecture, architecture] }), /has the key "general.architecture" twice/],
  ["an unknown type of value", file({ keys: [key("k", 13, u64(0))] }), /the key "k" is of an unknown type, 13/],
  ["a truth value of 2", file({ keys: [key("k", BOOL, u8(2))] }), /the key "k" is 2, neither true nor false/],
  [
    "a text of gigabytes",
    file({ keys: [key("k", STRING, text("", 2 ** 32))] }),
    /the key "k" would have 4294967296 bytes, it may have 16777216/,
  ],
  ["a text beyond the file", file({ keys: [key("k", STRING, text("abc", 5000))] }), /truncated/],
  ["a text that is not UTF-8", file({ keys: [key("k", STRING, text(u8(0xc0, 0x80)))] }), /the key "k" is not UTF-8/],
  [
    "a list of lists",
    file({ keys: [key("k", ARRAY, list(ARRAY, 1, list(U8, 1, u8(1))))] }),
    /the key "k" is a list of lists/,
  ],
  [
    "a list of an unknown type",
    file({ keys: [key("k", ARRAY, list(99, 1, u8(1)))] }),
    /is a list of an unknown type, 99/,
  ],
  [
    "a list longer than the file",
    file({ keys: [key("k", ARRAY, list(F32, 1000))] }),
    /the length of the key "k" would be 1000, more than/,
  ],
  [
    "a list whose bytes overflow",
    file({ keys: [key("k", ARRAY, list(F64, 2n ** 61n))] }),
    /would be 2305843009213693952/,
  ],
  [
    "a list of texts longer than the file",
    file({ keys: [key("k", ARRAY, list(STRING, ALL))] }),
    /would be 18446744073709551615, more/,
  ],
  [
    "a text in a list beyond the file",
    file({ keys: [key("k", ARRAY, list(STRING, 2, text("a"), text("b", 900)))] }),
    /truncated/,
  ],
  ["a list of truth values of 3", file({ keys: [key("k", ARRAY, list(BOOL, 2, u8(1, 3)))] }), /neither true nor false/],
  ["a header that ends in a key", cut(whole, 30), /truncated|more than the file has room for/],
  [
    "an alignment of 0",
    file({ keys: [key("general.alignment", U32, u32(0))] }),
    /general.alignment is 0: it must be a power of two/,
  ],
  ["an alignment of 24", file({ keys: [key("general.alignment", U32, u32(24))] }), /general.alignment is 24/],
  [
    "an alignment of gigabytes",
    file({ keys: [key("general.alignment", U32, u32(2 ** 31))] }),
    /general.alignment is 2147483648/,
  ],
  ["an alignment that is a text", file({ keys: [textKey("general.alignment", "32")] }), /general.alignment is "32"/],
  [
    "a tensor twice",
    file({ tensors: [tensor("a", [4]), tensor("a", [4], 0, 32)], data: 64 }),
    /has the tensor "a" twice/,
  ],
  [
    "a tensor's name of gigabytes",
    file({ tensors: [joined(u64(2 ** 40), new Uint8Array(64))] }),
    /the name of tensor 0 would have 1099511627776 bytes, it may have 64/,
  ],
  [
    "a tensor without dimensions",
    file({ tensors: [tensor("a", [])], data: 64 }),
    /tensor "a" has 0 dimensions, the format allows 1 to 4/,
  ],
  ["a tensor of more dimensions", file({ tensors: [tensor("a", [1, 1, 1, 1, 1])], data: 64 }), /has 5 dimensions/],
  [
    "a tensor of all dimensions",
    file({ tensors: [joined(text("a"), u32(0xffffffff), new Uint8Array(40))] }),
    /has 4294967295 dimensions/,
  ],
  ["a dimension of 0", file({ tensors: [tensor("a", [4, 0])], data: 64 }), /tensor "a" has a dimension of 0/],
  [
    "dimensions whose product overflows",
    file({ tensors: [tensor("a", [2n ** 32n, 2n ** 32n])], data: 64 }),
    /has too many values/,
  ],
  ["a dimension beyond exact numbers", file({ tensors: [tensor("a", [ALL])], data: 64 }), /has too many values/],
  [
    "a tensor of a type that modc does not read",
    file({ tensors: [tensor("a", [256], 15)], data: 292 }),
    /tensor "a" is Q8_K, modc reads F32, F16, Q4_0/,
  ],
  [
    "a tensor of an unknown type",
    file({ tensors: [tensor("a", [4], 4711)], data: 64 }),
    /tensor "a" is of an unknown type, 4711/,
  ],
  [
    "a type that names a member of objects",
    file({ tensors: [tensor("__proto__", [4], 31)], data: 64 }),
    /"__proto__" is of an unknown type, 31/,
  ],
  [
    "rows of no whole blocks",
    file({ tensors: [tensor("a", [48, 2], 8)], data: 102 }),
    /has rows of 48 values, which are not whole blocks of 32 \(Q8_0\)/,
  ],
  [
    "a tensor beyond the file",
    file({ tensors: [tensor("a", [64])], data: 128 }),
    /ends at byte 256 of the data, the file holds 128: it is truncated/,
  ],
  [
    "a tensor that begins beyond the file",
    file({ tensors: [tensor("a", [4], 0, 4096)], data: 64 }),
    /ends at byte 4112 of the data/,
  ],
  [
    "an offset that overflows",
    file({ tensors: [tensor("a", [4], 0, ALL - 31n)], data: 64 }),
    /tensor "a" ends at byte 18446744073709551600/,
  ],
  [
    "an offset that is not aligned",
    file({ tensors: [tensor("a", [4], 0, 8)], data: 64 }),
    /begins at byte 8 of the data, not a multiple of 32/,
  ],
  [
    "a tensor over another",
    file({ tensors: [tensor("a", [16]), tensor("b", [8], 0, 32)], data: 64 }),
    /tensor "b" overlaps another/,
  ],
  [
    "bytes between tensors",
    file({ tensors: [tensor("a", [4]), tensor("b", [4], 0, 64)], data: 80 }),
    /tensor "b" begins after bytes that belong to no tensor/,
  ],
  ["a file cut within its data", cut(whole, whole.length - 1), /truncated/],
];

describe("a broken GGUF file", () => {
  it(`is one of ${broken.length}, at least forty`, () => expect(broken.length).toBeGreaterThanOrEqual(40));

  it.each(broken)("with %s gets one message", (_, bytes, message) => {
    let asked = 0;
    const header = (): GgufHeader =>
      readHeader(
        (at, length) => {
          asked = Math.max(asked, at + length);
          return bytes.subarray(at, at + length);
        },
        bytes.length,
        "f.gguf",
      );
    expect(header).toThrow(WeightsError);
    expect(header).toThrow(message);
    expect(asked).toBeLessThanOrEqual(bytes.length);
  });

  it("is refused wherever it is cut off, and reads as itself or not at all whatever byte is another", () => {
    for (let length = 0; length < whole.length; length++)
      expect(() => parsed(cut(whole, length))).toThrow(WeightsError);
    for (let at = 0; at < whole.length; at++)
      for (const flip of [0x01, 0x80, 0xff]) {
        const other = Uint8Array.from(whole);
        other[at] = other[at]! ^ flip;
        try {
          parsed(other);
        } catch (fault) {
          expect(fault).toBeInstanceOf(WeightsError);
        }
      }
  });

  it("has a header of at most 256 MiB, whatever the file's size", () => {
    const first = file({ counts: { keys: 1 }, keys: [key("k", ARRAY, list(U8, 2 ** 30))] });
    const pull = (at: number, length: number): Uint8Array => {
      expect(length).toBeLessThan(2 ** 20);
      const out = new Uint8Array(length);
      out.set(first.subarray(at, at + length));
      return out;
    };
    expect(() => readHeader(pull, 2 ** 40, "f.gguf")).toThrow(/its header has more than 268435456 bytes/);
  });

  it("is told by its path, and so is one that is not there", async () => {
    const path = join(folder, "broken.gguf");
    writeFileSync(path, cut(whole, whole.length - 4));
    await expect(openGguf(path)).rejects.toThrow(`${path}: tensor "a" ends at byte 16 of the data, the file holds 12`);
    await expect(openWeights(path)).rejects.toThrow('broken.gguf: tensor "a" ends at byte 16');
    await expect(openGguf(join(folder, "none.gguf"))).rejects.toThrow(
      /^cannot open .*none\.gguf: there is no such file$/,
    );
    await expect(openGguf(folder)).rejects.toThrow(/^cannot open .*: it is a folder$/);
    expect(() => readSafetensors(whole)).toThrow("the weights is not a safetensors file: it is a GGUF file");
  });

  it("is read once for its header, small tensors and weights", async () => {
    const path = join(folder, "once.gguf");
    writeFileSync(path, whole);
    const opened = await openGguf(path);
    rmSync(path);
    expect([...opened.header.tensors.keys()]).toEqual(["a"]);
    const weights = opened.weights("once.gguf");
    expect(weights.name).toBe("once.gguf");
    const [[key]] = [...weights.tensors] as [[string, unknown]];
    const stored = opened.readSmall(opened.header.tensors.get("a")!);
    expect(Buffer.from(await weights.read(key)).equals(stored)).toBe(true);
    await weights.close();
    expect(opened.readSmall(opened.header.tensors.get("a")!)).toEqual(stored);
    await opened.close();
  });
});

describe("a GGUF header", () => {
  it("has its keys, of all types, and lists of them", () => {
    const bytes = file({
      version: 2,
      keys: [
        key("u8", U8, u8(250)),
        key("i8", I8, u8(250)),
        key("u16", U16, u8(0xff, 0xff)),
        key("i16", I16, u8(0xff, 0xff)),
        key("u32", U32, u32(4e9)),
        key("i32", I32, u8(0xfe, 0xff, 0xff, 0xff)),
        key("f32", F32, f32(0.1)),
        key("true", BOOL, u8(1)),
        textKey("text", "naïve ▁ 👍 and longer than what is read by itself"),
        key("u64", U64, u64(2 ** 53 - 1)),
        key("large", U64, u64(2n ** 60n + 1n)),
        key("i64", I64, u64(ALL)),
        key("f64", F64, new Uint8Array(Float64Array.of(0.1).buffer)),
        key("floats", ARRAY, list(F32, 2, f32(1), f32(-2))),
        key("flags", ARRAY, list(BOOL, 2, u8(1, 0))),
        key("texts", ARRAY, list(STRING, 3, text("a"), text(""), text("é"))),
        key("none", ARRAY, list(U64, 0)),
      ],
    });
    const { metadata, tensors } = parsed(bytes);
    expect(Object.fromEntries(metadata)).toEqual({
      u8: 250,
      i8: -6,
      u16: 65535,
      i16: -1,
      u32: 4e9,
      i32: -2,
      f32: Math.fround(0.1),
      true: true,
      text: "naïve ▁ 👍 and longer than what is read by itself",
      u64: 2 ** 53 - 1,
      large: 2n ** 60n + 1n,
      i64: -1,
      f64: 0.1,
      floats: Float32Array.of(1, -2),
      flags: u8(1, 0),
      texts: ["a", "", "é"],
      none: new BigUint64Array(0),
    });
    expect(tensors.size).toBe(0);
  });

  it("says where tensors lie, the last dimension contiguous, at the file's own alignment", async () => {
    const bytes = file({
      keys: [architecture, key("general.alignment", U32, u32(8))],
      tensors: [tensor("token_embd.weight", [2, 3], 0, 16), tensor("output_norm.weight", [3], 0, 0)],
      alignment: 8,
      data: values(12),
    });
    const { tensors } = parsed(bytes);
    const { shape, offset, bytes: size } = tensors.get("token_embd.weight")!;
    expect([shape, size]).toEqual([[3, 2], 24]);
    expect(bytes.slice(offset, offset + 4)).toEqual(values(12).slice(16, 20));
    const source = readGguf(bytes, "w.gguf");
    expect([...source.tensors]).toEqual([
      ["model.embed_tokens.weight", { dtype: "F32", shape: [3, 2], bytes: 24 }],
      ["model.norm.weight", { dtype: "F32", shape: [3], bytes: 12 }],
    ]);
    expect(await source.read("model.norm.weight")).toEqual(values(12).slice(0, 12));
    await expect(source.read("output_norm.weight")).rejects.toThrow('w.gguf has no tensor "output_norm.weight"');
  });
});
