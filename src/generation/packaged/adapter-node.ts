// Opens a device in Node for a built package, with Dawn from the package `webgpu`.
import { importDawn } from "../../runtime/device/dawn-node.js";
import type { OpenDeviceOptions, OpenedAdapter } from "../../runtime/device/device-info.js";
import { NoDeviceError } from "../../runtime/device/errors.js";
import { F16 } from "../../runtime/device/self-test.js";

// The result of `create()` must stay referenced as long as one of its devices is alive.
let instance: Promise<GPU> | null = null;

const INSTALL =
  "npm install webgpu, in the folder of the program if the package is linked (npm links what is installed from a " +
  "folder), or give your own device";

/**
 * The best adapter available; throws NoDeviceError. A package has no self-test: 16-bit floats, which Dawn lets some
 * drivers of GPUs get wrong, are for software devices, and for those who ask.
 */
export async function openNodeAdapter({ f16 = false }: OpenDeviceOptions): Promise<OpenedAdapter> {
  const gpu = await (instance ??= importDawn(INSTALL).then(({ create }) => create([])));
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter)
    throw new NoDeviceError("no GPU adapter was found", {
      hint:
        "install a Vulkan driver (on Debian and Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers), or give " +
        "your own device",
    });
  return {
    adapter,
    proven: f16 ? [F16] : null,
    selfTest: null,
    gpu,
    waitFor: (software) => (software ? "backoff" : "native"),
  };
}
