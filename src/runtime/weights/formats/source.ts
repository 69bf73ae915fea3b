// The interface of a source of weights: it lists its tensors and reads one at a time.

/** Element types of a safetensors file, and the bytes of one element. */
export const FILE_DTYPES = new Map<string, number>([
  ["F64", 8],
  ["F32", 4],
  ["F16", 2],
  ["BF16", 2],
  ["I64", 8],
  ["I32", 4],
  ["I16", 2],
  ["I8", 1],
  ["U64", 8],
  ["U32", 4],
  ["U16", 2],
  ["U8", 1],
  ["BOOL", 1],
  ["F8_E4M3", 1],
  ["F8_E5M2", 1],
]);

export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Reads some bytes of a tensor, from the whole tensor if its source can read no less. */
export const readRange = async (source: WeightSource, key: string, start: number, bytes: number): Promise<Uint8Array> =>
  source.readBytes ? source.readBytes(key, start, bytes) : (await source.read(key)).subarray(start, start + bytes);

/** Tensors by their keys; little-endian, row-major. */
export interface WeightSource {
  /** For messages: the file's name. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** The bytes of one tensor; throws WeightsError where they cannot be read. */
  read(key: string): Promise<Uint8Array>;
  /**
   * Some bytes of one tensor; throws WeightsError where they cannot be read. Without it, a weight that is a part of a
   * tensor is cut out of the whole tensor.
   */
  readBytes?(key: string, start: number, bytes: number): Promise<Uint8Array>;
  /** Closes open files. */
  close(): Promise<void>;
}
