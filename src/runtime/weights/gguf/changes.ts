// Turns the tensors of a GGUF file into the weights that Hugging Face stores: rows, values or shapes may change.
import { escapedName, quotedName } from "../../../ground/base/shown.js";
import { WeightsError } from "../../device/errors.js";
import { shown, type GgufHeader, type GgufTensor } from "./header.js";
import type { Change, GgufArchitecture } from "./names.js";

/** A change of one tensor. */
export interface TensorChange {
  /** The shape of the weight. */
  readonly shape: readonly number[];
  /** What is changed: the bytes as the file stores them, or the values as f32. Null: nothing but the shape. */
  readonly of: "stored" | "f32" | null;
  readonly apply: (bytes: Uint8Array) => Uint8Array;
}

/** The tensor with its name, and the file that has it. */
export interface Changed {
  readonly name: string;
  readonly tensor: GgufTensor;
  readonly header: GgufHeader;
  readonly architecture: GgufArchitecture;
}

/** What a change does to a tensor. Throws WeightsError for a tensor of a form to which it does not apply. */
export const tensorChange = (change: Change, changed: Changed): TensorChange => CHANGES[change](changed);

const CHANGES: Readonly<Record<Change, (changed: Changed) => TensorChange>> = {
  pairs: (changed) => {
    const part = /(?:^|\.)attn_k\./.test(changed.name) ? "keys" : "queries";
    const [heads, rows] = headsOf(changed, part, "pairs of", 2);
    return ofRows(changed, (to) => {
      const half = rows / heads / 2;
      const [head, within] = [Math.floor(to / (2 * half)), to % (2 * half)];
      return head * 2 * half + 2 * (within % half) + (within < half ? 0 : 1);
    });
  },
  "by head": (changed) => {
    const [heads, rows] = headsOf(changed, "queries", "queries, keys and values of", 3);
    const width = rows / heads / 3;
    return ofRows(changed, (to) => {
      const [head, kind] = [Math.floor(to / (3 * width)), Math.floor(to / width) % 3];
      return (kind * heads + head) * width + (to % width);
    });
  },
  "less one": ({ tensor: { shape } }) => ({
    shape,
    of: "f32",
    apply: (bytes) => new Uint8Array(floatsOf(bytes).map((value) => value - 1).buffer),
  }),
  transposed: (changed) => {
    const { shape } = changed.tensor;
    const [rows, columns] = shape;
    if (shape.length !== 2 || rows === undefined || columns === undefined) return refuse(changed, "is no matrix");
    return {
      shape: [columns, rows],
      of: "f32",
      apply: (bytes) => {
        const values = floatsOf(bytes);
        const out = new Float32Array(values.length);
        for (let row = 0; row < rows; row++)
          for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column]!;
        return new Uint8Array(out.buffer);
      },
    };
  },
  "one row": ({ tensor: { shape } }) => ({
    shape: shape.length === 1 ? [1, shape[0]!] : shape,
    of: null,
    apply: (bytes) => bytes,
  }),
};

const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);

function refuse({ name, tensor: { shape, type }, header: { file } }: Changed, what: string): never {
  throw new WeightsError(`${file}: tensor ${quotedName(name)}, ${type.name}[${shape.join(", ")}], ${what}`);
}

/** Rows in another order: row `to` of the weight is row `from(to)` of the tensor. A row is whole blocks. */
function ofRows({ tensor: { shape } }: Changed, from: (to: number) => number): TensorChange {
  const rows = shape[0]!;
  return {
    shape,
    of: "stored",
    apply: (bytes) => {
      const out = new Uint8Array(bytes.length);
      const row = bytes.length / rows;
      for (let to = 0; to < rows; to++) out.set(bytes.subarray(from(to) * row, (from(to) + 1) * row), to * row);
      return out;
    },
  };
}

/** The heads of a tensor, and its rows. Throws WeightsError where heads of `parts` equal parts do not make its rows. */
function headsOf(
  { name, tensor: { shape, type }, header: { metadata, file }, architecture }: Changed,
  part: "queries" | "keys",
  what: string,
  parts: number,
): readonly [heads: number, rows: number] {
  const queries = metadata.get(`${architecture.name}.attention.head_count`);
  const count =
    part === "queries" ? queries : (metadata.get(`${architecture.name}.attention.head_count_kv`) ?? queries);
  const rows = shape[0]!;
  const fits = typeof count === "number" && Number.isInteger(count) && count >= 1 && rows % (parts * count) === 0;
  if (fits && (shape.length > 1 || type.values === 1)) return [count, rows];
  throw new WeightsError(
    `${file}: the rows of tensor ${quotedName(name)}, ${type.name}[${shape.join(", ")}], are not ${what} ` +
      `${escapedName(count === undefined ? "an unknown number of" : shown(count))} heads`,
  );
}
