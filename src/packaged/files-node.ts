// Reading the files of a package from disk.
import { readFile } from "node:fs/promises";

export async function readBytes(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(url));
}
