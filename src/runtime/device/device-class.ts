// The class of an adapter, by which tunings are chosen: of a software device by its driver, of a GPU by what it lists.
import type { DeviceClass } from "../program/target.js";
import type { DeviceInfo } from "./device-info.js";

/** The properties of an adapter that determine its class. */
export type Identity = Pick<DeviceInfo, "name" | "driver" | "software" | "subgroups"> & {
  readonly limits: Pick<DeviceInfo["limits"], "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize">;
};

/**
 * A GPU counts as discrete where all its subgroups are wide and its workgroups large, which is what the tunings of
 * large GPUs need, wherever its memory is; as integrated where it has subgroups of other sizes or smaller workgroups.
 * One that tells nothing of subgroups is `portable`.
 */
export function classOf({ name, driver, software, subgroups, limits }: Identity): DeviceClass {
  if (software) return /llvmpipe|lavapipe/i.test(`${name} ${driver}`) ? "mesa-software" : "swiftshader";
  if (subgroups === null) return "portable";
  const large = limits.maxComputeInvocationsPerWorkgroup >= 1024 && limits.maxComputeWorkgroupStorageSize >= 32_768;
  return subgroups[0] >= 32 && large ? "discrete" : "integrated";
}
