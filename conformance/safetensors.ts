// Files of vectors: tensors by name.
import { writeSafetensors } from "../src/runtime/index.js";

export interface Vector {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | BigInt64Array;
}

const DTYPES = { Float32Array: "F32", Float64Array: "F64", BigInt64Array: "I64" } as const;

/** The bytes of a case's file. */
export const fileOf = (vectors: ReadonlyMap<string, Vector>): Uint8Array =>
  writeSafetensors(
    [...vectors].map(([key, { shape, data }]) => ({
      key,
      dtype: DTYPES[data.constructor.name as keyof typeof DTYPES],
      shape,
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  );
