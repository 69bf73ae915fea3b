// The text of a recurrent mixer in a model's source.

/** What a mixer adds to the source of a model. */
export interface MixerText {
  /** The library blocks to import. */
  readonly imports: readonly string[];
  /** Blocks that the library lacks. */
  readonly blocks: readonly string[];
  /** The model's parameters, with their values. */
  readonly parameters: readonly (readonly [name: string, value: number])[];
  /** The mixer of a layer. */
  readonly call: string;
  /** The paths of its weights, and their keys behind the key of the mixer. */
  readonly keys: readonly (readonly [path: string, key: string])[];
}
