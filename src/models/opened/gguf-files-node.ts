// The GGUF files of an opened model: each is opened once, whatever is read of it. Node only.
import { resolve } from "node:path";
import { bug } from "../../ground/base/invariant.js";
import type { GgufFile } from "../../runtime/weights/gguf/file-node.js";

export class GgufFiles {
  readonly #opened = new Map<string, Promise<GgufFile>>();
  #closed = false;

  /** The open file at a path. Throws WeightsError. */
  at(path: string): Promise<GgufFile> {
    if (this.#closed) bug(`${path} is read after its model was closed`);
    const absolute = resolve(path);
    const opened = this.#opened.get(absolute) ?? open(path);
    this.#opened.set(absolute, opened);
    return opened;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const opened = await Promise.allSettled(this.#opened.values());
    this.#opened.clear();
    for (const outcome of opened) if (outcome.status === "fulfilled") await outcome.value.close();
  }
}

async function open(path: string): Promise<GgufFile> {
  const { openGguf } = await import("../../runtime/weights/gguf/file-node.js");
  return openGguf(path);
}
