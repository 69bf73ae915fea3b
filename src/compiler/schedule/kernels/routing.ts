// Specs of the kernels that choose rows: a route is its rows, ascending, and the starts of the axis they make.
import { invariant } from "../../../ground/base/invariant.js";
import { packedAxis } from "../../ir/typing.js";
import { multiplySizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import { topLanes, type TopTuning, type TopTunings } from "../tunings/top.js";
import { whereRows } from "./cases.js";
import {
  input,
  KernelBuilder,
  readValues,
  result,
  scratch,
  typeAt,
  work,
  type KernelContext,
  type Operand,
  type Spec,
  type Work,
} from "./spec.js";

const top: Spec<"top"> = ({ attrs, inputs, extents, tunings, prologue, places }) => {
  const tuning = topTuning(typeAt(inputs, 0).shape[0]!, extents, tunings.top);
  const onDevice = extents.onDevice(attrs.axis);
  const kernel = topKernel(tuning, extents).readAs("parent", "u32", places[1]!);
  readValues(kernel, prologue, { name: "score", type: "f32", place: places[0]! });
  kernel.read("kept", "u32", onDevice ? result(1) : { from: "counted", axis: attrs.axis });
  kernel.write("index", "u32", result(0)).write("positions", "u32", result(2)).count("batch", extents.batch);
  if (onDevice)
    return work([
      topStarts(attrs.axis, extents, places),
      kernel.function("fn publish(b: u32) {}").dispatch(extents.batch),
    ]);
  kernel.write("starts", "u32", result(1)).function(PUBLISH);
  return work([kernel.dispatch(extents.batch)]);
};

const topRows: Spec<"top_rows"> = ({ attrs, inputs, extents, tunings }) => {
  const { shape } = typeAt(inputs, 0);
  const tuning = topTuning(shape[0]!, extents, tunings.top);
  const onDevice = extents.onDevice(attrs.axis);
  const kernel = new KernelBuilder("top_rows", extents)
    .read("score", "f32", input(0))
    .read("parent", "u32", input(1))
    .read("kept", "u32", onDevice ? result(1) : { from: "counted", axis: attrs.axis })
    .write("chosen", "u32", result(0))
    .constant("LANES", topLanes(tuning))
    .count("batch", extents.batch)
    .count("among", shape[1]!);
  const columns = extents.times(shape[1]!, extents.batch);
  if (onDevice)
    return work([
      topStarts(attrs.axis, extents, [0, 1, 2]),
      kernel.function("fn publish(b: u32) {}").dispatch(columns),
    ]);
  kernel.write("starts", "u32", result(1)).function(PUBLISH);
  return work([kernel.dispatch(columns)]);
};

function topTuning(rows: Size, extents: Extents, cases: TopTunings): TopTuning {
  const tokens = extents.most(packedAxis(rows)!) ?? Infinity;
  const tokenCase = cases.find(({ most }) => most === null || tokens <= most);
  invariant(tokenCase, "no tuning fits so many tokens");
  return tokenCase.tuning;
}

function topKernel(tuning: TopTuning, extents: Extents): KernelBuilder {
  switch (tuning.kind) {
    case "workgroup":
      return new KernelBuilder("top", extents).constant("LANES", tuning.lanes);
    case "held":
      return new KernelBuilder("top_held", extents).constant("KEYS", tuning.keys);
    case "subgroup":
      return new KernelBuilder("top_subgroup", extents).subgroups(tuning.width).constant("WIDTH", tuning.width);
    default:
      return tuning satisfies never;
  }
}

const PUBLISH = `fn publish(b: u32) {
  if (b == 0u) { starts[0] = 0u; }
  starts[b + 1u] = kept[b + 1u];
}`;

/** The starts of an axis made by `top`, from counts that only the device knows. */
function topStarts(axis: string, extents: Extents, places: readonly number[]): Step<Operand> {
  const kernel = new KernelBuilder("top_starts", extents)
    .read("parent", "u32", input(places[1]!))
    .read("counting", "u32", input(places[2]!));
  return kernel
    .read("kTable", "u32", { from: "k", axis })
    .write("starts", "u32", result(1))
    .count("batch", extents.batch)
    .dispatch(1);
}

/**
 * So many rows are counted again by each sequence's workgroup rather than once for all by a kernel of their own; where
 * a workgroup is wide, one has them all.
 */
const FEW_ROWS = 64;
/** Lanes of the kernel of few rows, and how often they may take the next rows whose scores they add up. */
const FEW_LANES = 256;
const MOST_TURNS = 4;

/** Scores that the kernel of few rows adds up itself. */
export interface OwnScores {
  /** The most rows for which it does. */
  readonly rows: number;
  /** Lanes that share a score. */
  readonly lanes: number;
  readonly depth: number;
  /** Declares `RowX`, `rowX`, `ColX`, `colX`, `valueX` and what computes a score of `ownSum`. */
  readonly declare: (kernel: KernelBuilder) => void;
}

/** The most rows whose scores a kernel sums itself, if `lanes` lanes share a row. */
export const mostOwnScores = (lanes: number): number => Math.min(FEW_ROWS, (MOST_TURNS * FEW_LANES) / lanes);

/**
 * `finishes`: where the kernel does more than choose, binds what that reads and writes, and declares `publish` and
 * `finish`. `own`: where the kernel of few rows adds up the scores.
 */
export const above = (
  context: KernelContext<"above">,
  finishes: ((kernel: KernelBuilder) => void) | null = null,
  own: OwnScores | null = null,
): Work => {
  const { inputs, extents, tunings, prologue, places } = context;
  const score = typeAt(inputs, 0);
  const at = typeAt(inputs, 1).shape.length === 0 ? "0u" : "row";
  const { lanes, wide = false } = tunings.reductions;
  type File = "above" | "above_wide" | "above_count" | "above_few";
  const reading = (file: File, sums: OwnScores | null = null): KernelBuilder => {
    const kernel = new KernelBuilder(file, extents);
    readValues(kernel, sums?.declare ?? prologue, { name: "score", type: "f32", place: places[0]! });
    // A computed value comes with the scores.
    if (places[1]! >= 0)
      kernel.function(`fn thresholdAt(row: u32) -> f32 { return ${kernel.inputOnce(places[1]!, "f32")}[${at}]; }`);
    kernel.readAs("parent", "u32", places[2]!);
    if (file === "above" || file === "above_count") kernel.constant("LANES", lanes);
    return kernel.count("batch", extents.batch);
  };
  const written = (kernel: KernelBuilder, body: string | null = null): KernelBuilder => {
    kernel.write("index", "u32", result(0)).write("starts", "u32", result(1));
    if (body !== null) kernel.function(body);
    if (finishes) finishes(kernel);
    else
      kernel
        .function("fn publish(at: u32, row: u32, b: u32, first: u32) {}")
        .function("fn finish(b: u32, count: u32) {}");
    return kernel;
  };
  const choosing = (before: string, counts: Operand | null): Step<Operand> => {
    const kernel = reading(wide ? "above_wide" : "above");
    if (counts) kernel.read("counts", "u32", counts);
    const body = `fn chosenBefore(b: u32, lane: u32) -> u32 {\n  var found = 0u;\n  ${before}\n  return found;\n}`;
    return written(kernel, body).dispatch(extents.batch);
  };
  const few = (sums: OwnScores | null): Step<Operand> => {
    const kernel = reading("above_few", sums)
      .constant("LANES", FEW_LANES)
      .constant("ROWS", FEW_ROWS)
      .constant("SUMMED", sums?.lanes ?? 0);
    kernel.function(`fn depth() -> u32 { return ${sums?.depth ?? 1}u; }`);
    if (!sums) kernel.function(NO_SCORES);
    return written(kernel).dispatch(1);
  };
  const count = reading("above_count").write("counts", "u32", scratch()).dispatch(extents.batch);
  const counted = choosing("for (var s = lane; s < b; s += LANES) { found += counts[s]; }", scratch());
  const alone = choosing("for (var row = lane; row < parent[b]; row += LANES) { found += u32(isAbove(row)); }", null);
  const counts = [multiplySizes(4, extents.batch)];
  const rows = mostRows(score.shape[0]!, extents);
  if (rows === null) return work([count, counted], counts);
  if (wide) {
    const summed = own?.rows ?? 0;
    return work(
      [
        ...(own ? [whereRows(extents, few(own), rows, 0, summed)] : []),
        ...(summed < FEW_ROWS ? [whereRows(extents, few(null), rows, summed, FEW_ROWS)] : []),
        ...[count, counted].map((step) => whereRows(extents, step, rows, FEW_ROWS, null)),
      ],
      counts,
    );
  }
  return work(
    [
      whereRows(extents, alone, rows, 0, FEW_ROWS),
      ...[count, counted].map((step) => whereRows(extents, step, rows, FEW_ROWS, null)),
    ],
    counts,
  );
};

/** The declarations if scores are not sums. */
const NO_SCORES = `alias RowX = u32;
fn rowX(row: u32) -> RowX { return row; }
alias ColX = u32;
fn colX(k: u32) -> ColX { return k; }
fn valueX(r: RowX, c: ColX, k: u32) -> f32 { return 0.0; }`;

/** Rows of an axis as the host knows them, or else the most there can be; null where it knows neither. */
export function mostRows(rows: Size, extents: Extents): Size | null {
  const device = extents.deviceSize(rows);
  if (!device) return rows;
  const most = extents.most(device.axis);
  return most === null ? null : extents.times(most, extents.batch);
}

const span: Spec<"span"> = ({ attrs, extents }) => {
  const kernel = new KernelBuilder("span", extents)
    .read("parent", "u32", input(0))
    .read("spans", "u32", { from: "span", axis: attrs.axis });
  kernel.write("index", "u32", result(0)).write("starts", "u32", result(1));
  return work([kernel.count("batch", extents.batch).dispatch(extents.batch)]);
};

export const routingSpecs = { top, top_rows: topRows, above, span };
