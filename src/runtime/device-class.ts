// Which class of device an adapter belongs to, as far as WebGPU tells: names, for it does not say whether a GPU has
// memory of its own.
import type { DeviceClass } from "../program/target.js";
import type { DeviceInfo } from "./device-info.js";

/** What an adapter says of itself that a class can be told by. */
export type Identity = Pick<DeviceInfo, "name" | "vendor" | "architecture" | "driver" | "software">;

/** Makers whose GPUs all share the processor's memory. */
const SHARING = /apple|qualcomm|arm|img|imagination|samsung|broadcom|huawei|mediatek|vivante/i;
/** Intel's Arc, by the names of architectures in Dawn and by what drivers call them. */
const ARC = /hpg|alchemist|battlemage|\bdg[12]\b|\barc\b.*\b[ab]\d{3}/i;
/**
 * A Radeon inside a processor is called so, without a number of its own, or by the code name of that processor in Mesa.
 */
const RADEON_INSIDE =
  /radeon(\(tm\))? (vega \d+ )?graphics|radeon(\(tm\))? \d{3}m\b|raven|renoir|cezanne|rembrandt|phoenix|van ?gogh|mendocino|strix/i;
/** NVIDIA's processors with a GPU. */
const TEGRA = /tegra|orin|xavier/i;

/** The class whose tunings fit; `portable`, and not a guess, where the maker is not known. */
export function classOf({ name, vendor, architecture, driver, software }: Identity): DeviceClass {
  const all = `${name} ${driver}`;
  if (software) return /llvmpipe|lavapipe/i.test(all) ? "mesa-software" : "swiftshader";
  if (/nvidia/i.test(vendor)) return TEGRA.test(all) ? "integrated" : "discrete";
  if (/amd/i.test(vendor)) return RADEON_INSIDE.test(all) ? "integrated" : "discrete";
  if (/intel/i.test(vendor)) return ARC.test(architecture) || ARC.test(all) ? "discrete" : "integrated";
  return SHARING.test(vendor) ? "integrated" : "portable";
}
