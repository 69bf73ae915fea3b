// Attention in its forms as calls of the modules' functions in PyTorch.
import { pairInputs } from "../../language/check/model/pairs.js";
import type { Value } from "../../language/check/model/model.js";
import { sequenceAt } from "./outline.js";
import { refuse } from "./refused.js";
import { call, pythonFloat, type Scope, type Text } from "./text.js";

export function attention(value: Value<"attention">, { model, loose, axis, holes }: Scope): Text {
  const { causal, window, scale } = value.attrs;
  const [q, k, v, weights] = value.inputs;
  const [from, to] = [q!, k!].map((x) => sequenceAt(model, x.type.shape.at(-2)));
  if (!from || !to || (q!.type.shape.length !== 4 && q!.type.shape.length !== 3)) refuse("this attention", value);
  const options = [
    ...(weights ? [`weights=${loose(weights)}`] : []),
    ...(from === to ? [] : [`keys=${axis(to)}`]),
    ...(causal ? ["causal=True"] : []),
    ...(window === 0 ? [] : [`window=${holes.add(String(window), "window")}`]),
    ...(q!.type.shape.length === 4 && q!.type.shape[1] !== k!.type.shape[1] ? ["grouped=True"] : []),
    ...(scale === null ? [] : [`scale=${holes.add(pythonFloat(scale), "scale")}`]),
  ];
  return call(`mt.attention(${[loose(q!), loose(k!), loose(v!), axis(from), ...options].join(", ")})`);
}

export function pairs(value: Value<"pair_attention"> | Value<"mass">, { model, loose, axis, holes }: Scope): Text {
  const { causal, window, scale, cap } = value.attrs;
  const { rows, weight, mask, bias } = pairInputs(value);
  const [q, k] = [rows[0]!, rows[1]!];
  const [from, to] = [q, k].map((x) => sequenceAt(model, x.type.shape.at(-2)));
  if (!from || !to || (q.type.shape.length !== 4 && q.type.shape.length !== 3)) refuse("this attention", value);
  const given = { weights: weight, mask, bias };
  const options = [
    ...(from === to ? [] : [`keys=${axis(to)}`]),
    ...(causal ? ["causal=True"] : []),
    ...(window === 0 ? [] : [`window=${holes.add(String(window), "window")}`]),
    ...(scale === null ? [] : [`scale=${holes.add(pythonFloat(scale), "scale")}`]),
    ...(cap === null ? [] : [`cap=${holes.add(pythonFloat(cap), "cap")}`]),
    ...Object.entries(given).flatMap(([name, x]) => (x ? [`${name}=${loose(x)}`] : [])),
  ];
  return call(`mt.${value.op}(${[...rows.map(loose), axis(from), ...options].join(", ")})`);
}

export function received(value: Value<"received">, { model, loose, axis, holes }: Scope): Text {
  const { causal, window, scale } = value.attrs;
  const [q, k] = value.inputs;
  const [from, to] = [q!, k!].map((x) => sequenceAt(model, x.type.shape.at(-2)));
  if (!from || !to || (q!.type.shape.length !== 4 && q!.type.shape.length !== 3)) refuse("this attention", value);
  const options = [
    ...(from === to ? [] : [`keys=${axis(to)}`]),
    ...(causal ? ["causal=True"] : []),
    ...(window === 0 ? [] : [`window=${holes.add(String(window), "window")}`]),
    ...(scale === null ? [] : [`scale=${holes.add(pythonFloat(scale), "scale")}`]),
  ];
  return call(`mt.received(${[loose(q!), loose(k!), axis(from), ...options].join(", ")})`);
}
