// Choices of entries for the oracle: plain loops over rows of lists.
import type { LogicalAttrs, LogicalOp, Value } from "../../../src/language/check/model/model.js";
import type { Arr } from "./oracle-elements.js";

const OPERATIONS = [
  "top_entries",
  "those_entries",
  "entry_exists",
  "entry_index",
  "entry_mask",
  "entry_count",
  "take_entries",
  "put_entries",
  "take_entry",
  "join_entries",
] as const;
type Operation = (typeof OPERATIONS)[number];

export const isOfEntries = (op: LogicalOp): op is Operation => OPERATIONS.some((own) => own === op);

/** Whether a choice has the same number of entries for every token. */
const isTop = ({ op }: Value): boolean => op === "top_entries";

/** The rows along the last dimension. */
function rowsOf({ shape, data }: Arr): number[][] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, r) => data.slice(r * width, (r + 1) * width));
}

/** The value of one operation; `x` are its inputs, `shape` its own shape, `routes` the rows of each route. */
export function ofEntries(
  op: Operation,
  value: Value,
  x: readonly Arr[],
  shape: readonly number[],
  routes: ReadonlyMap<Value, readonly number[]>,
): Arr {
  const of = (data: readonly number[]): Arr => ({ shape, data });
  switch (op) {
    case "top_entries": {
      const { k } = value.attrs as LogicalAttrs["top_entries"];
      const isWorse = (a: number, b: number): boolean => (Number.isNaN(a) ? !Number.isNaN(b) : a < b);
      return of(
        rowsOf(x[0]!).flatMap((row) =>
          row.flatMap((s, e) => {
            const ahead = row.filter((other, o) => isWorse(s, other) || (!isWorse(other, s) && o < e)).length;
            return ahead < k ? [e] : [];
          }),
        ),
      );
    }
    case "those_entries": {
      const width = shape.at(-1)!;
      return of(
        rowsOf(x[0]!).flatMap((row) => {
          const chosen = row.flatMap((holds, e) => (holds ? [e] : []));
          return Array.from({ length: width }, (_, j) => chosen[j] ?? width);
        }),
      );
    }
    case "entry_exists":
      return of(x[0]!.data.map((e) => Number(e < shape.at(-1)!)));
    case "entry_index":
      return of(x[0]!.data.map((e) => (isTop(value.inputs[0]!) || e < shape.at(-1)! ? e : 0)));
    case "entry_mask":
      return of(
        rowsOf(x[0]!).flatMap((chosen) => Array.from({ length: shape.at(-1)! }, (_, e) => Number(chosen.includes(e)))),
      );
    case "entry_count":
      return of(
        rowsOf(x[0]!).map((chosen) => chosen.filter((e) => isTop(value.inputs[0]!) || e < chosen.length).length),
      );
    case "take_entries": {
      const chosen = rowsOf(x[1]!);
      return of(rowsOf(x[0]!).flatMap((row, r) => chosen[r]!.map((e) => row[e] ?? 0)));
    }
    case "put_entries": {
      const [chosen, y] = [rowsOf(x[1]!), rowsOf(x[2]!)];
      return of(rowsOf(x[0]!).flatMap((row, r) => row.map((old, e) => old + (y[r]![chosen[r]!.indexOf(e)] ?? 0))));
    }
    case "take_entry": {
      const { dim, entry } = value.attrs as LogicalAttrs["take_entry"];
      const chosen = rowsOf(x[1]!);
      const rows = routes.get(value.inputs[2]!)!;
      return of(
        each(shape, (i) => {
          const token = rows[i[dim]!]!;
          return get(x[0]!, [...i.slice(0, dim), token, chosen[token]!.indexOf(entry), ...i.slice(dim + 1)]);
        }),
      );
    }
    case "join_entries": {
      const { dim } = value.attrs as LogicalAttrs["join_entries"];
      const chosen = rowsOf(x[0]!);
      return of(
        each(shape, (i) => {
          const e = chosen[i[dim]!]![i[dim + 1]!]!;
          if (2 * e + 1 >= value.inputs.length) return 0;
          const row = routes.get(value.inputs[1 + 2 * e]!)!.indexOf(i[dim]!);
          return get(x[2 + 2 * e]!, [...i.slice(0, dim), row, ...i.slice(dim + 2)]);
        }),
      );
    }
    default:
      return op satisfies never;
  }
}

const get = ({ shape, data }: Arr, index: readonly number[]): number =>
  data[shape.reduce((n, s, d) => n * s + index[d]!, 0)]!;

/** The value at every index of a shape, row-major. */
function each(shape: readonly number[], at: (index: readonly number[]) => number): number[] {
  const count = shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: count }, (_, n) => {
    let rest = n;
    const index = shape.toReversed().map((s) => {
      const i = rest % s;
      rest = Math.floor(rest / s);
      return i;
    });
    return at(index.reverse());
  });
}
