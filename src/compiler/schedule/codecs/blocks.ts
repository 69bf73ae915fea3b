// Codecs of blocks that share a scale (program/encodings/block-packing.ts): the layout of integers and scales.
import { invariant } from "../../../ground/base/invariant.js";
import { BLOCK, BLOCK_BITS, BLOCKS_OF, type BlockEncoding } from "../../../runtime/program/encodings/block-file.js";
import type { Codec } from "./codec.js";
import { inBuffer, type Elements } from "./elements.js";

export function blocks(encoding: BlockEncoding): Codec {
  const bits = BLOCK_BITS[BLOCKS_OF[encoding]];
  /** Rows of a block of which 16 bytes hold four columns. */
  const rows = 32 / bits;
  /** The number of words before the scales. A block takes half a word more than its integers. */
  const integers = (words: string): string => `(${words} * 2u / ${2 * bits + 1}u * ${bits}u)`;
  /** The value of the lowest bits of an integer or a vector of them. */
  const float = (type: "f32" | "vec4f", word: string, shift: string): string => {
    const [signed, unsigned] = type === "f32" ? ["i32", "u32"] : ["vec4i", "vec4u"];
    return bits === 8
      ? `${type}(bitcast<${signed}>(${word} << (${unsigned}(24u) - ${shift})) >> ${unsigned}(24u))`
      : `(${type}((${word} >> ${shift}) & ${unsigned}(15u)) - 8.0)`;
  };
  const scale = (name: string, { at, count }: Elements): string => `fn ${name}_scale(block: u32) -> f32 {
  let word = ${at(`${integers(count())} + block / 2u`)};
  return unpack2x16float(word)[block % 2u];
}
`;
  /** Word and shift of the integer of value \`at\`. */
  const blockOffset = (stride: number): string =>
    stride % 8 !== 0
      ? `let word = at / ${rows}u;
  let shift = at % ${rows}u * ${bits}u;`
      : `let k = at / ${stride}u % ${BLOCK}u;
  let column = at % ${stride}u;
  let vector = at / ${BLOCK * stride}u * ${(BLOCK / rows) * (stride / 4)}u + k / ${rows}u * ${stride / 4}u +
    column / 4u;
  let word = 4u * vector + k % ${rows}u${bits === 8 ? "" : " / 2u"};
  let shift = column % 4u * 8u${bits === 8 ? "" : " + k % 2u * 4u"};`;
  // Each integer in the highest bits of a word, so that what is below it need not be shifted out with its sign.
  const highest =
    bits === 8
      ? "(vec4u(x[i]) << vec4u(24u, 16u, 8u, 0u)) & vec4u(0xff000000u)"
      : "(vec4u(x[i / 2u] ^ 0x88888888u) << (vec4u(28u, 20u, 12u, 4u) - i % 2u * 4u)) & vec4u(0xf0000000u)";
  const ofHighest = `fn columnsB(x: Loaded, i: u32) -> vec4f { return vec4f(bitcast<vec4i>(${highest})); }`;
  // The same value from an integer that was made positive: the product and the sum are exact.
  const positive = bits === 8 ? "x[i] ^ 0x80808080u" : "(x[i / 2u] >> (i % 2u * 4u)) & 0x0f0f0f0fu";
  const ofBytes = `fn columnsB(x: Loaded, i: u32) -> vec4f {
  let w = ${positive};
  let positive = vec4f(f32(w & 0xffu), f32((w >> 8u) & 0xffu), f32((w >> 16u) & 0xffu), f32(w >> 24u));
  return fma(positive, vec4f(0x1p${32 - bits}f), vec4f(-0x1p31f));
}`;
  return {
    encoding,
    one: "u32",
    four: "u32",
    readOne: (name, buffer, stride) => `${scale(name, inBuffer(buffer))}fn ${name}(at: u32) -> f32 {
  ${blockOffset(stride)}
  let integer = ${float("f32", `${buffer}[word]`, "shift")};
  return integer * ${name}_scale(at / ${BLOCK * stride}u * ${stride}u + at % ${stride}u);
}`,
    readFour(name, elements, stride) {
      invariant(stride === 1, "four values side by side are of one block");
      const shifts = bits === 8 ? "vec4u(0u, 8u, 16u, 24u)" : "(at % 2u * 16u + vec4u(0u, 4u, 8u, 12u))";
      return `${scale(name, elements)}fn ${name}(at: u32) -> vec4f {
  let integers = ${float("vec4f", `vec4u(${elements.at(bits === 8 ? "at" : "at / 2u")})`, shifts)};
  return integers * ${name}_scale(at / ${BLOCK / 4}u);
}`;
    },
    matrix: {
      element: "vec4u",
      block: BLOCK,
      scaled: true,
      rows,
      functions({ at, count }, stride, bytes) {
        invariant(stride % 8 === 0, "scales are read four at a time");
        const vector = `let vector = at / ${(stride / 4) * (BLOCK / rows)}u * ${stride / 4}u + at % ${stride / 4}u;`;
        const two = at(`(${integers(count())} + vector / 2u)`);
        const scales = "vec4f(unpack2x16float(scales.x), unpack2x16float(scales.y))";
        const addBlock = `fn addBlock(sum: vec4f, part: vec4f, at: u32) -> vec4f {
  ${vector}
  let two = ${two};
  let scales = select(two.xy, two.zw, vector % 2u == 1u);
  return fma(part, ${scales} * 0x1p-${32 - bits}f, sum);
}`;
        const ofScale = `struct Scale { two: vec4u, odd: bool }
fn scaleB(at: u32) -> Scale {
  ${vector}
  return Scale(${two}, vector % 2u == 1u);
}
fn scaleOf(s: Scale) -> vec4f {
  let scales = select(s.two.xy, s.two.zw, s.odd);
  return ${scales} * 0x1p-${32 - bits}f;
}`;
        return `alias Loaded = vec4u;
fn loadB(at: u32) -> Loaded { return ${at("at")}; }
${bytes ? ofBytes : ofHighest}
${bytes ? ofScale : addBlock}`;
      },
    },
  };
}
