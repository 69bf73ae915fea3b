// A source of weights that keeps its match to a model, so that the model's programs are matched to it once.
import type { Program } from "../program/program.js";
import { matchWeights, sameShape, type Matched } from "./match.js";
import type { TensorEntry, WeightSource } from "./formats/source.js";

type Weighted = Pick<Program, "weights" | "ignore">;

export class MatchedSource implements WeightSource {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly readBytes?: NonNullable<WeightSource["readBytes"]>;
  readonly #source: WeightSource;
  /** The last match; null before the first. */
  #kept: { readonly model: Weighted; readonly keys: ReadonlyMap<string, readonly string[]> } | null = null;

  constructor(source: WeightSource) {
    [this.name, this.tensors, this.#source] = [source.name, source.tensors, source];
    if (source.readBytes) this.readBytes = (key, start, bytes) => source.readBytes!(key, start, bytes);
  }

  /** Matches as `matchWeights` does, unless the last match was to the same weights. Throws WeightsError. */
  match(model: Weighted): Matched {
    if (this.#kept === null || !isSame(this.#kept.model, model)) {
      const matched = matchWeights(model, this);
      this.#kept = { model, keys: new Map([...matched].map(([{ path }, keys]) => [path, keys])) };
    }
    const { keys } = this.#kept;
    return new Map(model.weights.map((weight) => [weight, keys.get(weight.path)!]));
  }

  read(key: string): Promise<Uint8Array> {
    return this.#source.read(key);
  }

  close(): Promise<void> {
    return this.#source.close();
  }
}

/** Whether two models declare the same weights in the same order, whatever their programs do with them. */
const isSame = (a: Weighted, b: Weighted): boolean =>
  isEqual(a.ignore, b.ignore) &&
  a.weights.length === b.weights.length &&
  a.weights.every(({ path, dtype, shape, keys }, i) => {
    const other = b.weights[i]!;
    return path === other.path && dtype === other.dtype && sameShape(shape, other.shape) && isEqual(keys, other.keys);
  });

const isEqual = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((text, i) => text === b[i]);
