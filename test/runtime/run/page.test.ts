// In a page: no module of Node is reached without a dynamic import, and the page's own WebGPU is what opens.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import { openDevice } from "../../../src/runtime/index.js";
import { testDevice } from "../../device.js";

afterEach(() => vi.unstubAllGlobals());

/** Modules that a file imports statically, types aside. */
const importsOf = (url: URL): string[] =>
  [...readFileSync(url, "utf8").matchAll(/^(?:import|export)\s(?!type\b)[^;]*?from "([^"]+)";/gm)].map((m) => m[1]!);

describe("the runtime in a page", () => {
  it("imports nothing but its own files and those of the ground's rooms base, numerics and size", () => {
    const start = new URL("../../../src/runtime/index.ts", import.meta.url);
    const seen = new Map([[start.href, start]]);
    for (const url of seen.values())
      for (const specifier of importsOf(url)) {
        expect(specifier, fileURLToPath(url)).toMatch(/^\.\.?\//);
        const next = new URL(specifier.replace(/\.js$/, ".ts"), url);
        seen.set(next.href, next);
      }
    const files = [...seen.keys()].map((href) => href.slice(href.indexOf("/src/") + 5));
    expect(files.length).toBeGreaterThan(20);
    const own = /^(runtime|ground\/(base|numerics|size))\//;
    expect(files.filter((f) => !own.test(f) || f.includes("-node."))).toEqual([]);
  });

  it("opens the page's adapter", async () => {
    const { gpu } = await testDevice();
    const asked: unknown[] = [];
    const info = {
      vendor: "acme",
      architecture: "x1",
      device: "",
      description: "Acme X1 (r2)",
      isFallbackAdapter: false,
    };
    const adapter = {
      info,
      limits: gpu.limits,
      features: new Set(["subgroups", "texture-compression-bc"]),
      requestDevice: async (wanted: GPUDeviceDescriptor) => {
        asked.push(wanted.requiredFeatures);
        return gpu;
      },
    };
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => adapter } });
    const device = await openDevice({ kind: "gpu" });
    expect(device.info).toMatchObject({ name: "Acme X1", vendor: "acme", software: false });
    expect(device.waitMode).toBe("native");
    expect(asked).toEqual([["subgroups"]]);
  });

  it("says so where the page has no adapter, or only a software one", async () => {
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => null } });
    await expect(openDevice()).rejects.toThrow("this browser offers no GPU adapter");
    const info = {
      vendor: "google",
      architecture: "swiftshader",
      device: "",
      description: "",
      isFallbackAdapter: true,
    };
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => ({ info }) } });
    await expect(openDevice({ kind: "gpu" })).rejects.toThrow("no hardware GPU was found, only swiftshader");
  });
});
