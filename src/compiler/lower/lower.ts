// Lowers the model to the graph: every logical operation becomes nodes on packed rows; positions, starts and counts
// become explicit nodes.
import type { LogicalOp, Model, Value } from "../../language/check/model/model.js";
import { isChoice, isOp } from "../../language/check/model/types.js";
import { updateName, type Graph, type GraphInput, type GraphOutput, type Node } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { attentionLowerings } from "./attention.js";
import { Lowering, type Placed } from "./context.js";
import { masked, padded } from "./convert.js";
import { elementwiseLowerings, lowerInput } from "./elementwise.js";
import { axesOfRows, fixedRowLowerings } from "./fixed-rows.js";
import { inputRanges } from "../../language/check/model/input-ranges.js";
import { entryCount, entryIndex, entryLowerings } from "./entries.js";
import { lengthLowerings } from "./length.js";
import { loadsOf } from "./loads.js";
import { withoutLoops } from "./loops.js";
import { lossLowerings, lowerAgreement } from "./loss.js";
import { ModelAxes } from "./layout.js";
import { attentionsOfMasses } from "./masses.js";
import { pairLowerings } from "./pairs.js";
import { productLowerings } from "./product.js";
import { randomLowerings } from "./random.js";
import { recurrenceLowerings } from "./recurrences.js";
import { reductionLowerings } from "./reduce.js";
import { computingIn, sortedAxes, sortedLowerings } from "./sorted.js";
import { routeCount, routeIndex, sequenceLowerings, tokenAxes } from "./sequence.js";

/** The lowering of each operation. Total by type: an operation without a lowering does not compile. */
export const lowerings: { readonly [K in LogicalOp]: (cx: Lowering, value: Value<K>) => Placed } = {
  ...attentionLowerings,
  ...elementwiseLowerings,
  ...entryLowerings,
  ...fixedRowLowerings,
  ...lengthLowerings,
  ...lossLowerings,
  ...pairLowerings,
  ...productLowerings,
  ...randomLowerings,
  ...recurrenceLowerings,
  ...reductionLowerings,
  ...sequenceLowerings,
  ...sortedLowerings,
};

/** Lowers a model for its phase and entry. Every node has the call path and the span of its source as its origin. */
export function lower(written: Model): Graph {
  const model = withoutLoops(written);
  const values = reachedValues(model);
  const sorted = sortedAxes(values, new ModelAxes(model.axes));
  const axes = [...model.axes, ...tokenAxes(model.axes, values), ...axesOfRows(values)];
  const cx = new Lowering(axes, sorted, computingIn(values), attentionsOfMasses(values));
  for (const value of values) {
    cx.enter(value);
    cx.define(value, lowerValue(cx, value));
  }
  const inputs = inputsOf(cx, model, values);
  const outputs = [
    ...model.outputs.map(({ name, value }) => outputOf(cx, name, "result", value)),
    ...lossesOf(cx, model),
    ...observesOf(cx, model),
    ...model.updates.map(({ path, value }) => outputOf(cx, updateName(path), "update", value)),
    ...agreementsOf(cx, model, values),
    ...loadsOf(cx, model),
  ];
  return {
    name: model.name,
    axes: cx.axes.all,
    live: model.live,
    inputs,
    outputs,
    states: [],
    starts: reachedStarts({ outputs, states: [] }, (axis) =>
      cx.axes.get(axis).role === "sequence" ? cx.starts(axis) : null,
    ),
  };
}

function lowerValue<K extends LogicalOp>(cx: Lowering, value: Value<K>): Placed {
  return lowerings[value.op](cx, value);
}

/** Values that a result, loss, observation or update depends on, in order of creation. */
function reachedValues(model: Model): readonly Value[] {
  const reached = new Set<Value>();
  const pending = [...model.outputs, ...model.losses, ...model.observes, ...model.updates].map(({ value }) => value);
  for (let value = pending.pop(); value; value = pending.pop()) {
    if (reached.has(value)) continue;
    reached.add(value);
    pending.push(...value.inputs);
  }
  return [...reached].sort((a, b) => a.id - b.id);
}

function inputsOf(cx: Lowering, model: Model, values: readonly Value[]): readonly GraphInput[] {
  const ranges = inputRanges(values);
  return model.inputs.map(({ name, value, type }) => {
    cx.enter(value);
    const { node, packing } = lowerInput(cx, value);
    return {
      name,
      node,
      shape: type.shape,
      packing,
      least: ranges.get(name)?.least ?? 0,
      below: ranges.get(name)?.below ?? null,
    };
  });
}

/** Zeroes the padding of a padded result, as unpacking does for a packed one. */
function outputOf(cx: Lowering, name: string, role: GraphOutput["role"], value: Value): GraphOutput {
  cx.enter(value);
  return outputFrom(cx, name, role, cx.get(value));
}

function outputFrom(cx: Lowering, name: string, role: GraphOutput["role"], placed: Placed): GraphOutput {
  const { shape } = placed.type;
  const node = placed.packing ? placed.node : masked(cx, padded(cx, placed), shape, cx.axes.sequenceDims(shape), 0);
  return { name, role, node, shape, packing: placed.packing };
}

/** The output `loss`, the sum of all losses of the objective, then each loss by its path. */
function lossesOf(cx: Lowering, model: Model): readonly GraphOutput[] {
  if (model.entry !== "objective") return [];
  const loss = (name: string, node: Node): GraphOutput => ({ name, role: "loss", node, shape: [], packing: null });
  const parts = model.losses.map(({ path, value }) => loss(`loss.${path}`, cx.get(value).node));
  const total = parts
    .map((p) => p.node)
    .reduce((sum: Node | null, n) => (sum ? cx.emit("add", [sum, n], {}) : n), null);
  return [loss("loss", total ?? cx.constant(0, "f32")), ...parts];
}

function observesOf(cx: Lowering, model: Model): readonly GraphOutput[] {
  return model.observes.flatMap(({ path, value }): readonly GraphOutput[] => {
    cx.enter(value);
    if (isOp(value, "top_entries") || isOp(value, "those_entries")) {
      const [index, count] = [entryIndex(cx, value), entryCount(cx, value)];
      return [outputFrom(cx, `${path}.index`, "observe", index), outputFrom(cx, `${path}.count`, "observe", count)];
    }
    if (!isChoice(value)) return [outputOf(cx, path, "observe", value)];
    const { packing } = cx.get(value);
    const count = routeCount(cx, value);
    return [
      { name: `${path}.index`, role: "observe", node: routeIndex(cx, value), shape: value.type.shape, packing },
      { name: `${path}.count`, role: "observe", node: count, shape: value.type.shape.slice(0, 1), packing: null },
    ];
  });
}

/**
 * In training, adds `<path>.agreement` for each predictor that learns a route: the share of tokens for which its
 * prediction equals the route's choice.
 */
function agreementsOf(cx: Lowering, model: Model, values: readonly Value[]): readonly GraphOutput[] {
  if (model.phase !== "train" || model.entry !== "objective") return [];
  const taken = new Set(model.observes.map((o) => o.path));
  return values.flatMap((value): readonly GraphOutput[] => {
    if (!isOp(value, "bce") || value.inputs[1]!.op !== "mask") return [];
    const name = `${value.path === "" ? "" : `${value.path}.`}agreement`;
    if (taken.has(name)) return [];
    taken.add(name);
    cx.enter(value);
    return [{ name, role: "observe", node: lowerAgreement(cx, value), shape: [], packing: null }];
  });
}
