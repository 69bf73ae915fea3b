// Which device the flags ask for, and how to get a better one.
import type { DeviceInfo, DeviceKind } from "../runtime/device.js";
import { EXIT, UserError } from "./exit.js";

export interface DeviceFlags {
  readonly device?: "gpu" | "software" | "swiftshader" | "reference";
  readonly requireGpu?: boolean;
}

/** Null: the best there is. `--require-gpu` is `--device gpu` that contradicts any other. */
export function deviceKind({ device, requireGpu }: DeviceFlags): DeviceKind | "reference" | null {
  if (!requireGpu) return device ?? null;
  if (device !== undefined && device !== "gpu") throw new UserError(`--require-gpu and --device ${device} contradict each other`, null, EXIT.usage);
  return "gpu";
}

/** What to install where the device is only software; null where nothing can be said. */
export function mendingHint(info: DeviceInfo): string | null {
  const swiftShader = /swiftshader/i.test(`${info.name} ${info.driver}`);
  if (swiftShader && process.platform === "linux") {
    return "to speed up: install your GPU's Vulkan driver; without a GPU, `apt-get install -y --no-install-recommends libvulkan1 mesa-vulkan-drivers` brings Mesa's software GPU, several times as fast";
  }
  return process.platform === "linux"
    ? "to speed up: install your GPU's Vulkan driver (NVIDIA's own; for AMD and Intel the package mesa-vulkan-drivers)"
    : null;
}
