// Standard error has nothing of Dawn's two warnings about limits, and the limits are as Dawn means them.
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import { afterAll, describe, expect, it } from "vitest";
import { dawnFile, PATCHES, quietDawn } from "../../scripts/quiet-dawn.mjs";
import { openNodeAdapter } from "../../src/runtime/device/device-node.js";
import { GOLDEN, modcProcess, root } from "../tools/cli/spawn.js";

const webgpu = dirname(createRequire(import.meta.url).resolve("webgpu"));
const folder = mkdtempSync(join(tmpdir(), "modc-dawn-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("Dawn's warnings about limits", () => {
  it("are on standard error of no device", { tags: "long" }, async () => {
    const [lavapipe, swiftshader] = await Promise.all(
      ["software", "swiftshader"].map((device) => modcProcess(["run", ...GOLDEN, "--device", device])),
    );
    // A compilation longer than a second prints a separate line.
    const lines = (stderr: string): string => stderr.replaceAll(/^compil.*\n/gm, "");
    expect([lavapipe!.status, lines(lavapipe!.stderr)]).toEqual([0, "Golden, infer forward, on llvmpipe: B=1 T=4\n"]);
    expect([swiftshader!.status, lines(swiftshader!.stderr)]).toEqual([
      0,
      "Golden, infer forward, on SwiftShader: B=1 T=4\n",
    ]);
  });

  it("leave behind the limits that they tell of", async () => {
    for (const kind of ["software", "swiftshader"] as const) {
      const { limits } = (await openNodeAdapter({ kind })).adapter;
      for (const limit of [
        limits.maxDynamicUniformBuffersPerPipelineLayout,
        limits.maxDynamicStorageBuffersPerPipelineLayout,
      ])
        expect(limit, kind).toBeOneOf([4, 8, 16]); // more than 16 are more than Dawn has room for
    }
  });

  it.each(["x64", "arm64"] as const)(
    "are printed by instructions that lie where they are looked for, on %s",
    (arch) => {
      const { offset, before, after } = PATCHES[arch];
      const file = readFileSync(join(webgpu, "dist", `linux-${arch}`, "dawn.node"));
      expect(after).toHaveLength(before.length);
      expect([before, after].some((wanted) => file.subarray(offset, offset + before.length).equals(wanted))).toBe(true);
    },
  );

  it("are taken out of a copy that then takes the file's place, once; another version is left alone", () => {
    const [patch, path] = [
      { offset: 3, before: Buffer.from("abc"), after: Buffer.from("xyz") },
      join(folder, "dawn.node"),
    ];
    writeFileSync(path, "---abc---", { mode: 0o755 });
    expect([quietDawn(path, patch), readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual([
      true,
      "---xyz---",
      0o755,
    ]);
    expect([quietDawn(path, patch), readFileSync(path, "utf8")]).toEqual([true, "---xyz---"]);
    const other = join(folder, "other.node");
    copyFileSync(path, other);
    expect([quietDawn(other, { ...patch, offset: 4 }), readFileSync(other, "utf8")]).toEqual([false, "---xyz---"]);
    expect([quietDawn(join(folder, "none"), patch), quietDawn(path, { ...patch, offset: 8 })]).toEqual([false, false]);
    expect(readdirSync(folder).toSorted()).toEqual(["dawn.node", "other.node"]);
  });

  it("concern Linux alone", () => {
    expect(dawnFile(root, { platform: "darwin", arch: "x64" })).toBeNull();
    expect(dawnFile(root, { platform: "linux", arch: "s390x" })).toBeNull();
    expect(dawnFile(root, { platform: "linux", arch: "x64" })).toBe(
      join(root, "node_modules", "webgpu", "dist", "linux-x64", "dawn.node"),
    );
  });
});
