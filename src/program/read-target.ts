// Reads what a program was compiled for, or tunings measured on.
import type { Reader } from "./reader.js";
import { DEFAULT_LIMITS, DEVICE_CLASSES, type SubgroupRange, type Target } from "./target.js";

/** Fails through the reader for what no device reports. */
export function readTarget(r: Reader): Target {
  r.fields(["device", "subgroups", "f16", "limits"]);
  const limits = r.get("limits");
  limits.fields(Object.keys(DEFAULT_LIMITS));
  return {
    device: r.get("device").oneOf(DEVICE_CLASSES),
    subgroups: r.get("subgroups").orNull(readSubgroups),
    f16: r.get("f16").boolean(),
    limits: {
      storageBuffersPerStage: limits.get("storageBuffersPerStage").integer(1),
      invocationsPerWorkgroup: limits.get("invocationsPerWorkgroup").integer(1),
      workgroupStorageBytes: limits.get("workgroupStorageBytes").integer(0),
      storageBindingBytes: limits.get("storageBindingBytes").integer(1),
      bufferBytes: limits.get("bufferBytes").integer(1),
    },
  };
}

function readSubgroups(r: Reader): SubgroupRange {
  const widths = r.list(readSubgroupSize, 2);
  const [min, max] = widths;
  if (min === undefined || max === undefined || min > max)
    return r.fail(`must be the narrowest and the widest, found ${JSON.stringify(widths)}`);
  return [min, max];
}

/** WebGPU has subgroups of at most 128 invocations. */
export const readSubgroupSize = (r: Reader): number => r.integer(1, 128);
