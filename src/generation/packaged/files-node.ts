// Reads the files of a package from disk.
import { fileURLToPath } from "node:url";
import { openRegular } from "../../ground/files/regular-node.js";

export async function readBytes(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await openRegular(fileURLToPath(url));
  try {
    return new Uint8Array(await handle.readFile());
  } finally {
    await handle.close();
  }
}
