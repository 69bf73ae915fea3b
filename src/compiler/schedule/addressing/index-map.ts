// Iteration over several tensors at once. Neighbouring dimensions that are contiguous in all of them are merged, so
// that tensors of equal shape need one index, and a row against a matrix two.
import { equalSizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";

/** The iteration's sizes, row-major, and each tensor's stride along each of them. */
export interface Walk {
  readonly sizes: readonly Size[];
  readonly strides: readonly (readonly Size[])[];
}

/** The same iteration with as few dimensions as its strides allow. */
export function collapse(extents: Extents, walk: Walk): Walk {
  const sizes: Size[] = [];
  const strides: Size[][] = walk.strides.map(() => []);
  walk.sizes.forEach((size, d) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    const merges =
      last >= 0 && walk.strides.every((s, t) => equalSizes(strides[t]![last]!, extents.times(s[d]!, size)));
    if (merges) {
      sizes[last] = extents.times(sizes[last]!, size);
      walk.strides.forEach((s, t) => {
        strides[t]![last] = s[d]!;
      });
    } else {
      sizes.push(size);
      walk.strides.forEach((s, t) => {
        strides[t]!.push(s[d]!);
      });
    }
  });
  return { sizes, strides };
}

export function stridesOf(extents: Extents, shape: readonly Size[]): Size[] {
  const strides: Size[] = [];
  let step: Size = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step;
    step = extents.times(step, shape[d]!);
  }
  return strides;
}

/**
 * Strides of a tensor of shape `from` along the dimensions of `to`, to which it broadcasts: 0 where it is broadcast.
 */
export function broadcastStrides(extents: Extents, from: readonly Size[], to: readonly Size[]): Size[] {
  const strides = stridesOf(extents, from);
  return to.map((_, d) => {
    const at = d - to.length + from.length;
    return at < 0 || from[at] === 1 ? 0 : strides[at]!;
  });
}
