// Devices for tests, each opened once and shared by all files of a process, which leave it as it is; kernels that are
// to be tested are spared nothing.
import { type Device, openDevice } from "../src/runtime/index.js";

/** `default`: the best there is. `swiftshader`: a software device with subgroups of another width and no f16. */
export type TestDevice = "default" | "swiftshader";

const opened = new Map<TestDevice, Promise<Device>>();

/**
 * The best there is for a session that may be spared kernels; what others have compiled is there. Giving it up leaves
 * it to them.
 */
export const sparingDevice = async (): Promise<Device> => openDevice({ device: (await testDevice()).gpu });

export function testDevice(which: TestDevice = "default"): Promise<Device> {
  let device = opened.get(which);
  if (!device)
    opened.set(which, (device = openDevice({ ...(which === "swiftshader" && { kind: "swiftshader" }), spare: false })));
  return device;
}
