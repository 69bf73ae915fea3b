// Features of records: nested numbers, and arrays in files that rows name.
import { mkdirSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeSafetensors } from "../../../src/runtime/index.js";
import { arraysBeside } from "../../../src/tools/train/arrays-node.js";
import { openData } from "../../../src/tools/train/data-node.js";
import type { TrainingData } from "../../../src/tools/train/data.js";
import { TrainError } from "../../../src/tools/train/errors.js";
import { trainingModel } from "../../../src/tools/train/model.js";
import { START } from "../../../src/tools/train/windows.js";
import { scratch } from "./folder.js";

const place = scratch();
afterAll(place.remove);
const FIXED = `model Fixed() {
  weight w: f32[2]
  objective(x: f32[B, 3, 2], y: f32[B]) { loss all = mean((x @ w[:, None])[:, 0, 0] - y) }
}`;
const ALONG = `model Along() {
  weight w: f32[2]
  objective(x: f32[B, T, 2], y: f32[B]) { loss all = mean(x * w) }
}`;
const LABELLED = "model Labelled() { weight w: f32[1]\n objective(x: u32[B, 3]) { loss all = mean(f32(x) * w) } }";
const NUMBERS = [1, 2, 3, 4, 5, 6];

let files = 0;
const lines = (rows: readonly object[]): string =>
  place.file(`data-${files++}.jsonl`, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
const opened = (data: string, text: string, signal?: AbortSignal): Promise<TrainingData> =>
  openData(
    { data, cache: join(place.path, "cache"), ...(signal && { signal }) },
    trainingModel({ source: { file: "m.mod", text }, read: () => null }, { set: {} }).model.run,
    { batch: 1, context: 16, seed: 3, validation: 0, validationWindows: 0 },
  );
async function valuesOf(data: string, model: string): Promise<readonly number[]> {
  const found = await opened(data, model);
  const { batch } = await found.next(START);
  await found.close();
  return [...batch.inputs["x"]!];
}
const faultOf = async (data: string, model: string): Promise<string> => {
  try {
    await (await opened(data, model)).close();
  } catch (fault) {
    return `${(fault as Error).message}; ${(fault as { hint?: string }).hint ?? ""}`.replaceAll(place.path, "");
  }
  return "no fault";
};

const npy = (values: ArrayBufferView, type: string, shape: string): Uint8Array => {
  const header = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape}), }`.padEnd(117) + "\n";
  const bytes = new TextEncoder();
  const start = [0x93, ...bytes.encode("NUMPY"), 1, 0, header.length, 0, ...bytes.encode(header)];
  return Buffer.concat([Uint8Array.from(start), new Uint8Array(values.buffer)]);
};
const tensors = (all: Readonly<Record<string, readonly [string, ArrayBufferView]>>): Uint8Array =>
  writeSafetensors(
    Object.entries(all).map(([key, [dtype, values]]) => ({
      key,
      dtype,
      shape: [3, 2],
      data: new Uint8Array(values.buffer),
    })),
  );
const bf16 = Uint16Array.from(NUMBERS, (x) => new Uint32Array(Float32Array.of(x).buffer)[0]! >>> 16);
const FILES = {
  "f4.npy": npy(Float32Array.from(NUMBERS), "<f4", "3, 2"),
  "f8.npy": npy(Float64Array.from(NUMBERS), "<f8", "3, 2"),
  "one.safetensors": tensors({ anything: ["F32", Float32Array.from(NUMBERS)] }),
  "named.safetensors": tensors({ a: ["F32", Float32Array.of(9, 9, 9, 9, 9, 9)], x: ["BF16", bf16] }),
  "f64.safetensors": tensors({ x: ["F64", Float64Array.from(NUMBERS)] }),
  "i64.safetensors": tensors({ x: ["I64", BigInt64Array.from(NUMBERS, BigInt)] }),
  "deep/u8.safetensors": tensors({ x: ["U8", Uint8Array.from(NUMBERS)] }),
};
for (const [name, bytes] of Object.entries(FILES)) place.file(name, bytes);

describe("features", () => {
  const nested = [
    [1, 2],
    [3, 4],
    [5, 6],
  ];
  it.each([nested, ...Object.keys(FILES)])("are read from %s", async (x) => {
    expect(await valuesOf(lines([{ x, y: 1 }]), FIXED), "of a fixed size").toEqual(NUMBERS);
    expect(await valuesOf(lines([{ x, y: 1 }]), ALONG), "for each token").toEqual(NUMBERS);
  });

  it.each([
    ["../x.npy", /"\.\.\/x\.npy" is outside the folder of the data/],
    ["/etc/x.npy", /is outside the folder of the data/],
    ["x.pt", /"x\.pt" is neither numbers nor the path of a \.npy or \.safetensors file/],
    ["none.safetensors", /jsonl:1: "none\.safetensors" cannot be read: ENOENT/],
    ["broken.safetensors", /jsonl:1: .*broken\.safetensors: .* it is truncated/],
    ["several.safetensors", /several\.safetensors has 2 tensors, and none is called "x"; .* name it x/],
    ["f8.safetensors", /jsonl:1: .*the tensor "x": its type is F8_E4M3; store it as float32/],
    ["nan.npy", /jsonl:1: x contains NaN, which is no number/],
    ["wide.npy", /x has the shape \[2, 3\] in wide\.npy, the model takes \[3, 2\]/],
    [[[1, 2]], /x has 1 values where the model takes 3/],
  ])("%s are refused with their place", async (x, message) => {
    const f32 = Float32Array.from(NUMBERS);
    place.file("broken.safetensors", FILES["one.safetensors"].slice(0, -4));
    place.file("several.safetensors", tensors({ a: ["F32", f32], b: ["F32", f32] }));
    place.file("f8.safetensors", tensors({ x: ["F8_E4M3", Uint8Array.from(NUMBERS)] }));
    place.file("nan.npy", npy(Float32Array.of(1, NaN, 3, 4, 5, 6), "<f4", "3, 2"));
    place.file("wide.npy", npy(f32, "<f4", "2, 3"));
    expect(await faultOf(lines([{ x, y: 1 }]), FIXED)).toMatch(message);
  });

  it("are checked before they are read", async () => {
    const header = npy(new Float32Array(0), "<f4", "40000000, 1"); // 160 MB, of which the disk holds the header
    truncateSync(place.file("large.npy", header), header.length + 160_000_000);
    const folder = arraysBeside(join(place.path, "data.jsonl"));
    const shapes: (readonly number[])[] = [];
    const expectShape = (shape: readonly number[]): never => {
      shapes.push(shape);
      throw new TrainError("bad-data", "here: no such shape");
    };
    await expect(folder.at("large.npy", { place: "here", column: "x", expectShape })).rejects.toThrow("no such shape");
    expect([shapes, folder.read]).toEqual([[[40_000_000, 1]], []]);
    place.file("short.npy", header);
    expect(await faultOf(lines([{ x: "short.npy", y: 1 }]), FIXED)).toMatch(/its size does not fit its shape/);
  });

  it("are read, and read again, in pieces, between which a signal is heard", async () => {
    const values = Float32Array.from({ length: 8_000_000 }, (_, i) => i % 1000);
    place.file("long.npy", npy(values, "<f4", "4000000, 2"));
    const data = lines([{ x: "long.npy", y: 1 }]);
    const interrupted = async (): Promise<void> => {
      const stop = new AbortController();
      const timer = setTimeout(() => stop.abort(new Error("enough")), 10);
      try {
        await expect(opened(data, ALONG, stop.signal)).rejects.toThrow("enough");
      } finally {
        clearTimeout(timer);
      }
    };
    await interrupted();
    let turns = 0;
    const counter = setInterval(() => turns++, 1);
    await (await opened(data, ALONG)).close();
    clearInterval(counter);
    expect(turns).toBeGreaterThan(10);
    await interrupted();
  });

  it("must fit the type of the input", async () => {
    place.file("half.npy", npy(Float32Array.of(1, 2.5, 3), "<f4", "3,"));
    expect(await faultOf(lines([{ x: "half.npy" }]), LABELLED)).toMatch(/:1: x contains 2\.5, which is no u32/);
  });

  it("that change are encoded anew, as other data", async () => {
    const data = lines([{ x: "changing.npy", y: 1 }]);
    const digests = new Set<string>();
    for (const factor of [1, 2, 1]) {
      const values = NUMBERS.map((n) => factor * n);
      place.file("changing.npy", npy(Float32Array.from(values), "<f4", "3, 2"));
      expect(await valuesOf(data, FIXED)).toEqual(values);
      const found = await opened(data, FIXED);
      digests.add(found.digest);
      await found.close();
    }
    expect(digests.size).toBe(2);
    rmSync(join(place.path, "changing.npy"));
    expect(await faultOf(data, FIXED)).toMatch(/"changing\.npy" cannot be read: ENOENT/);
    mkdirSync(join(place.path, "changing.npy"));
    expect(await faultOf(data, FIXED)).toMatch(/"changing\.npy" cannot be read: .*regular/);
  });
});
