// Types of `build.mjs`.

/** The files of the extension by their paths in it. */
export function extensionFiles(): Promise<ReadonlyMap<string, Buffer>>;

/** The package of these files, a zip archive. */
export function vsixOf(files: ReadonlyMap<string, Buffer>): Buffer;
