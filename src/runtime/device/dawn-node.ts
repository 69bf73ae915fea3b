// Imports the package `webgpu`, which has Dawn, from this module's folders or from the program's.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import type * as Dawn from "webgpu";
import { NoDeviceError } from "./errors.js";

/**
 * Imports `webgpu`, an optional peer dependency of 130 MB that neither compiling nor running in a page needs. Throws
 * NoDeviceError with the hint `install` if it is not installed.
 */
export async function importDawn(install: string): Promise<typeof Dawn> {
  try {
    return await import("webgpu");
  } catch (cause) {
    if (!isMissing(cause)) throw doesNotRun(cause);
    const library = fromProgram();
    if (library === null) throw notInstalled(install, cause);
    return importFrom(library);
  }
}

async function importFrom(url: string): Promise<typeof Dawn> {
  try {
    return (await import(url)) as typeof Dawn; // the exports of `webgpu`
  } catch (cause) {
    throw doesNotRun(cause);
  }
}

const isMissing = (cause: unknown): boolean => (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";

/**
 * The URL of `webgpu` as the program's script, or a file in the working directory, would import it; null if neither
 * can. npm links a package installed from a folder, and Node searches a linked package's dependencies from its real
 * folder, which does not contain them.
 */
const fromProgram = (): string | null => resolved([process.argv[1], `${process.cwd()}/`]);

/** The URL of the `webgpu` that `importDawn` imports, for another process; null if it is not installed. */
export const dawnUrl = (module = import.meta.url): string | null => resolved([module]) ?? fromProgram();

function resolved(places: readonly (string | undefined)[]): string | null {
  for (const path of places)
    try {
      if (path) return pathToFileURL(createRequire(path).resolve("webgpu")).href;
    } catch {
      continue; // not installed there
    }
  return null;
}

const notInstalled = (hint: string, cause: unknown): NoDeviceError =>
  new NoDeviceError("the package webgpu, which contains Dawn, is not installed", { hint, cause });

const doesNotRun = (cause: unknown): NoDeviceError =>
  new NoDeviceError(
    `Dawn does not run on this system (${process.platform} ${process.arch}): ` +
      (cause instanceof Error ? cause.message.split("\n")[0]! : String(cause)),
    { hint: "on Linux it needs glibc 2.34 or later", cause },
  );
