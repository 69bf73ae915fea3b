// Files whose tensors are blocks of integers with a scale: decoded values, blocks in GGUF's layout, and headers with
// false sizes.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { rounded } from "../../../src/runtime/program/encodings/rounded.js";
import { initialValues, matchWeights, readSafetensors, readWeight } from "../../../src/runtime/index.js";
import { openWeights } from "../../../src/runtime/node.js";
import { writeSafetensors } from "../../../src/runtime/weights/formats/safetensors.js";
import { fromBytes } from "../../../src/runtime/weights/formats/convert.js";
import { isInBlocks } from "../../../src/runtime/weights/stored.js";
import { toBytes } from "../../../src/runtime/weights/to-bytes.js";
import { run } from "../../tools/cli/in-process.js";
import { random } from "../../random.js";

const folder = mkdtempSync(join(tmpdir(), "modc-quantized-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TYPES = [
  ["q8", "Q8_0"],
  ["q4", "Q4_0"],
] as const;
/** A small model. */
const SET = ["--set", "dim=64", "--set", "depth=2"];

// That these are GGUF's blocks is held against Python in test/models/gguf/blocks.test.ts, which they are read with.
it.each(TYPES)("%s in files, as %s, is what a device reads", (encoding, type) => {
  const rng = random(6);
  const values = Float32Array.from({ length: 32 * 40 }, () => rng.normal());
  const read = fromBytes(toBytes(values, type), type, "f32") as Float32Array; // blocks convert
  expect(Array.from(read, (x) => x + 0)).toEqual(Array.from(rounded[encoding](values, 1), (x) => x + 0));
});

it.each(TYPES)("init writes what a device reads in %s, and it opens again to the same bits", async (weightsAs) => {
  const path = join(folder, `${weightsAs}.safetensors`);
  const { status } = await run([
    "init",
    "examples/moby.mod",
    "-o",
    path,
    "--seed",
    "4",
    "--weights-as",
    weightsAs,
    ...SET,
  ]);
  expect(status).toBe(0);
  const { program } = compile(readFileSync("examples/moby.mod", "utf8"), {
    set: { dim: 64, depth: 2 },
    precision: { weights: weightsAs },
  });
  const source = await openWeights(path);
  const matched = matchWeights(program!, source);
  let count = 0;
  for (const weight of program!.weights) {
    const found = await readWeight(weight, matched.get(weight)!, source);
    const start = initialValues(weight, 4);
    const blocks = isInBlocks(weight, weightsAs);
    count += Number(blocks);
    const wanted = blocks ? rounded[weightsAs](start, 1) : start;
    expect(
      Array.from(found, (x) => x + 0),
      weight.path,
    ).toEqual(Array.from(wanted, (x) => x + 0));
  }
  expect(count).toBe(15);
  await source.close();
});

describe("a header that says of a tensor that it holds blocks", () => {
  const file = (quantized: string, shape = [4, 36], dtype = "U8"): Uint8Array =>
    writeSafetensors(
      [{ key: "w", dtype, shape, data: new Uint8Array(shape.reduce((n, d) => n * d, 1)) }],
      new Map([["modc.quantized", quantized]]),
    );

  it("gives its shape in values", () => {
    const { tensors } = readSafetensors(file('{"w":"Q4_0"}'));
    expect(tensors.get("w")).toMatchObject({ dtype: "Q4_0", shape: [4, 64], bytes: 144 });
  });

  it.each([
    ["not JSON", "{", "not JSON"],
    ["a list", "[]", "not an object of types"],
    ["a number", '{"w":4}', "not an object of types"],
    ["an unknown type", '{"w":"Q3_X"}', "which modc does not know"],
    ["a tensor that is not there", '{"v":"Q4_0"}', "is listed as stored in blocks, but is missing"],
    ["the name of what every object has", '{"toString":"Q4_0"}', "is listed as stored in blocks, but is missing"],
  ])("is refused: %s", (_, quantized, message) => {
    expect(() => readSafetensors(file(quantized))).toThrow(message);
  });

  it.each([
    ["half a block", [4, 35], "U8"],
    ["no dimension", [], "U8"],
    ["other elements", [4, 36], "I8"],
  ])("is refused: %s", (_, shape, dtype) => {
    expect(() => readSafetensors(file('{"w":"Q4_0"}', shape, dtype))).toThrow(
      "does not consist of whole blocks of Q4_0",
    );
  });
});
