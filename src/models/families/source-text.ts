// Helpers shared by the writers of a decoder's source.
import type { DecoderConfig } from "./config.js";

/** Joins names with commas, omitting those that the configuration does not need. */
export const joinNames = (...names: readonly (string | false)[]): string =>
  names.filter((name) => name !== false).join(", ");

export const isUniform = (windows: readonly number[]): boolean => windows.every((w) => w === windows[0]);
export const hasWindows = ({ windows }: DecoderConfig): boolean => windows.some((w) => w > 0);
