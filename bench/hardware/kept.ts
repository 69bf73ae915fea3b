// Keeps each device's results between runs with --keep: a whole report takes an hour of processor time, and devices can
// be measured by several processes.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { deserialize, serialize } from "node:v8";

const root = fileURLToPath(new URL("../../", import.meta.url));
const SOURCES = ["src", "grammar", "kernels", "bench/hardware"] as const;
const GENERATED = ["bundled.ts", "embedded.ts"] as const;

/** Returns the kept result of this name, or makes and keeps it. Results of other sources are not used. */
export type Keep = <T>(name: string, make: () => Promise<T> | T) => Promise<T>;

export const keepNothing: Keep = async (_name, make) => make();

/** Keeps results in bench/node_modules/.modc-hardware, in a folder for the digest of the sources. */
export function keepResults(): Keep {
  const all = join(root, "bench", "node_modules", ".modc-hardware");
  const digest = digestOfSources();
  mkdirSync(join(all, digest), { recursive: true });
  for (const other of readdirSync(all)) if (other !== digest) rmSync(join(all, other), { recursive: true });
  return async <T>(name: string, make: () => Promise<T> | T): Promise<T> => {
    const path = join(all, digest, `${name}.bin`);
    const kept = readKept(path);
    if (kept) return deserialize(kept) as T; // as it was kept below
    const made = await make();
    writeFileSync(path, serialize(made));
    return made;
  };
}

function readKept(path: string): Buffer | null {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function digestOfSources(): string {
  const hash = createHash("sha256");
  for (const folder of SOURCES)
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).toSorted())
      if (/\.(?:ts|wgsl|c|mod|mjs)$/.test(name) && !GENERATED.some((generated) => name.endsWith(generated)))
        hash.update(`${name}\n`).update(readFileSync(join(root, folder, name)));
  return hash.digest("hex").slice(0, 16);
}
