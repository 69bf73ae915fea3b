// The page's device, opened on first use and again after it was lost.
import { type Device, openDevice } from "../../../src/runtime/index.js";

let opened: Promise<Device> | null = null;

/** The page's open device. Throws NoDeviceError if there is none. */
export async function pageDevice(): Promise<Device> {
  const known = await opened?.catch(() => null);
  if (known?.alive) return known;
  opened = openDevice();
  return opened;
}

/** The device's name for display, marked if it is software. Some browsers hide the name. */
export const describeDevice = ({ info }: Device): string =>
  `${info.name === "unknown adapter" ? "this browser's device" : info.name}${info.software ? ", in software" : ""}`;
