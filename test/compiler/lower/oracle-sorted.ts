// Rows of sorted entries for the oracle: a list of entries by comparison, and each row with the weights of its expert.
import type { LogicalAttrs, LogicalOp, Value } from "../../../src/language/check/model/model.js";
import type { Arr } from "./oracle-elements.js";

const OPERATIONS = ["sort_rows", "sort_entries", "unsort_entries", "expert_weight", "entry_members"] as const;
type Operation = (typeof OPERATIONS)[number];

export const isOfSorted = (op: LogicalOp): op is Operation => OPERATIONS.some((own) => own === op);

interface Entry {
  readonly token: number;
  readonly slot: number;
  readonly expert: number;
}

/** The sorted entries of each axis. */
export type Orders = Map<string, readonly Entry[]>;

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

type Members = LogicalAttrs["entry_members"]["members"];

/** The members, in order. */
const listOf = (members: Members): readonly number[] =>
  members.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));

/**
 * The entries of a choice [1, T, k], sorted by member and then by token; entries without a member, whose number is
 * beyond the list, are last.
 */
function orderOf({ shape, data }: Arr, members: Members): readonly Entry[] {
  const [k, list] = [shape[2]!, listOf(members)];
  const entries = data.map((expert, i) => {
    const at = list.indexOf(expert);
    return { token: Math.floor(i / k), slot: i % k, expert: at < 0 ? list.length : at };
  });
  return entries.toSorted((a, b) => a.expert - b.expert || a.token - b.token || a.slot - b.slot);
}

/** The value of one operation on sorted entries; `x` has the operation's inputs, `shape` is the result's shape. */
export function ofSorted(
  op: Operation,
  value: Value,
  x: readonly Arr[],
  shape: readonly number[],
  orders: Orders,
): Arr {
  if (op === "expert_weight") return { shape: [x.length, ...shape], data: x.flatMap((w) => w.data) };
  if (op === "entry_members") {
    const list = listOf((value.attrs as LogicalAttrs["entry_members"]).members);
    return { shape, data: x[0]!.data.map((expert) => Number(list.includes(expert))) };
  }
  const { axis, members } = value.attrs as LogicalAttrs["sort_rows"];
  const [a] = x as [Arr];
  // Entries that do not exist need no row.
  const order = orderOf(x[1]!, members).slice(0, (op === "unsort_entries" ? a.shape : shape)[1]);
  orders.set(axis, order);
  const k = x[1]!.shape[2]!;
  const row = (n: number, width: number): readonly number[] => a.data.slice(n * width, (n + 1) * width);
  switch (op) {
    case "sort_rows":
      return { shape, data: order.flatMap(({ token }) => row(token, product(shape.slice(2)))) };
    case "sort_entries":
      return { shape, data: order.flatMap(({ token, slot }) => row(token * k + slot, product(shape.slice(2)))) };
    case "unsort_entries": {
      const places = x[1]!.data.map((_, i) => order.findIndex((e) => e.token * k + e.slot === i));
      const known = listOf(members).length;
      const width = product(shape.slice(3));
      const own = (place: number): readonly number[] =>
        place >= 0 && order[place]!.expert < known ? row(place, width) : Array.from({ length: width }, () => 0);
      return { shape, data: places.flatMap(own) };
    }
    default:
      return op satisfies never;
  }
}

const isOfExperts = (v: Value): boolean =>
  v.op === "expert_weight" || (v.op === "permute" && isOfExperts(v.inputs[0]!));

/**
 * The inputs of an operation in which weights of experts are those of each row, [1, K, …], or the products themselves;
 * null for any other operation.
 */
export function byExpert(v: Value, x: readonly Arr[], orders: Orders): readonly Arr[] | Arr | null {
  const at = v.inputs.findIndex(isOfExperts);
  if (at < 0) return null;
  if (v.op === "permute") return x[0]!; // turned where it is multiplied
  const size = v.type.shape[1]!;
  const order = orders.get(typeof size === "number" ? "" : size.key)!;
  const rank = v.type.shape.length;
  const ofRow = ({ shape: [, ...own], data }: Arr): Arr => ({
    shape: [1, order.length, ...Array.from({ length: rank - 2 - own.length }, () => 1), ...own],
    data: order.flatMap(({ expert }) => {
      const at = Math.min(expert, data.length / product(own) - 1) * product(own);
      return data.slice(at, at + product(own));
    }),
  });
  if (v.op !== "matmul") return x.map((a, i) => (isOfExperts(v.inputs[i]!) ? ofRow(a) : a));
  const [a, w] = x as [Arr, Arr];
  const turned = v.inputs[1]!.op === "permute";
  const [, first, second] = w.shape as [number, number, number];
  const [depth, columns] = turned ? [second, first] : [first, second];
  const weight = (e: number, k: number, n: number): number =>
    e >= w.shape[0]! ? 0 : w.data[e * depth * columns + (turned ? n * depth + k : k * columns + n)]!;
  const data = order.flatMap(({ expert }, r) =>
    Array.from({ length: columns }, (_, n) =>
      Array.from({ length: depth }, (_k, k) => a.data[r * depth + k]! * weight(expert, k, n)).reduce(
        (sum, p) => sum + p,
        0,
      ),
    ),
  );
  return { shape: [1, order.length, columns], data };
}
