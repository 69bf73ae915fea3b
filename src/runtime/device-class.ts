// Classifies adapters by name, as WebGPU does not tell whether a GPU has its own memory.
import type { DeviceClass } from "../program/target.js";
import type { DeviceInfo } from "./device-info.js";

/** The properties of an adapter that determine its class. */
export type Identity = Pick<DeviceInfo, "name" | "vendor" | "architecture" | "driver" | "software">;

/** Vendors whose GPUs all share the processor's memory. */
const SHARING = /apple|qualcomm|arm|img|imagination|samsung|broadcom|huawei|mediatek|vivante/i;
/** Intel's Arc, by Dawn's names of architectures and by the names that drivers report. */
const ARC = /hpg|alchemist|battlemage|\bdg[12]\b|\barc\b.*\b[ab]\d{3}/i;
/** A Radeon integrated in a processor: its name has no model number, or Mesa names it by the processor's code name. */
const RADEON_INSIDE =
  /radeon(\(tm\))? (vega \d+ )?graphics|radeon(\(tm\))? \d{3}m\b|raven|renoir|cezanne|rembrandt|phoenix|van ?gogh|mendocino|strix/i;
/** NVIDIA's processors with an integrated GPU. */
const TEGRA = /tegra|orin|xavier/i;

/** The device class, whose tunings are used; `portable` where the vendor is unknown. */
export function classOf({ name, vendor, architecture, driver, software }: Identity): DeviceClass {
  const all = `${name} ${driver}`;
  if (software) return /llvmpipe|lavapipe/i.test(all) ? "mesa-software" : "swiftshader";
  if (/nvidia/i.test(vendor)) return TEGRA.test(all) ? "integrated" : "discrete";
  if (/amd/i.test(vendor)) return RADEON_INSIDE.test(all) ? "integrated" : "discrete";
  if (/intel/i.test(vendor)) return ARC.test(architecture) || ARC.test(all) ? "discrete" : "integrated";
  return SHARING.test(vendor) ? "integrated" : "portable";
}
