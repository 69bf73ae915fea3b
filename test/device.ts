// Devices for tests, each opened once and shared by all files of a process, which leave it as it is; kernels that are
// to be tested are spared nothing.
import { mesaWithMatrices } from "../scripts/mesa-matrix.mjs";
import { type Device, openDevice } from "../src/runtime/index.js";
import { loadVulkan } from "../src/runtime/device/swiftshader-node.js";

/** `default`: the best there is. `swiftshader`: a software device with subgroups of another width and no f16. */
export type TestDevice = "default" | "swiftshader";

const opened = new Map<TestDevice, Promise<Device>>();

/**
 * The best there is for a session that may be spared kernels; kernels compiled by other tests are available. Destroying
 * it leaves the shared device alive.
 */
export const sparingDevice = async (): Promise<Device> => openDevice({ device: (await testDevice()).gpu });

/**
 * Mesa's software device with matrix units, opened once; or why there is none here, in a sentence. On Debian it is
 * fetched into the user's cache, if it is not there.
 */
export function matrixDevice(): Promise<Device | string> {
  return (withMatrices ??= openMatrices());
}

let withMatrices: Promise<Device | string> | null = null;

async function openMatrices(): Promise<Device | string> {
  const { driver, missing } = mesaWithMatrices();
  if (!driver) return missing;
  // The system's driver first: the loader asks for it by a name under which it would find this one.
  await testDevice();
  for (const library of driver.libraries) if (!loadVulkan(library)) return `${library} cannot be loaded.`;
  return openDevice({ driver: driver.manifest, matrices: true, safe: false, spare: false });
}

export function testDevice(which: TestDevice = "default"): Promise<Device> {
  let device = opened.get(which);
  if (!device)
    opened.set(which, (device = openDevice({ ...(which === "swiftshader" && { kind: "swiftshader" }), spare: false })));
  return device;
}
