// The device that the flags request, and hints for getting a better one.
import type { DeviceInfo, OpenDeviceOptions } from "../../../runtime/device/device-info.js";
import { io } from "../terminal/io.js";
import { say } from "../terminal/terminal.js";
import type { DeviceFlags } from "../tree/options.js";

/** The options for `openDevice`. */
export function wantedDevice({ device: kind }: DeviceFlags): OpenDeviceOptions {
  const device = io().device(kind ?? null);
  if (device) return { device };
  const warn = (text: string): void => say(`warning: ${text}`);
  return { warn, ...(kind !== undefined && { kind }), ...(io().env["MODC_SAFE"] && { safe: true }) };
}

/** The hint on what to install if the device is only software; null: none. */
export function mendingHint(info: DeviceInfo): string | null {
  const swiftShader = /swiftshader/i.test(`${info.name} ${info.driver}`);
  if (swiftShader && process.platform === "linux") {
    return (
      "to speed up: install your GPU's Vulkan driver; without a GPU, `apt-get install -y --no-install-recommends " +
      "libvulkan1 mesa-vulkan-drivers` brings Mesa's software GPU, several times as fast"
    );
  }
  return process.platform === "linux"
    ? "to speed up: install your GPU's Vulkan driver (NVIDIA's own; for AMD and Intel the package mesa-vulkan-drivers)"
    : null;
}
