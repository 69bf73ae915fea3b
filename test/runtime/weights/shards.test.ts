// Weights in shards: read through the index of their folder, which names no file outside it.
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WeightsError, writeSafetensors } from "../../../src/runtime/index.js";
import { openWeights, saveWeights } from "../../../src/runtime/node.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "modc-shards-"));
});
afterAll(() => rm(folder, { recursive: true }));

const floats = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer);

describe("shards", () => {
  const write = async (name: string, index: unknown, files: Readonly<Record<string, Uint8Array>>): Promise<string> => {
    const place = join(folder, name);
    await mkdir(place);
    for (const [f, bytes] of Object.entries(files)) await writeFile(join(place, f), bytes);
    await writeFile(
      join(place, "model.safetensors.index.json"),
      typeof index === "string" ? index : JSON.stringify(index),
    );
    return place;
  };
  const shard = (key: string, value: number): Uint8Array =>
    writeSafetensors([{ key, dtype: "F32", shape: [1], data: floats(value) }]);

  it("are read through the index of their folder", async () => {
    const place = await write(
      "good",
      { metadata: { total_size: 8 }, weight_map: { a: "1.safetensors", b: "2.safetensors" } },
      { "1.safetensors": shard("a", 1), "2.safetensors": shard("b", 2) },
    );
    const source = await openWeights(place);
    expect([...source.tensors.keys()]).toEqual(["a", "b"]);
    expect(await source.read("b")).toEqual(floats(2));
    await source.close();
  });

  const refused: readonly (readonly [string, unknown, RegExp])[] = [
    ["above the folder", { weight_map: { a: "../1.safetensors" } }, /is outside the folder of the index/],
    ["by an absolute path", { weight_map: { a: "/etc/passwd" } }, /is outside the folder of the index/],
    ["through a link", { weight_map: { a: "link.safetensors" } }, /is outside the folder of the index/],
    ["that do not exist", { weight_map: { a: "3.safetensors" } }, /there is no such file/],
    [
      "that lack their tensor",
      { weight_map: { a: "1.safetensors", z: "1.safetensors" } },
      /lists "z" in 1\.safetensors, which does not have it/,
    ],
    ["without a map", { a: 1 }, /it has no weight_map/],
    ["with a number as file", { weight_map: { a: 1 } }, /the shard of "a" is not a file name/],
    ["with a key twice", '{"weight_map":{"a":"1.safetensors","a":"1.safetensors"}}', /key "a" twice/],
    ["with a broken index", "{", /is not an index of shards: expected a key/],
  ];
  refused.forEach(([what, index, message], i) => {
    it(`${what} are refused`, async () => {
      const place = await write(`bad${i}`, index, { "1.safetensors": shard("a", 1) });
      await writeFile(join(folder, "outside.safetensors"), shard("a", 9));
      await symlink(join(folder, "outside.safetensors"), join(place, "link.safetensors"));
      await expect(openWeights(place)).rejects.toThrow(message);
      await expect(openWeights(place)).rejects.toBeInstanceOf(WeightsError);
    });
  });

  it("with a tensor the index does not place are refused", async () => {
    const place = await write(
      "stray",
      { weight_map: { a: "1.safetensors" } },
      {
        "1.safetensors": writeSafetensors([
          { key: "a", dtype: "U8", shape: [1], data: new Uint8Array(1) },
          { key: "b", dtype: "U8", shape: [1], data: new Uint8Array(1) },
        ]),
      },
    );
    await expect(openWeights(place)).rejects.toThrow(
      '1.safetensors holds "b", which model.safetensors.index.json does not list there',
    );
  });

  it("and files that cannot be opened give one sentence", async () => {
    await expect(openWeights(join(folder, "absent.safetensors"))).rejects.toThrow(
      /^cannot open .*absent\.safetensors: there is no such file$/,
    );
    await expect(openWeights("file://elsewhere/w.safetensors")).rejects.toThrow(
      /^cannot open file:\/\/elsewhere\/w\.safetensors: File URL host/,
    );
    await expect(openWeights("file://elsewhere/w.safetensors")).rejects.toBeInstanceOf(WeightsError);
    await mkdir(join(folder, "empty"));
    await expect(openWeights(join(folder, "empty"))).rejects.toThrow(/holds neither model\.safetensors nor/);
    await expect(
      saveWeights(join(folder, "no", "w.safetensors"), { weights: [] }, () => new Float32Array()),
    ).rejects.toThrow(/there is no folder/);
  });
});
