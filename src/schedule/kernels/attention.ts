// The spec of attention.
import { invariant } from "../../diagnostics/invariant.js";
import { packedAxis } from "../../ir/typing.js";
import { DEFAULT_LIMITS } from "../../program/target.js";
import { addSizes } from "../../size/size.js";
import { input, KernelBuilder, result, roundedTo, typeAt, work, type Spec } from "./spec.js";

/** Queries of a tile: each key and value that is loaded serves so many. */
const TILE = 8;
/** Invocations of a workgroup, more for wide heads, so that a lane owns no more than two fours of columns up to 256. */
const LANES = [8, 16, 32] as const;

export const attention: Spec<"attention"> = ({ attrs, inputs, results, extents }) => {
  const [q, k, v, y] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(inputs, 2), typeAt(results, 0)];
  const [heads, shared, width, widthV] = [q.shape[0], k.shape[0], q.shape[2], v.shape[2]];
  invariant(
    typeof heads === "number" && typeof shared === "number" && typeof width === "number" && typeof widthV === "number",
    "heads and their width are known",
  );
  const [quarters, quartersV] = [Math.ceil(width / 4), Math.ceil(widthV / 4)];
  const groupSize = heads / shared;
  const most = extents.most(packedAxis(q.shape[1]!)!);
  const lanes = LANES.find((n) => quartersV <= 2 * n) ?? LANES.at(-1)!;
  let tile = most === null ? TILE : Math.min(TILE, 2 ** Math.ceil(Math.log2(Math.max(1, most * groupSize))));
  while (tile > 1 && tile * (16 * quarters + 20 * lanes + 4) > DEFAULT_LIMITS.workgroupStorageBytes) tile /= 2;

  const [wide, wideV] = [width % 4 === 0, widthV % 4 === 0 && y.dtype === "f32"];
  const kernel = new KernelBuilder("attention", extents);
  kernel
    .read("q", wide ? "vec4f" : "f32", input(0))
    .read("k", wide ? "vec4f" : "f32", input(1))
    .read("v", wideV ? "vec4f" : "f32", input(2))
    .read("startsQ", "u32", input(3))
    .read("startsK", "u32", input(4))
    .read("positionsQ", "u32", input(5))
    .read("positionsK", "u32", input(6))
    .write("y", wideV ? "vec4f" : "f32", result());
  kernel
    .constant("LANES", lanes)
    .constant("TILE", tile)
    .constant("STAGED", tile * quarters)
    .constant("PARTS", Math.ceil(quartersV / lanes));
  kernel.count("sharedHeads", shared).count("groupSize", groupSize).count("batch", extents.batch);
  kernel.count("quarters", quarters).count("quartersV", quartersV).value("scale", attrs.scale, "f32");
  if (!wide) kernel.count("width", width);
  if (!wideV) kernel.count("widthV", widthV);
  kernel.function(fourOf("queryAt", "q", wide, "quarters", "width"));
  kernel.function(fourOf("keyAt", "k", wide, "quarters", "width"));
  kernel.function(fourOf("valueAt", "v", wideV, "quartersV", "widthV"));
  if (wideV) kernel.function("fn write(row: u32, c: u32, x: vec4f) { y[row * quartersV() + c] = x; }");
  else
    kernel
      .function(roundedTo(y.dtype))
      .function(
        "fn write(row: u32, c: u32, x: vec4f) { for (var i = 4u * c; i < min(4u * c + 4u, widthV()); i++) { y[row * widthV() + i] = rounded(x[i % 4u]); } }",
      );
  const seen: string[] = [];
  if (attrs.causal) seen.push("j <= i");
  if (attrs.window > 0) {
    kernel.count("window", attrs.window);
    seen.push("max(i, j) - min(i, j) < window()");
  }
  kernel.function(`fn sees(i: u32, j: u32) -> bool { return ${seen.join(" && ") || "true"}; }`);
  kernel.function(`fn firstSeen(i: u32) -> u32 { return ${attrs.window > 0 ? "i - min(i, window() - 1u)" : "0u"}; }`);
  const last = attrs.causal ? "i" : attrs.window > 0 ? "min(i, 0xfffffffeu - window()) + window() - 1u" : "0xfffffffeu";
  kernel.function(`fn lastSeen(i: u32) -> u32 { return ${last}; }`);

  // Each sequence may leave a tile half filled.
  const tiles = addSizes(extents.ceilDivide(extents.times(groupSize, y.shape[1]!), tile), extents.batch);
  return work([kernel.dispatch(extents.times(shared, tiles))]);
};

/** `fn name(row: u32, c: u32) -> vec4f`: columns 4c … of a row of a buffer, of fours or of single elements. */
function fourOf(name: string, buffer: string, wide: boolean, quarters: string, width: string): string {
  const body = wide
    ? `return ${buffer}[row * ${quarters}() + c];`
    : `var x = vec4f(); for (var i = 4u * c; i < min(4u * c + 4u, ${width}()); i++) { x[i % 4u] = ${buffer}[row * ${width}() + i]; } return x;`;
  return `fn ${name}(row: u32, c: u32) -> vec4f { ${body} }`;
}
