// Standard error has nothing of Dawn's two warnings about limits, and the limits are as Dawn means them.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { addressOf, PATCHES, silenceDawn } from "../../src/runtime/dawn-warnings-node.js";
import { openNodeAdapter } from "../../src/runtime/device-node.js";
import { GOLDEN, modcProcess } from "../cli/spawn.js";

const webgpu = dirname(createRequire(import.meta.url).resolve("webgpu"));

describe("Dawn's warnings about limits", () => {
  it("are on standard error of no device", async () => {
    const [lavapipe, swiftshader] = await Promise.all(["software", "swiftshader"].map((device) => modcProcess(["run", ...GOLDEN, "--device", device])));
    expect(lavapipe).toMatchObject({ status: 0, stderr: "Golden, infer forward, on llvmpipe: B=1 T=4\n" });
    expect(swiftshader).toMatchObject({ status: 0, stderr: "Golden, infer forward, on SwiftShader: B=1 T=4\n" });
  });

  it("are told by instructions that are in the package where they are looked for", () => {
    for (const [arch, { offset, before, after }] of Object.entries(PATCHES)) {
      const file = readFileSync(join(webgpu, "dist", `linux-${arch}`, "dawn.node"));
      expect(file.subarray(offset, offset + before.length).toString("hex"), arch).toBe(before.toString("hex"));
      expect(after).toHaveLength(before.length);
      expect(file.indexOf(before)).toBe(offset);
    }
  });

  it("leave behind the limits that they tell of", async () => {
    for (const kind of ["software", "swiftshader"] as const) {
      const { limits } = (await openNodeAdapter({ kind })).adapter;
      for (const limit of [limits.maxDynamicUniformBuffersPerPipelineLayout, limits.maxDynamicStorageBuffersPerPipelineLayout])
        expect(limit, kind).toBeOneOf([4, 8, 16]); // more than 16 are more than Dawn has room for
    }
    expect(silenceDawn()).toBe(true); // once more changes nothing
  });

  it("finds where a byte of a file lies in memory", () => {
    const maps = [
      "7f0000000000-7f0000079000 r--p 00000000 fe:01 12 /x/webgpu/dist/linux-x64/dawn.node",
      "7f0000100000-7f0000200000 r-xp 00079000 fe:01 12   /x/webgpu/dist/linux-x64/dawn.node",
      "7f0000300000-7f0000400000 r-xp 00000000 fe:01 13 /x/other.node",
      "7f0000500000-7f0000600000 rw-p 00000000 00:00 0 ",
    ].join("\n");
    expect(addressOf(maps, /dawn\.node$/, 0x79010)).toBe(0x7f0000100010);
    expect([0x10, 0x79000 + 0x100000].map((offset) => addressOf(maps, /dawn\.node$/, offset))).toEqual([null, null]);
    expect(addressOf(maps, /absent$/, 0x79010)).toBe(null);
  });
});
