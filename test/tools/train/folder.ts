// A temporary folder for tests of training, and files in it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export interface Scratch {
  readonly path: string;
  /** Writes a file, and gives its path. */
  readonly file: (name: string, content: string | Uint8Array) => string;
  readonly remove: () => void;
}

export function scratch(): Scratch {
  const path = mkdtempSync(join(tmpdir(), "modc-train-"));
  return {
    path,
    file: (name, content) => {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), content);
      return join(path, name);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Bytes from a seed, for texts: printable ones. */
export function text(length: number, seed: number): string {
  let x = seed + 1;
  return Array.from({ length }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return String.fromCharCode(32 + ((x >>> 24) % 95));
  }).join("");
}
