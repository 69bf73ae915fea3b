// The formats of textures that hold weights, with the bytes of a texel.
export const TEXELS = { rgba32float: 16, rg32uint: 8, rgba32uint: 16 } as const;
export type TextureFormat = keyof typeof TEXELS;
