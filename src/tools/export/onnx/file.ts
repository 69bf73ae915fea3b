// Serializes an ONNX graph (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3) into byte pieces. Weights are
// references that the caller reads when writing. Above two gigabytes the weights go to a separate file.
import { countOf } from "../../../ground/base/collections.js";
import { ModcError } from "../../../ground/base/errors.js";
import {
  ELEMENTS,
  type Attributes,
  type Constant,
  type GraphBuilder,
  type OnnxNode,
  type Port,
  type Stored,
  type StoredWeight,
} from "./graph.js";
import { Message, type Elsewhere } from "../../../ground/base/protobuf.js";

/** The format version with opset 18, and the opset. */
const [IR_VERSION, OPSET] = [8, 18];
/** The protobuf size limit. */
const MOST_BYTES = 2 ** 31 - 1;
/** In a separate file weights are page-aligned, so that engines can map them. */
const PAGE = 4096;

const BYTES: Readonly<Record<Stored, number>> = { f32: 4, f16: 2, bf16: 2, i32: 4, u32: 4, bool: 1 };

export interface OnnxFile {
  readonly pieces: readonly (Uint8Array | Elsewhere<StoredWeight>)[];
  readonly bytes: number;
  /** The contents of the separate weight file; null if everything is in one file. */
  readonly beside: { readonly weights: readonly PlacedWeight[]; readonly bytes: number } | null;
}

export interface PlacedWeight extends StoredWeight {
  readonly offset: number;
  readonly bytes: number;
}

export interface FileOptions {
  readonly producer: string;
  readonly version: string;
  readonly name: string;
  readonly doc: string | null;
  readonly metadata: readonly (readonly [key: string, value: string])[];
  /** The weight file's name, and whether it is used even if one file could hold everything. */
  readonly beside: { readonly name: string; readonly always: boolean };
}

export function onnxFile(graph: GraphBuilder, options: FileOptions): OnnxFile {
  const { beside } = options;
  if (!beside.always) {
    const single = modelOf(graph, options, graph.weights.map(embedded));
    if (single.bytes <= MOST_BYTES) return { pieces: single.pieces, bytes: single.bytes, beside: null };
  }
  let end = 0;
  const weights = graph.weights.map((weight): PlacedWeight => {
    const [offset, bytes] = [Math.ceil(end / PAGE) * PAGE, bytesOf(weight)];
    end = offset + bytes;
    return { ...weight, offset, bytes };
  });
  const model = modelOf(
    graph,
    options,
    weights.map((weight) => placed(weight, beside.name)),
  );
  if (model.bytes > MOST_BYTES)
    throw new ModcError("export", `the graph has ${model.bytes} bytes without its weights; ONNX holds ${MOST_BYTES}`);
  return { pieces: model.pieces, bytes: model.bytes, beside: { weights, bytes: end } };
}

type Part = Message<StoredWeight>;
const message = (): Part => new Message<StoredWeight>();

const bytesOf = ({ weight, stored }: StoredWeight): number => countOf(weight.shape) * BYTES[stored];

const headOf = ({ name, weight, stored }: StoredWeight): Part => {
  const head = message().ints(1, weight.shape).int(2, ELEMENTS[stored]).text(8, name);
  return weight.doc === null ? head : head.text(12, weight.doc);
};

const embedded = (weight: StoredWeight): Part => headOf(weight).elsewhere(9, { bytes: bytesOf(weight), of: weight });

const placed = (weight: PlacedWeight, file: string): Part =>
  [
    ["location", file],
    ["offset", String(weight.offset)],
    ["length", String(weight.bytes)],
  ]
    .reduce((tensor, [key, value]) => tensor.message(13, pair(key!, value!)), headOf(weight))
    .int(14, 1);

const pair = (key: string, value: string): Part => message().text(1, key).text(2, value);

function modelOf(graph: GraphBuilder, options: FileOptions, weights: readonly Part[]): Part {
  const { producer, version, name, doc, metadata } = options;
  const body = message();
  for (const node of graph.nodes) body.message(1, nodeOf(node));
  body.text(2, name);
  for (const constant of graph.constants) body.message(5, constantOf(constant));
  for (const weight of weights) body.message(5, weight);
  if (doc !== null) body.text(10, doc);
  for (const port of graph.inputs) body.message(11, portOf(port));
  for (const port of graph.outputs) body.message(12, portOf(port));
  const model = message().int(1, IR_VERSION).text(2, producer).text(3, version);
  if (doc !== null) model.text(6, doc);
  model.message(7, body).message(8, message().text(1, "").int(2, OPSET));
  for (const [key, value] of metadata) model.message(14, pair(key, value));
  return model;
}

function nodeOf({ op, name, inputs, outputs, attrs }: OnnxNode): Part {
  const node = message();
  for (const input of inputs) node.text(1, input);
  for (const output of outputs) node.text(2, output);
  node.text(3, name).text(4, op);
  for (const [key, value] of Object.entries(attrs)) node.message(5, attributeOf(key, value));
  return node;
}

function attributeOf(name: string, value: Attributes[string]): Part {
  const attribute = message().text(1, name);
  if (typeof value === "number") return attribute.int(3, value).int(20, 2);
  if (typeof value === "string") return attribute.text(4, value).int(20, 3);
  return attribute.ints(8, value).int(20, 7);
}

const constantOf = ({ name, element, shape, values }: Constant): Part =>
  message().ints(1, shape).int(2, ELEMENTS[element]).text(8, name).raw(9, rawOf(element, values));

/** Little-endian. */
function rawOf(element: Constant["element"], values: Constant["values"]): Uint8Array {
  switch (element) {
    case "f32":
      return new Uint8Array(Float32Array.from(values, Number).buffer);
    case "f64":
      return new Uint8Array(Float64Array.from(values, Number).buffer);
    case "i64":
      return new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    case "bool":
      return Uint8Array.from(values, Number);
    default:
      return element satisfies never;
  }
}

function portOf({ name, element, shape, doc }: Port): Part {
  const dims = message();
  for (const size of shape)
    dims.message(1, typeof size === "number" ? message().int(1, size) : message().text(2, size));
  const tensor = message().int(1, ELEMENTS[element]).message(2, dims);
  const port = message().text(1, name).message(2, message().message(1, tensor));
  return doc === "" ? port : port.text(3, doc);
}
