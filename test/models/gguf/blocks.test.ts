// The values of every type of tensor are those of an independent reading of the format's description, bit for bit.
import { describe, expect, it } from "vitest";
import { rounded } from "../../../src/runtime/program/encodings/rounded.js";
import { readGguf } from "../../../src/runtime/index.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { tensorTypes } from "../../../src/runtime/weights/gguf/types.js";
import { random } from "../../random.js";
import { cases } from "../../soak.js";
import { file, tensor, textKey } from "./files.js";
import { askPython, hasPython, pythonNote } from "./python.js";

/** Random bytes, with scales that are numbers: finite, and some are subnormal. */
function blocksOf(bytes: number, halves: readonly number[], count: number): Uint8Array {
  const rng = random(bytes);
  const out = Uint8Array.from({ length: bytes * count }, () => rng.below(256));
  for (let block = 0; block < count; block++)
    for (const at of halves) {
      const upper = block * bytes + at + 1;
      if (block % 8 === 0) out[upper] = out[upper]! & 0x83;
      else if ((out[upper]! & 0x7c) === 0x7c) out[upper] = out[upper]! & 0xbf;
    }
  return out;
}

/** Where in a block an f16 lies. */
const HALVES: Readonly<Record<string, readonly number[]>> = {
  F16: [0],
  BF16: [],
  F32: [],
  Q4_1: [0, 2],
  Q5_1: [0, 2],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
  MXFP4: [],
};

const count = (values: number): number => Math.ceil(cases(values === 256 ? 24 : 200));
const all = [...tensorTypes].map(([id, type]) => {
  const data = blocksOf(type.bytes, HALVES[type.name] ?? [0], count(type.values));
  // Floats by chance: no NaN, of which there are many.
  if (type.name === "F32") for (let i = 3; i < data.length; i += 4) data[i] = data[i]! & 0xbf;
  // Exponents from 0 to 127: above 252 values are beyond f32.
  if (type.name === "MXFP4") for (let i = 0; i < data.length; i += type.bytes) data[i] = data[i]! & 0x7f;
  if (type.name === "BF16") for (let i = 1; i < data.length; i += 2) data[i] = data[i]! & 0xbf;
  return { id, ...type, data };
});

describe.skipIf(!hasPython)(`values of blocks${pythonNote}`, () => {
  it("are those of another account, bit for bit, of every type that is read", async () => {
    const asked = Object.fromEntries(all.map(({ name, data }) => [name, Buffer.from(data).toString("hex")]));
    const answers = JSON.parse(await askPython("blocks.py", asked)) as Record<string, string>;
    for (const { id, name, values, bytes, data } of all) {
      const n = (data.length / bytes) * values;
      const made = file({
        keys: [textKey("general.architecture", "qwen2")],
        tensors: [tensor("t", [n], id)],
        data,
      });
      const source = readGguf(made);
      const { dtype, shape } = source.tensors.get("t")!;
      expect(shape).toEqual([n]);
      const words = fromBytes(await source.read("t"), dtype, "f32") as Float32Array; // floats convert
      const found = Buffer.from(words.buffer, words.byteOffset, words.byteLength).toString("hex");
      expect(found === answers[name], `${name}: ${found.slice(0, 80)} instead of ${answers[name]!.slice(0, 80)}`).toBe(
        true,
      );
    }
  });
});

describe("blocks with one scale", () => {
  it.each(["Q8_0", "Q4_0"] as const)("of %s are given as they lie in the file", async (name) => {
    const { id, bytes, data } = all.find((t) => t.name === name)!;
    const n = (data.length / bytes) * 32;
    const keys = [textKey("general.architecture", "qwen2")];
    const source = readGguf(file({ keys, tensors: [tensor("t", [n], id)], data }));
    expect(source.tensors.get("t")).toMatchObject({ dtype: name, shape: [n] });
    expect(Buffer.from(await source.read("t")).equals(Buffer.from(data))).toBe(true);
  });

  it.each([
    ["Q8_0", "q8"],
    ["Q4_0", "q4"],
  ] as const)("of %s keep their values where weights are stored as %s", async (name, encoding) => {
    const { id, bytes, data } = all.find((t) => t.name === name)!;
    const n = (data.length / bytes) * 32;
    const keys = [textKey("general.architecture", "qwen2")];
    const source = readGguf(file({ keys, tensors: [tensor("t", [n], id)], data }));
    const { dtype } = source.tensors.get("t")!;
    const values = fromBytes(await source.read("t"), dtype, "f32") as Float32Array; // floats convert
    const stored = rounded[encoding](values, 1);
    expect(stored.length).toBe(values.length);
    expect(stored.findIndex((value, i) => value !== values[i])).toBe(-1); // but for the sign of zeros
  });
});
