// Summarizes a value without references to the model that contains it: models are large, and every keystroke makes a
// new one.
import type { ConstValue } from "../check/context.js";
import type { LogicalType } from "../check/model.js";
import { equalShapes } from "../check/types.js";
import { printValue } from "../check/values.js";
import { printSize } from "../../ground/size/size.js";

/** Values that reference no model are stored unchanged. */
type Plain = Extract<ConstValue, { kind: "number" | "bool" | "string" | "none" | "size" | "error" }>;

export type Known =
  | Plain
  /** A tensor, or a weight or state. */
  | { readonly kind: "tensor"; readonly type: LogicalType }
  | { readonly kind: "route"; readonly type: LogicalType; readonly axis: string }
  | { readonly kind: "choice"; readonly type: LogicalType }
  | { readonly kind: "instance"; readonly block: string }
  | { readonly kind: "experts"; readonly length: number }
  | KnownList
  | { readonly kind: "tuple"; readonly items: readonly { readonly name: string; readonly known: Known }[] };

export interface KnownList {
  readonly kind: "list";
  readonly length: number;
  /** The blocks of the instances in the list. */
  readonly blocks: readonly string[];
  /** The type of the first item, if this item is a tensor. */
  readonly type: LogicalType | null;
  /** The list in source syntax; null for a long list. */
  readonly text: string | null;
}

/** A list has a text only if it has at most SHORT items, and at most MOST_WITHIN items including nested lists. */
const SHORT = 8;
const MOST_WITHIN = 64;

export function knownOf(value: ConstValue): Known {
  switch (value.kind) {
    case "tensor":
      return { kind: "tensor", type: value.value.type };
    case "route":
      return { kind: "route", type: value.value.type, axis: value.value.attrs.axis };
    case "choice":
      return { kind: "choice", type: value.value.type };
    case "instance":
      return { kind: "instance", block: value.instance.block };
    case "experts":
      return { kind: "experts", length: value.blocks.items.length };
    case "tuple":
      return { kind: "tuple", items: value.items.map((item, i) => ({ name: value.names[i]!, known: knownOf(item) })) };
    case "list": {
      const { items } = value;
      const [first] = items;
      return {
        kind: "list",
        length: items.length,
        blocks: [...new Set(items.flatMap((i) => (i.kind === "instance" ? [i.instance.block] : [])))],
        type: first?.kind === "tensor" ? first.value.type : null,
        text: items.length <= SHORT && workOf(value) <= MOST_WITHIN ? printValue(value, () => undefined) : null,
      };
    }
    default:
      return value;
  }
}

/** The approximate amount of text for a value; counting stops beyond MOST_WITHIN. */
function workOf(value: ConstValue): number {
  if (value.kind === "string") return Math.ceil(value.value.length / MOST_WITHIN);
  if (value.kind !== "list") return 1;
  let sum = 1;
  for (const item of value.items) if (sum <= MOST_WITHIN) sum += workOf(item);
  return sum;
}

/** Whether two values look the same to the user. */
export const areAlike = (a: Known, b: Known): boolean =>
  a.kind === "tensor" && b.kind === "tensor"
    ? a.type.dtype === b.type.dtype && equalShapes(a.type.shape, b.type.shape)
    : keyOf(a) === keyOf(b);

function keyOf(known: Known): string {
  switch (known.kind) {
    case "tensor":
      return typeKey(known.type);
    case "route":
    case "choice":
      return `${known.kind} ${typeKey(known.type)}`;
    case "tuple":
      return JSON.stringify(known.items.map((item) => [item.name, keyOf(item.known)]));
    case "size":
      return printSize(known.size);
    case "instance":
      return known.block;
    case "list":
      return JSON.stringify([known.length, known.blocks, known.type && typeKey(known.type), known.text]);
    case "number":
    case "string":
    case "bool":
      return printValue(known, () => undefined);
    default:
      return known.kind;
  }
}

const typeKey = ({ dtype, shape }: LogicalType): string => `${dtype}[${shape.map(printSize).join()}]`;
