// Functions of rows in the order of a sequence: `earlier`, `later` and `scan`. On a route these are the chosen rows
// alone.
import { broadcastShapes, reportMismatch } from "../tensors/broadcast.js";
import { plainEverywhere } from "../tensors/entries.js";
import { ERROR, type Builtin, type BuiltinParam } from "../model/context.js";
import { equalShapes } from "../model/types.js";
import { boolArg, integerArg, requiredArg, tensorArg } from "./arguments.js";
import { sequenceDim } from "./attention.js";
import { decayArg, decaysAnew, freshArg, stateArg } from "./decays.js";
import { linearAttention } from "./linear-attention.js";

const SHIFTED: readonly BuiltinParam[] = [{ name: "x" }, { name: "n" }];

const shifted = (name: "earlier" | "later", doc: string): Builtin => ({
  params: SHIFTED,
  doc,
  apply(emitter, args, span) {
    const at = requiredArg(args, "x").span;
    const given = tensorArg(emitter, args, name, "x");
    const x = given && plainEverywhere(emitter, given, "shifted along", at);
    const along = x && sequenceDim(emitter, name, x, at);
    const other = name === "earlier" ? "`later(x, 1)` is the row behind" : "`earlier(x, 1)` is the row before";
    const n = integerArg(emitter, args, name, "n", 1, 1, `the row itself is \`x\`, and ${other}`);
    if (!x || !along || n === null) return ERROR;
    const by = name === "earlier" ? n : -n;
    return { kind: "tensor", value: emitter.emit("shift", [x], { dim: along.dim, by }, x.type, span) };
  },
});

const earlier = shifted(
  "earlier",
  "earlier(x: any[B, T, ...], n: int) -> the type of x\n" +
    "For each row the row n before it on the sequence axis of x, n at least 1; zeros before the first row. On a " +
    "route it is the chosen row n before. `for j in 1..w { c = c + earlier(x, j) * weight[:, w - 1 - j] }` is a " +
    "short convolution.",
);

const later = shifted(
  "later",
  "later(x: any[B, T, ...], n: int) -> the type of x\n" +
    "For each row the row n behind it on the sequence axis of x, n at least 1; zeros behind the sequence's end. It " +
    "reads later tokens, so a model that generates cannot use it.",
);

const scan: Builtin = {
  params: [
    { name: "x" },
    { name: "log_decay", optional: true, named: true },
    { name: "fresh", optional: true, named: true },
    { name: "reverse", optional: true, named: true },
  ],
  doc:
    "scan(x: f32[B, T, ...], log_decay: f32[B, T, ...], fresh: bool[B, T], reverse: false) -> the type of x\n" +
    "y_t = exp(log_decay_t)·y_(t−1) + x_t along the sequence axis of x; y_t = x_t where `fresh`. `log_decay` " +
    "broadcasts to x and should be at most 0; without it, y is the sum of the rows so far. On a route only the " +
    "chosen tokens move y. `scan(put(zeros(like: x), r, y), fresh: r.mask)` holds for every token the latest row " +
    "of a route. `reverse` begins at the sequence's end: y_t = exp(log_decay_t)·y_(t+1) + x_t.",
  apply(emitter, args, span) {
    const at = requiredArg(args, "x").span;
    const x = stateArg(emitter, args, "scan", "x");
    const along = x && sequenceDim(emitter, "scan", x, at);
    const decay = decayArg(emitter, args, "scan");
    const reverse = boolArg(emitter, args, "scan", "reverse", false);
    if (!x || !along || decay === null || reverse === null) return ERROR;
    const { shape } = x.type;
    const [batch, tokens] = [shape[0]!, shape[along.dim]!];
    const fresh = freshArg(emitter, args, "scan", [batch, tokens]);
    if (fresh === null) return ERROR;
    const spread = decay && broadcastShapes(emitter, shape, decay.type.shape);
    if (decay && (!spread || !equalShapes(spread, shape))) {
      reportMismatch(emitter, "`log_decay` of `scan`", decay.type, x.type, requiredArg(args, "log_decay").span);
      return ERROR;
    }
    const beside = shape.map((size, dim) => (dim === 0 || dim === along.dim ? size : 1));
    const decays = fresh ? decaysAnew(emitter, decay, fresh, beside, span) : decay;
    const attrs = { dim: along.dim, reverse };
    return { kind: "tensor", value: emitter.emit("scan", decays ? [x, decays] : [x], attrs, x.type, span) };
  },
};

export const recurrences: ReadonlyMap<string, Builtin> = new Map([
  ["earlier", earlier],
  ["later", later],
  ["scan", scan],
  ["linear_attention", linearAttention],
]);
