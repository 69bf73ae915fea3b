// Finds the attention of each `mass`: one with the same scores, so that one node computes both.
import type { Value } from "../../language/check/model/model.js";
import { pairInputs, type Attending } from "../../language/check/model/pairs.js";
import { isOp } from "../../language/check/model/types.js";
import { attrsKey } from "../ir/key.js";

/** For each `mass` an attention with the same scores whose values exist before the mass. `values`: inputs first. */
export function attentionsOfMasses(values: readonly Value[]): ReadonlyMap<Value, Attending> {
  const masses = values.filter((v) => isOp(v, "mass"));
  if (masses.length === 0) return new Map();
  const equal = numbered(values);
  const scores = (value: Attending): string => {
    const { rows, weight, mask, bias } = pairInputs(value);
    const { causal, window, scale } = value.attrs;
    const cap = "cap" in value.attrs ? value.attrs.cap : null;
    const inputs = [rows[0]!, rows[1]!, weight, mask, bias].map((x) => x && equal.get(x));
    return [...inputs, causal, window, scale, cap].map(String).join();
  };
  const attentions = values.filter((v) => isOp(v, "attention") || isOp(v, "pair_attention"));
  return new Map(
    masses.flatMap((mass) => {
      const same = attentions.find((a) => pairInputs(a).rows[2]!.id < mass.id && scores(a) === scores(mass));
      return same ? [[mass, same] as const] : [];
    }),
  );
}

/** A number for each value, equal for values that compute the same from the same: an expression may be written twice. */
function numbered(values: readonly Value[]): ReadonlyMap<Value, number> {
  const numbers = new Map<Value, number>();
  const known = new Map<string, number>();
  for (const value of values) {
    const inputs = value.inputs.map((x) => numbers.get(x)).join();
    const key = `${value.op}(${inputs})${attrsKey(value.attrs)}:${attrsKey(value.type)}`;
    const number = known.get(key) ?? known.size;
    known.set(key, number);
    numbers.set(value, number);
  }
  return numbers;
}
