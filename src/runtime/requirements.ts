// Whether a device has what a program was compiled for.
import type { Program } from "../program/program.js";
import { subgroupWidth } from "../program/target.js";
import type { Device } from "./device.js";
import { UnsupportedError } from "./errors.js";

/** Throws UnsupportedError where the device lacks what the program's kernels rely on. */
export function checkRequirements({ requires, target }: Program, { info, target: own }: Device): void {
  const missing: string[] = requires.features.filter((f) => !info.features.includes(f));
  const width = subgroupWidth(own);
  if (requires.subgroupSize !== null && width !== requires.subgroupSize)
    missing.push(`subgroups of ${requires.subgroupSize} (they have ${width ?? "no fixed width"} there)`);
  if (missing.length > 0)
    throw new UnsupportedError(
      `the program was compiled for ${target.device} and needs ${missing.join(" and ")}, which ${info.name} does ` +
        "not have",
      missing.includes("shader-f16")
        ? "compile it in f32"
        : "compile it for this device (`target: device.target`, or `modc compile --device`), or for any (without)",
    );
}
