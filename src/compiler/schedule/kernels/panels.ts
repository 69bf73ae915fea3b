// Packing on the device: a weight that changes from run to run is packed into panels before the first product that
// reads them, and one in blocks is decoded before a product that sums across them.
import { blockStride, type PanelLayout, type WeightLayout } from "../../../runtime/program/program.js";
import type { Extents } from "../analysis/extents.js";
import type { Codec } from "../codecs/codec.js";
import type { Step } from "../plan/plan.js";
import type { ElementTunings } from "../tunings/elements.js";
import { input, KernelBuilder, result, type Operand } from "./spec.js";

/**
 * The step that packs matrices, input 0, into their columns of result 0. Other columns belong to other weights, or are
 * padding.
 */
export function packPanels(
  layout: PanelLayout,
  matrices: number,
  extents: Extents,
  tunings: ElementTunings,
): Step<Operand> {
  const turns = turnsSquares(layout);
  const { depth, width, columns, first, total } = layout;
  const element = turns ? "vec4f" : "f32";
  const kernel = new KernelBuilder(turns ? "panels_transposed" : "panels", extents)
    .read("x", element, input(0))
    .write("y", element, result());
  kernel
    .constant("COLUMNS", columns)
    .count("matrixCount", matrices)
    .count("depth", depth)
    .count("width", width)
    .count("first", first);
  kernel.count("panelCount", Math.ceil(total / columns));
  if (turns) return kernel.function(columnAt(layout)).spread((matrices * depth * width) / 16, tunings);
  const entry = layout.transposed ? "i % depth(), i / depth()" : "i / width(), i % width()";
  return kernel
    .function(`fn entryOf(i: u32) -> vec2u { return vec2u(${entry}); }`)
    .function(placeOf(layout))
    .spread(matrices * depth * width, tunings);
}

/**
 * The step that decodes a weight, input 0, and packs it into its columns of result 0. Other columns
 * belong to other weights, or are padding.
 */
export function decodePanels(
  { from, to, codec }: { readonly from: WeightLayout; readonly to: PanelLayout; readonly codec: Codec },
  elements: number,
  extents: Extents,
  tunings: ElementTunings,
): Step<Operand> {
  // If both layouts have a constant step, an address is computed once for several elements.
  const run = [from, to].every(goesOn) ? RUN : 1;
  const kernel = new KernelBuilder("panels_decoded", extents)
    .read("x", codec.one, input(0))
    .write("y", "f32", result())
    .count("runCount", elements / run)
    .constant("RUN", run)
    .constant("STEP_X", stepOf(from))
    .constant("STEP_Y", stepOf(to));
  declarePlace(kernel, from, "X");
  declarePlace(kernel, to, "Y");
  return kernel.function(codec.readOne("valueX", "x", blockStride(from))).spread(elements / run, tunings);
}

/** Elements of a weight, side by side, that one turn of decoding goes through. */
const RUN = 8;

/** Whether runs of elements of a weight, row-major, lie at even distances in a layout. */
function goesOn(layout: WeightLayout): boolean {
  if (layout.kind === "given") return true;
  const { depth, width, transposed, columns, first, pairs } = layout;
  return transposed ? depth % RUN === 0 : pairs === 0 && [width, columns, first].every((n) => n % RUN === 0);
}

/** That distance. */
const stepOf = (layout: WeightLayout): number => (layout.kind === "panels" && layout.transposed ? layout.columns : 1);

/** `fn placeX(i: u32) -> u32`: where element i of a weight, row-major, lies in a layout. */
function declarePlace(kernel: KernelBuilder, layout: WeightLayout, name: "X" | "Y"): void {
  if (layout.kind === "given") return void kernel.function(`fn place${name}(i: u32) -> u32 { return i; }`);
  const { depth, width, transposed, columns, first, total, pairs } = layout;
  const [depthText, widthText, firstText, panels] = [
    kernel.size(depth),
    kernel.size(width),
    kernel.size(first),
    kernel.size(Math.ceil(total / columns)),
  ];
  const [k, column] = transposed
    ? [`entry % ${depthText}`, `entry / ${depthText}`]
    : [`entry / ${widthText}`, `entry % ${widthText}`];
  kernel.function(`fn place${name}(i: u32) -> u32 {
  let entry = i % (${depthText} * ${widthText});
  let matrix = i / (${depthText} * ${widthText});
  let column = ${firstText} + ${column};
  let place = ${placeText(pairs)};
  return ((matrix * ${panels} + place / ${columns}u) * ${depthText} + ${k}) * ${columns}u + place % ${columns}u;
}`);
}

/** Whether blocks of four columns by four k can be transposed as a whole. */
function turnsSquares({ depth, width, transposed, columns, first, pairs }: PanelLayout): boolean {
  const apart = pairs === 0 || (first % (2 * pairs) === 0 && width % (2 * pairs) === 0);
  return transposed && apart && [depth, width, columns, first].every((n) => n % 4 === 0);
}

/** The position of a column. See `PanelLayout`: columns `pairs` apart are adjacent. */
const placeOf = ({ pairs }: PanelLayout): string => `fn placeOf(column: u32) -> u32 { return ${placeText(pairs)}; }`;
const placeText = (pairs: number): string =>
  pairs === 0 ? "column" : `column - column % ${2 * pairs}u + 2u * (column % ${pairs}u) + column / ${pairs}u % 2u`;

function columnAt({ pairs }: PanelLayout): string {
  const column =
    pairs === 0 ? "place" : `place - place % ${2 * pairs}u + place % 2u * ${pairs}u + place % ${2 * pairs}u / 2u`;
  return `fn columnAt(place: u32) -> u32 { return ${column}; }`;
}
