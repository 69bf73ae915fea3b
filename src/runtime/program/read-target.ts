// Reads the target of a program or of tunings, as untrusted input.
import { flag, list, object, objectWith, oneOf, orNull, whole, type Read, type Reader } from "./reader.js";
import { DEVICE_CLASSES, MATRIX_TYPES, type MatrixShape, type SubgroupRange, type Target } from "./target.js";

const fields = {
  device: oneOf(DEVICE_CLASSES),
  subgroups: orNull(readSubgroups),
  f16: flag,
  limits: object({
    storageBuffersPerStage: whole(1),
    invocationsPerWorkgroup: whole(1),
    workgroupStorageBytes: whole(0),
    storageBindingBytes: whole(1),
    bufferBytes: whole(1),
  }),
} as const;

/** The largest side of a matrix unit's shapes, far above any device's. */
const MOST_SIDE = 256;
const side = whole(1, MOST_SIDE);
export const readMatrices: Read<readonly MatrixShape[]> = list(
  object({ m: side, n: side, k: side, input: oneOf(MATRIX_TYPES), output: oneOf(MATRIX_TYPES) }),
  64,
);

/** Fails through the reader for values that no device reports. */
export const readTarget: Read<Target> = objectWith(fields, {
  pins: flag,
  matrices: readMatrices,
  matrixVectors: flag,
  textures: flag,
});

function readSubgroups(r: Reader): SubgroupRange {
  const widths = r.list(readSubgroupSize, 2);
  const [min, max] = widths;
  if (min === undefined || max === undefined || min > max)
    return r.fail(`must be the narrowest and the widest, found ${JSON.stringify(widths)}`);
  return [min, max];
}

/** WebGPU has subgroups of at most 128 invocations. */
export const readSubgroupSize = whole(1, 128);
