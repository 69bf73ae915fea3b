// The package files that run the model in a worker.

/** The texts of `worker.js`, which an application imports, of its declarations, and of the worker's script. */
export const workerTexts = (model: string): Readonly<Record<string, string>> => ({
  "worker.js": `// Made by modc build; do not edit.
import { workerModel } from "./runtime/worker.js";

const start = () => new Worker(new URL("./worker-thread.js", import.meta.url), { type: "module" });
const model = workerModel(${JSON.stringify(model)}, start, import.meta.url);
export default model;
export const load = model.load;
`,
  "worker-thread.js": `// Made by modc build; do not edit.
import model from "./index.js";
import { answer } from "./runtime/worker-thread.js";

answer(model);
`,
  "worker.d.ts": `// Made by modc build; do not edit.
import type { LoadedModel, LoadOptions } from "./index.js";

/** The model in a worker of its own, so that the page, or Node's event loop, stays free. */
export interface WorkerModel {
  readonly name: string;
  /** Starts a worker, and loads the model there; \`dispose\` ends it. The worker opens its own device. */
  load(options?: Omit<LoadOptions, "device">): Promise<LoadedModel>;
}

declare const model: WorkerModel;
export default model;
export declare const load: WorkerModel["load"];
`,
});
