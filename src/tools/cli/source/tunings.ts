// Tunings files: the user's folder, and the choice of tunings for a device.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { userCache } from "../../../ground/files/cache-node.js";
import type { Device } from "../../../runtime/index.js";
import {
  isOf,
  parseTunings,
  TuningsError,
  type Adapter,
  type TuningsFile,
} from "../../../compiler/schedule/tunings/file.js";
import { misfitOf, type Tunings } from "../../../compiler/schedule/tunings/index.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { readText } from "./files.js";
import { io } from "../terminal/io.js";
import { say } from "../terminal/terminal.js";

/** The user's folder of tunings. */
export const tuningsFolder = (env: Readonly<Record<string, string | undefined>> = io().env): string =>
  join(userCache(env), "tunings");

/**
 * The file for a device and its driver. Its name has only their letters, digits and hyphens, and a digest that
 * distinguishes the rest.
 */
export function tuningsPath({ name, vendor, architecture, driver }: Adapter, folder = tuningsFolder()): string {
  const readable = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 40);
  const digest = createHash("sha256")
    .update(JSON.stringify([name, vendor, architecture, driver]))
    .digest("hex")
    .slice(0, 12);
  return join(folder, `${readable || "device"}-${digest}.json`);
}

/** Creates the user's folder. */
export function makeTuningsFolder(folder = tuningsFolder()): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new UserError(
      `cannot create the folder ${folder}: ${cause instanceof Error ? cause.message : String(cause)}`,
      "give a file with --output",
    );
  }
}

/**
 * The tunings for a device: those of the named file, which must fit it, else those of the user's file if it is usable;
 * null: those of the device's class.
 */
export function tuningsOn(device: Device, { tunings }: { readonly tunings?: string | undefined }): Tunings | null {
  if (tunings === "none") return null;
  if (tunings !== undefined) return named(tunings, device).tunings;
  return found(device)?.tunings ?? null;
}

/** Reads a named file; throws if it is invalid. */
export function readTunings(path: string): TuningsFile {
  try {
    return parseTunings(readText(path));
  } catch (fault) {
    throw fault instanceof TuningsError ? new UserError(`${path}: ${fault.message}`, fault.hint) : fault;
  }
}

function named(path: string, device: Device): TuningsFile {
  const file = readTunings(path);
  const fault = foreign(file, device);
  if (fault !== null)
    throw new UserError(`${path}: ${fault}`, "use `--tunings none`, or measure this device with `modc tune`");
  return file;
}

/** The user's file for the device. An unusable file is reported once and ignored. */
export function found(device: Device): TuningsFile | null {
  const path = tuningsPath(device.info);
  if (!existsSync(path)) return null;
  try {
    const file = parseTunings(readText(path));
    const fault = foreign(file, device);
    if (fault === null) return file;
    say(`warning: ${path} is ignored: ${fault}`);
  } catch (fault) {
    if (!(fault instanceof TuningsError || (fault instanceof UserError && fault.exit === EXIT.user))) throw fault;
    say(
      `warning: ${path} is ignored: ` +
        fault.message +
        (fault instanceof TuningsError && fault.fault === "stale" ? "; `modc tune` measures them again" : ""),
    );
  }
  return null;
}

/** Why a file does not belong to this device, as a clause; null if it does. */
function foreign(file: TuningsFile, device: Device): string | null {
  const { name, driver } = device.info;
  if (!isOf(file, device.info))
    return `it was measured on ${describe(file.adapter)}, but this is ${describe({ name, driver })}`;
  const misfit = misfitOf(file.tunings, device.target);
  return misfit === null ? null : `it does not fit the device: ${misfit}`;
}

/** Describes the adapter of a file with printable characters only. */
const describe = ({ name, driver }: Pick<Adapter, "name" | "driver">): string => {
  const text = driver === "" || driver === name ? name : `${name} (${driver})`;
  return text.replaceAll(/[^\x20-\x7e\u00a0-\uffff]/g, "?").slice(0, 200);
};
