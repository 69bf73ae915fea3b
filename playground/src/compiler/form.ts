// How the page runs a model, and the inputs that it asks for: of `forward`, by their types.
import { tokensAmong } from "../../../src/language/check/model/text-inputs.js";
import type { Model } from "../../../src/language/check/model/model.js";
import { printSize } from "../../../src/ground/size/size.js";
import type { Source } from "../source.js";
import { compiledOf } from "./memo.js";

/** What a person gives for an input: bytes of a text, the pixels of a picture, a number; others are random. */
export type InputKind = "text" | "picture" | "number" | "random";

export interface FormInput {
  readonly name: string;
  /** `u32[B, S]` */
  readonly type: string;
  readonly kind: InputKind;
  /** The sizes of a sequence's value that are fixed: [channels, rows, columns] of a picture. */
  readonly sizes: readonly number[];
  /** Whether the values are whole numbers. */
  readonly whole: boolean;
}

export interface Form {
  /** The axis along which the result grows, for a model that continues prompts; null: it runs once. */
  readonly grows: string | null;
  /** Inputs beside the prompt. */
  readonly inputs: readonly FormInput[];
  /** The width of a result f32[B, n], such as scores of classes; null for another result. */
  readonly classes: number | null;
}

/** Null if the source has errors. */
export function formOf(source: Source): Form | null {
  const { model } = compiledOf({ ...source, phase: "infer" }).checked;
  if (!model) return null;
  const growing = growingAxis(model);
  const along = model.inputs.filter(({ type }) => growing !== null && axisOf(model, type.shape[1]) === growing);
  const prompt = tokensAmong(along.map(({ name, type }) => ({ name, dtype: type.dtype, rank: type.shape.length })));
  const inputs = model.inputs.filter(({ name }) => name !== prompt).map((input) => inputOf(model, input));
  const shape = model.outputs[0]?.value.type.shape ?? [];
  const last = shape.at(-1);
  return { grows: growing, inputs, classes: shape.length === 2 && typeof last === "number" ? last : null };
}

type Sized = Model["inputs"][number]["type"]["shape"][number] | undefined;

/** The sequence axis of the inputs that a size is; else null. */
function axisOf({ axes }: Model, size: Sized): string | null {
  if (size === undefined || typeof size === "number") return null;
  const axis = axes.find(({ name }) => name === size.key);
  return axis?.role === "sequence" && axis.count.kind === "input" ? axis.name : null;
}

const growingAxis = (model: Model): string | null =>
  model.outputs.map(({ value }) => axisOf(model, value.type.shape[1])).find((axis) => axis !== null) ?? null;

/** Channels that a canvas shows. */
const CHANNELS = [1, 3];

function inputOf(model: Model, { name, type: { dtype, shape } }: Model["inputs"][number]): FormInput {
  const sizes = shape.slice(1).filter((size) => typeof size === "number");
  const whole = dtype !== "f32" && dtype !== "f16";
  const isPicture = !whole && shape.length === 4 && sizes.length === 3 && CHANNELS.includes(sizes[0]!);
  const kind: InputKind =
    whole && shape.length === 2 && axisOf(model, shape[1]) !== null
      ? "text"
      : isPicture
        ? "picture"
        : shape.length === 1
          ? "number"
          : "random";
  return { name, type: `${dtype}[${shape.map(printSize).join(", ")}]`, kind, sizes, whole };
}
