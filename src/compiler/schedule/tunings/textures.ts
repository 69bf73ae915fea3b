// Which devices read the operands of products from textures: weights, and rows that are packed before.
import type { Target } from "../../../runtime/program/target.js";

/**
 * Mesa's software device addresses a buffer for each component of each lane, and checks its bounds; a texel once. A
 * product takes 0.75 of the time by it where rows are many, 0.63 where they are one to sixteen (two cores, Mesa
 * 25.0.7). Not measured on others, which have buffers.
 */
export const readsTextures = ({ device, textures }: Target): boolean => device === "mesa-software" && textures === true;
