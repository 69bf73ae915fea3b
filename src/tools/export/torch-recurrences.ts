// Translates recurrences along the tokens of a sequence to PyTorch expressions.
import type { Value } from "../../language/check/model/model.js";
import { sequenceAt } from "./outline.js";
import { refuse } from "./refused.js";
import { call, is, pythonFloat, type Scope, type Text } from "./text.js";

/** Null for other operations. */
export function recurrenceExpression(value: Value, { loose, axis, model, holes }: Scope): Text | null {
  const [x, y, z] = value.inputs;
  if (is(value, "shift")) {
    const { dim, by } = value.attrs;
    const along = sequenceAt(model, x!.type.shape[dim]);
    if (along === null) refuse("a shift without a sequence", value);
    const fn = by > 0 ? "earlier" : "later";
    return call(`mt.${fn}(${loose(x!)}, ${axis(along)}, ${Math.abs(by)}${dim === 1 ? "" : `, dim=${dim}`})`);
  }
  if (is(value, "linear_attention")) {
    const { decays, forgets, scale } = value.attrs;
    const along = sequenceAt(model, x!.type.shape.at(-2));
    if (along === null) refuse("linear attention without a sequence", value);
    const more = value.inputs.slice(3).map(loose);
    const options = [
      ...(decays ? [`log_decay=${more[0]}`] : []),
      ...(forgets ? [`forget=${more.at(-2)}`, `at=${more.at(-1)}`] : []),
      ...(scale === 1 ? [] : [`scale=${holes.add(pythonFloat(scale), "scale")}`]),
    ];
    return call(`mt.linear_attention(${[loose(x!), loose(y!), loose(z!), axis(along), ...options].join(", ")})`);
  }
  if (is(value, "scan")) {
    const { dim, reverse } = value.attrs;
    const along = sequenceAt(model, x!.type.shape[dim]);
    if (along === null) refuse("a scan without a sequence", value);
    const options = [
      ...(y ? [`log_decay=${loose(y)}`] : []),
      ...(reverse ? ["reverse=True"] : []),
      ...(dim === 1 ? [] : [`dim=${dim}`]),
    ];
    return call(`mt.scan(${[loose(x!), axis(along), ...options].join(", ")})`);
  }
  return null;
}
