// The device of tests of whole models, whose kernels have tests of their own.
import type { Device } from "../src/runtime/index.js";
import { sparingDevice, testDevice } from "./device.js";
import { soaking } from "./soak.js";

/**
 * The best there is, which may be spared kernels: others, which compile sooner, stand in for them with the same bits.
 * The files of a process share it, and leave it unchanged. A soak spares none.
 */
export const modelDevice = (): Promise<Device> => (soaking ? testDevice() : (opened ??= sparingDevice()));

let opened: Promise<Device> | null = null;
