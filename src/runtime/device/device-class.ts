// The class of an adapter, which selects tunings: software devices by driver, GPUs by the properties that they report.
import type { DeviceClass } from "../program/target.js";
import type { DeviceInfo } from "./device-info.js";

/** The properties of an adapter that determine its class. */
export type Identity = Pick<DeviceInfo, "name" | "driver" | "software" | "subgroups"> & {
  readonly limits: Pick<DeviceInfo["limits"], "maxComputeInvocationsPerWorkgroup" | "maxComputeWorkgroupStorageSize">;
};

/**
 * A GPU is discrete if all its subgroups are wide and its workgroups large, as the tunings of large GPUs require,
 * whatever its memory; it is integrated if subgroup sizes vary or workgroups are smaller. A GPU that reports no
 * subgroup sizes is `portable`.
 */
export function classOf({ name, driver, software, subgroups, limits }: Identity): DeviceClass {
  if (software) return /llvmpipe|lavapipe/i.test(`${name} ${driver}`) ? "mesa-software" : "swiftshader";
  if (subgroups === null) return "portable";
  const large = limits.maxComputeInvocationsPerWorkgroup >= 1024 && limits.maxComputeWorkgroupStorageSize >= 32_768;
  return subgroups[0] >= 32 && large ? "discrete" : "integrated";
}
