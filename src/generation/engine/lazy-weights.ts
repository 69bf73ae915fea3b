// Weights of a further program, opened when the first is requested: usually the program of prompts has loaded them all.
// Not in packages.
import type { Words } from "../../ground/base/dtype.js";
import type { ProgramWeight } from "../../runtime/program/program.js";
import type { WeightValues } from "../../runtime/weights/weights.js";

export class LazyWeights {
  #opened: Promise<WeightValues> | null = null;

  constructor(private readonly open: () => Promise<WeightValues>) {}

  async values(weight: ProgramWeight): Promise<Words> {
    return (await (this.#opened ??= this.open())).values(weight);
  }

  async close(): Promise<void> {
    const [opened] = await Promise.allSettled(this.#opened ? [this.#opened] : []);
    if (opened?.status === "fulfilled") await opened.value.close();
  }
}
