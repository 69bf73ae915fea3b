// The script that builds Mesa's driver of Intel's GPUs: its calls, and libraries taken from a folder or an archive.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const NAMES = ["libvulkan_intel.so", "libintel_noop_drm_shim.so"];
let work = "";
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), "modc-mesa-intel-"));
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

const run = (...args: readonly string[]): ReturnType<typeof spawnSync> & { readonly stderr: string } =>
  spawnSync(process.execPath, ["scripts/mesa-intel.mjs", ...args], {
    encoding: "utf8",
    env: { ...process.env, XDG_CACHE_HOME: join(work, "cache") },
  });

describe.skipIf(process.platform !== "linux")("mesa-intel.mjs", () => {
  it("says how it is called, and ends with 2 for a call it does not understand", () => {
    expect(run("--help")).toMatchObject({ status: 0, stdout: expect.stringMatching(/^usage: /) as string });
    expect(run("--form", "x")).toMatchObject({ status: 2, stderr: expect.stringMatching(/\nusage: /) as string });
  });

  it("names what is not there, and leaves nothing behind", () => {
    const from = join(work, "half");
    mkdirSync(from);
    writeFileSync(join(from, NAMES[0]!), "driver");
    const stale = join(work, "cache", "modc", "mesa-intel-build-4194305-abcdef");
    mkdirSync(stale, { recursive: true });
    expect(run("--from", from)).toMatchObject({ status: 1, stderr: `mesa-intel: ${from} has no ${NAMES[1]}\n` });
    expect(run("--from", `${from}.tar`).stderr).toBe(`mesa-intel: ${from}.tar is not there\n`);
    expect(readdirSync(join(work, "cache", "modc"))).toEqual([]);
  });

  it.each(["folder", "archive", "archive of ./"])("takes both libraries from a %s", { tags: "long" }, (kind) => {
    const from = join(work, "whole");
    mkdirSync(from);
    for (const name of NAMES) writeFileSync(join(from, name), name);
    const members = kind === "archive" ? NAMES : ["./"];
    if (kind !== "folder") spawnSync("tar", ["cf", join(work, "whole.tar"), "-C", from, ...members]);
    const folder = join(work, "cache", "modc", "mesa-intel-25.0.7");
    expect(run("--from", kind === "folder" ? from : join(work, "whole.tar"))).toMatchObject({
      status: 0,
      stdout: `${folder}\n`,
    });
    expect(NAMES.map((name) => readFileSync(join(folder, name), "utf8"))).toEqual(NAMES);
    expect(readdirSync(join(work, "cache", "modc"))).toEqual(["mesa-intel-25.0.7"]);
  });
});
