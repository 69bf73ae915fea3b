// The numbers of a row: of a record, for each token, or in files that the row names. Faults name row and column.
import type { Pause } from "../../runtime/weights/in-turns.js";
import { TrainError } from "./errors.js";
import { product, type RecordInput } from "./record-plan.js";
import type { DataRow } from "./rows-node.js";

/** A row of data: values by column. */
export type Row = Pick<DataRow, "place" | "values" | "columns">;

/** Where a row names a file: for messages, and for the choice among tensors. */
export interface ArrayPlace {
  /** The row's place. */
  readonly place: string;
  /** The column that names the file. */
  readonly column: string;
  /** Throws TrainError, with the row's place, for a shape that the column's input does not take. */
  readonly expectShape: (shape: readonly number[]) => void;
}

export interface NumberOptions {
  /** The names of classes by input. */
  readonly labels: ReadonlyMap<string, readonly string[]>;
  /** Reads the numbers of a file that a row names, such as features. Throws TrainError with the place. */
  readonly arrayIn: (path: string, at: ArrayPlace) => Promise<ArrayLike<number>>;
  /** Called between two pieces of work. If it throws, the work ends. */
  readonly pause: Pause;
}

export const noColumn = (row: Row, wanted: string): TrainError =>
  new TrainError("no-column", `${row.place}: there is no column ${wanted}`, {
    hint: `the columns are ${row.columns.join(", ") || "none"}`,
  });

export const badValue = (row: Row, column: string, message: string, hint: string | null = null): TrainError =>
  new TrainError("bad-data", `${row.place}: ${column} ${message}`, { hint });

/** An own column's value; null counts as missing. */
export const valueOf = ({ values }: Row, column: string): unknown =>
  Object.hasOwn(values, column) ? (values[column] ?? undefined) : undefined;

export const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

/** The rows of values of an input along a sequence, as many as there are. */
export interface AlongRows {
  readonly count: number;
  readonly values: ArrayLike<number>;
}

/** The values of a column along a sequence. Throws TrainError with the row's place. */
export async function alongRows(
  row: Row,
  { name, type, inner }: AlongInput,
  options: NumberOptions,
): Promise<AlongRows> {
  const own = valueOf(row, name);
  if (own === undefined) throw noColumn(row, name);
  if (typeof own !== "string" && !isList(own)) throw badValue(row, name, "is neither a list of numbers nor a path");
  const sizes = [null, ...inner];
  const values =
    typeof own === "string"
      ? await storedIn(row, name, own, type, sizes, options)
      : numbersIn(row, name, own, type, sizes);
  return { count: values.length / product(inner), values };
}

/** Whether a target is learned: −1 is none. */
export const isTarget = (target: number): boolean => target >= 0;

type AlongInput = Extract<RecordInput, { kind: "along" }>;

/** Values for each token: one for each token of the sequence, or one for each target, placed at its token. */
export function alongOf(
  row: Row,
  { name, inner }: AlongInput,
  { count, values }: AlongRows,
  whole: number,
  targets: readonly number[] | null,
): ArrayLike<number> {
  if (count === whole) return values;
  const places = targets === null ? [] : targets.flatMap((target, i) => (isTarget(target) ? [i] : []));
  if (targets === null || product(inner) !== 1 || count !== places.length) {
    const either = targets === null || product(inner) !== 1 ? "" : `, ${places.length} of them targets`;
    throw badValue(row, name, `has ${count} values, the record has ${whole} tokens${either}`);
  }
  const placed = new Float64Array(targets.length);
  for (const [i, place] of places.entries()) placed[place] = values[i]!;
  return placed;
}

/** The numbers of a record, or the number of a label. */
export async function numbersOf(
  row: Row,
  { name, type, shape }: Extract<RecordInput, { kind: "record" }>,
  options: NumberOptions,
): Promise<ArrayLike<number>> {
  const own = valueOf(row, name);
  if (own === undefined) throw noColumn(row, name);
  if (typeof own === "boolean") return numbersIn(row, name, Number(own), type, shape);
  if (typeof own !== "string") return numbersIn(row, name, own, type, shape);
  const names = options.labels.get(name);
  if (names !== undefined) {
    const at = names.indexOf(own);
    if (at < 0)
      throw badValue(row, name, `is ${JSON.stringify(own)}, which is no label`, `the labels are ${names.join(", ")}`);
    return numbersIn(row, name, at, type, shape);
  }
  if (shape.length === 0)
    throw badValue(
      row,
      name,
      `is ${JSON.stringify(own)}, which is no number`,
      `name the labels: --labels ${name}=first,second`,
    );
  return storedIn(row, name, own, type, shape, options);
}

/** The numbers of a file that a row names. `null` in `shape` is any size. */
async function storedIn(
  row: Row,
  name: string,
  path: string,
  type: NumberType,
  shape: readonly (number | null)[],
  { arrayIn, pause }: NumberOptions,
): Promise<ArrayLike<number>> {
  const expectShape = (found: readonly number[]): void => {
    if (found.length === shape.length && found.every((size, i) => (shape[i] ?? size) === size)) return;
    throw badValue(
      row,
      name,
      `has the shape [${found.join(", ")}] in ${path}, the model takes [${shape.map((s) => s ?? "T").join(", ")}]`,
    );
  };
  const data = await arrayIn(path, { place: row.place, column: name, expectShape });
  for (let i = 0; i < data.length; i++) {
    expectNumber(row, name, data[i], type);
    if (i % PIECE === PIECE - 1) await pause();
  }
  return data;
}

/** Numbers that are checked between two pauses. */
const PIECE = 1 << 20;

type NumberType = "u32" | "i32" | "f32";
const LIMITS = { u32: [0, 0xffffffff], i32: [-0x80000000, 0x7fffffff] } as const;

/** The numbers of nested lists, row-major. `null` in `shape` is any size. */
function numbersIn(
  row: Row,
  name: string,
  value: unknown,
  type: NumberType,
  shape: readonly (number | null)[],
): readonly number[] {
  const numbers: number[] = [];
  const walk = (v: unknown, depth: number): void => {
    if (depth < shape.length) {
      if (!isList(v))
        throw badValue(row, name, `is nested less than the model's [${shape.map((s) => s ?? "T").join(", ")}]`);
      const size = shape[depth]!;
      if (size !== null && v.length !== size)
        throw badValue(row, name, `has ${v.length} values where the model takes ${size}`);
      for (const each of v) walk(each, depth + 1);
      return;
    }
    numbers.push(expectNumber(row, name, typeof v === "boolean" ? Number(v) : v, type));
  };
  walk(value, 0);
  return numbers;
}

/** A number that the type can hold. Throws TrainError with the row's place. */
function expectNumber(row: Row, name: string, value: unknown, type: NumberType): number {
  if (typeof value !== "number" || !Number.isFinite(Math.fround(value)))
    throw badValue(row, name, `contains ${shownValue(value)}, which is no number`);
  if (type !== "f32" && !(Number.isInteger(value) && value >= LIMITS[type][0] && value <= LIMITS[type][1]))
    throw badValue(row, name, `contains ${value}, which is no ${type}`);
  return value;
}

const shownValue = (value: unknown): string =>
  typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "nothing");

export function wholeNumbers(row: Row, name: string, value: unknown, least: number, most: number): readonly number[] {
  if (!isList(value)) throw badValue(row, name, "is neither a text nor a list of whole numbers");
  for (const number of value)
    if (typeof number !== "number" || !Number.isInteger(number) || number < least || number > most)
      throw badValue(
        row,
        name,
        `contains ${JSON.stringify(number) ?? "nothing"}: it must hold whole numbers from ${least}`,
      );
  return value as readonly number[]; // checked just above
}
