// Checks that a device meets a program's requirements.
import type { Program } from "../program/program.js";
import { PINS, printShape, sameShape, subgroupWidth, type Requirements, type Target } from "../program/target.js";
import type { Device } from "./device.js";
import { UnsupportedError } from "./errors.js";

/** Throws UnsupportedError if the device lacks a feature that the program's kernels require. */
export function checkRequirements({ requires, target }: Program, { info, target: own }: Device): void {
  const missing: string[] = requires.features.filter((f) => !info.features.includes(f));
  if (requires.subgroupSize !== null && !hasWidth(own, requires, requires.subgroupSize))
    missing.push(`subgroups of ${requires.subgroupSize} (they have ${subgroupWidth(own) ?? "no fixed width"} there)`);
  const least = requires.leastSubgroup ?? 0;
  if (least > (own.subgroups?.[0] ?? 0)) missing.push(`subgroups of ${least} or more`);
  for (const shape of requires.matrices ?? [])
    if (!own.matrices?.some((other) => sameShape(shape, other))) missing.push(`matrix units of ${printShape(shape)}`);
  if (missing.length > 0)
    throw new UnsupportedError(
      `the program was compiled for ${target.device} and needs ${missing.join(" and ")}, which ${info.name} does ` +
        "not have",
      missing.includes("shader-f16")
        ? "compile it in f32"
        : "compile it for this device (`target: device.target` or `modc compile --device`), or for any device",
    );
}

/** Whether all subgroups have this width, or a kernel may request it. */
function hasWidth({ subgroups }: Target, { features }: Requirements, width: number): boolean {
  const [least, most] = subgroups ?? [0, 0];
  return features.includes(PINS) ? least <= width && width <= most : least === width && most === width;
}
