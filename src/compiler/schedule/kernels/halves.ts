// Conversions to f16 that round to nearest, for operands of matrix units.

/**
 * `fn name(v: from) -> to`. A conversion may round either way, so what is no f16 is rounded to its eleven bits before;
 * below the least normal f16, 6e-5, that leaves one step of 6e-8. Shorter than `modc_f16`, which stands in all loads.
 */
export function halves(name: string, from: "f32" | "vec4f", to: string, exact: boolean): string {
  if (exact) return `fn ${name}(v: ${from}) -> ${to} { return ${to}(v); }`;
  const u = from === "f32" ? "u32" : "vec4u";
  return `fn ${name}(v: ${from}) -> ${to} {
  let bits = bitcast<${u}>(v);
  let even = (bits >> ${u}(13u)) & ${u}(1u);
  return ${to}(bitcast<${from}>((bits + ${u}(0xfffu) + even) & ${u}(0xffffe000u)));
}`;
}
