// Classes of devices by what their adapters say.
import { describe, expect, it } from "vitest";
import { classOf } from "../../src/runtime/device-class.js";

describe("an adapter's class", () => {
  it.each([
    ["llvmpipe", "mesa", "", "llvmpipe (LLVM 19.1.7, 256 bits)", true, "mesa-software"],
    ["SwiftShader Device", "google", "swiftshader", "SwiftShader driver-5.0.0", true, "swiftshader"],
    ["Microsoft Basic Render Driver", "microsoft", "", "", true, "swiftshader"],
    ["NVIDIA H100 80GB HBM3", "nvidia", "hopper", "NVIDIA: 550.54.15", false, "discrete"],
    ["NVIDIA Tegra Orin (nvgpu)", "nvidia", "ampere", "NVIDIA: 540.3.0", false, "integrated"],
    ["AMD Radeon RX 7900 XTX", "amd", "rdna-3", "radv: Mesa 25.0.7", false, "discrete"],
    ["AMD Radeon Graphics", "amd", "rdna-2", "radv: Mesa 25.0.7 (RADV REMBRANDT)", false, "integrated"],
    ["AMD Radeon 780M", "amd", "rdna-3", "", false, "integrated"],
    ["Intel(R) Iris(R) Xe Graphics", "intel", "xe", "", false, "integrated"],
    ["Intel(R) Arc(TM) A770 Graphics", "intel", "xe-hpg", "", false, "discrete"],
    ["Intel(R) Arc(TM) B580 Graphics", "intel", "xe-2hpg", "", false, "discrete"],
    ["Intel(R) Arc(TM) 140V GPU", "intel", "xe-2lpg", "", false, "integrated"],
    ["Apple M3", "apple", "metal-3", "", false, "integrated"],
    ["Adreno (TM) 740", "qualcomm", "adreno-7xx", "", false, "integrated"],
    ["Mali-G710", "arm", "valhall", "", false, "integrated"],
    ["unknown adapter", "", "", "", false, "portable"],
    ["Somebody's GPU", "somebody", "first", "", false, "portable"],
  ] as const)("%s", (name, vendor, architecture, driver, software, expected) => {
    expect(classOf({ name, vendor, architecture, driver, software })).toBe(expected);
  });
});
