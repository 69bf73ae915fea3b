// Classes of devices by what their adapters list.
import { describe, expect, it } from "vitest";
import { classOf } from "../../../src/runtime/device/device.js";

describe("an adapter's class", () => {
  it.each([
    ["llvmpipe", "llvmpipe (LLVM 19.1.7, 256 bits)", true, [8, 8], 1024, 32_768, "mesa-software"],
    ["SwiftShader Device", "SwiftShader driver-5.0.0", true, [4, 4], 256, 16_384, "swiftshader"],
    ["Microsoft Basic Render Driver", "", true, null, 1024, 32_768, "swiftshader"],
    ["subgroups of 32", "NVIDIA: 550.54.15", false, [32, 32], 1024, 49_152, "discrete"],
    ["subgroups of 32 or 64", "radv: Mesa 25.0.7", false, [32, 64], 1024, 65_536, "discrete"],
    ["the same of another vendor", "", false, [32, 64], 1024, 65_536, "discrete"],
    ["small workgroups", "", false, [32, 32], 256, 16_384, "integrated"],
    ["little memory of workgroups", "", false, [32, 32], 1024, 16_384, "integrated"],
    ["subgroups of 8 to 32", "", false, [8, 32], 1024, 65_536, "integrated"],
    ["subgroups of 4 to 64", "", false, [4, 64], 1024, 32_768, "integrated"],
    ["nothing of subgroups", "", false, null, 1024, 32_768, "portable"],
  ] as const)("%s", (name, driver, software, subgroups, invocations, storage, expected) => {
    const limits = { maxComputeInvocationsPerWorkgroup: invocations, maxComputeWorkgroupStorageSize: storage };
    expect(classOf({ name, driver, software, subgroups, limits })).toBe(expected);
  });
});
