// The page's device, opened once and again where it was lost.
import { type Device, openDevice } from "../../../src/runtime/index.js";

let opened: Promise<Device> | null = null;

/** Throws NoDeviceError where there is none. */
export async function pageDevice(): Promise<Device> {
  const known = await opened?.catch(() => null);
  if (known?.alive) return known;
  opened = openDevice();
  return opened;
}

/** As people call it: a processor that plays a GPU is told apart. Some browsers keep the name to themselves. */
export const describeDevice = ({ info }: Device): string =>
  `${info.name === "unknown adapter" ? "this browser's device" : info.name}${info.software ? ", in software" : ""}`;
