// Addresses of encoded values for kernels: elements of a buffer, or texels.
import { TEXTURE_WIDTH } from "../../../runtime/program/textures.js";

export interface Elements {
  /** Element i, an expression without effects. */
  readonly at: (i: string) => string;
  /** How many there are. */
  readonly count: () => string;
}

export const inBuffer = (buffer: string): Elements => ({
  at: (i) => `${buffer}[${i}]`,
  count: () => `arrayLength(&${buffer})`,
});

/** An element to a texel (`program/textures.ts`), in its first components. */
export const inTexture = (texture: string, count: () => string): Elements => ({
  at: (i) => `textureLoad(${texture}, vec2u(${i} % ${TEXTURE_WIDTH}u, ${i} / ${TEXTURE_WIDTH}u))`,
  count,
});
