// Reads the target of a program or of tunings, as untrusted input.
import { flag, object, oneOf, orNull, whole, type Read, type Reader } from "./reader.js";
import { DEVICE_CLASSES, type SubgroupRange, type Target } from "./target.js";

/** Fails through the reader for values that no device reports. */
export const readTarget: Read<Target> = object({
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
