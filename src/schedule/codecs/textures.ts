// Words that lie in a texture, four to a texel (program/textures.ts).
import { TEXTURE_WIDTH } from "../../program/textures.js";
import { valueByValue, type MatrixCodec } from "./codec.js";

/** How products read a matrix of words in panels from a texture. */
export const texels: MatrixCodec = valueByValue({
  four: "vec4f",
  readFour: (name, texture) =>
    `fn ${name}(at: u32) -> vec4f { return textureLoad(${texture}, ` +
    `vec2u(at % ${TEXTURE_WIDTH}u, at / ${TEXTURE_WIDTH}u)); }`,
});
