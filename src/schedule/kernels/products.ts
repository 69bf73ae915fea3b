// The spec of matrix products.
import type { Size } from "../../size/size.js";
import { broadcastStrides } from "../index-map.js";
import { input, KernelBuilder, result, roundedTo, typeAt, work, type Spec } from "./spec.js";

const TILE_ROWS = 4;
const TILE_COLUMNS = 8;

export const matmul: Spec<"matmul"> = ({ attrs, inputs, results, extents }) => {
  const [a, b, y] = [typeAt(inputs, 0), typeAt(inputs, 1), typeAt(results, 0)];
  const depth = a.shape.at(-1)!;
  const columns = y.shape.at(-1)!;
  const lead = y.shape.slice(0, -2);
  // One b for all of a: its batches are more rows.
  const single = b.shape.slice(0, -2).every((s) => s === 1) && a.shape.length === y.shape.length;
  const batches = single ? 1 : extents.product(lead);
  const rows = single ? extents.product(y.shape.slice(0, -1)) : y.shape.at(-2)!;
  const kernel = new KernelBuilder("matmul", extents).read("a", "f32", input(0)).read("b", "f32", input(1)).write("y", "f32", result());
  kernel.count("batchCount", batches).count("rowCount", rows).count("columnCount", columns).count("depth", depth);
  kernel.count("depthStride", attrs.transposed ? 1 : columns).count("columnStride", attrs.transposed ? depth : 1);
  const matrices = (shape: readonly Size[]): Size[] => {
    const size = extents.product(shape.slice(-2));
    return broadcastStrides(extents, shape.slice(0, -2), lead).map((s) => extents.times(s, size));
  };
  kernel.index("baseA", single ? [] : lead, single ? [] : matrices(a.shape)).index("baseB", single ? [] : lead, single ? [] : matrices(b.shape));
  const place = attrs.transposed ? "tile % down, tile / down" : "tile / across, tile % across";
  kernel.function(`fn placeOf(tile: u32, across: u32, down: u32) -> vec2u { return vec2u(${place}); }`).function(roundedTo(y.dtype));
  const tiles = extents.times(batches, extents.times(extents.ceilDivide(rows, TILE_ROWS), extents.ceilDivide(columns, TILE_COLUMNS)));
  return work([kernel.over(tiles)]);
};
