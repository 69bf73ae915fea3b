// ONNX models written as protocol buffers by hand: the fields of onnx.proto3 that the blocks need.

export type Attribute = number | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly op: string;
  /** Default: ONNX's own. */
  readonly domain?: typeof MICROSOFT;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Words of 16 bits are halves. */
  readonly data: Float32Array | BigInt64Array | Uint16Array | Uint8Array;
}

export interface OnnxValue {
  readonly name: string;
  /** A name stands for a size that is not known beforehand. */
  readonly shape: readonly (number | string)[];
  readonly type: keyof typeof TYPES;
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

const TYPES = { f32: 1, u8: 2, i32: 6, i64: 7, f16: 10 } as const;
/** Of onnxruntime's own operators. */
export const MICROSOFT = "com.microsoft";
const OPSET = 20;
const IR_VERSION = 9;

/** The bytes of a ModelProto. */
export function writeOnnx(graph: OnnxGraph): Uint8Array {
  const body = [
    ...graph.nodes.map((node) => message(1, nodeProto(node))),
    text(2, "block"),
    ...graph.constants.map((c) => message(5, tensorProto(c))),
    ...graph.inputs.map((v) => message(11, valueInfo(v))),
    ...graph.outputs.map((v) => message(12, valueInfo(v))),
  ];
  return join([
    whole(1, IR_VERSION),
    message(7, body),
    message(8, [text(1, ""), whole(2, OPSET)]),
    ...(graph.nodes.some((n) => n.domain) ? [message(8, [text(1, MICROSOFT), whole(2, 1)])] : []),
  ]);
}

const nodeProto = (node: OnnxNode): Uint8Array[] => [
  ...node.inputs.map((name) => text(1, name)),
  ...node.outputs.map((name) => text(2, name)),
  text(4, node.op),
  ...Object.entries(node.attributes ?? {}).map(([name, value]) => message(5, attributeProto(name, value))),
  ...(node.domain ? [text(7, node.domain)] : []),
];

function attributeProto(name: string, value: Attribute): Uint8Array[] {
  if (typeof value === "number") return [text(1, name), whole(3, value), whole(20, 2)];
  if ("float" in value)
    return [text(1, name), key(2, 5), new Uint8Array(Float32Array.of(value.float).buffer), whole(20, 1)];
  return [text(1, name), ...value.map((v) => whole(8, v)), whole(20, 7)];
}

const tensorProto = ({ name, shape, data }: OnnxTensor): Uint8Array[] => [
  ...shape.map((n) => whole(1, n)),
  whole(2, typeOf(data)),
  text(8, name),
  bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
];

function typeOf(data: OnnxTensor["data"]): number {
  if (data instanceof Float32Array) return TYPES.f32;
  if (data instanceof BigInt64Array) return TYPES.i64;
  return data instanceof Uint16Array ? TYPES.f16 : TYPES.u8;
}

function valueInfo({ name, shape, type }: OnnxValue): Uint8Array[] {
  const dims = shape.map((n) => message(1, [typeof n === "number" ? whole(1, n) : text(2, n)]));
  return [text(1, name), message(2, [message(1, [whole(1, TYPES[type]), message(2, dims)])])];
}

const key = (field: number, wire: number): Uint8Array => varint(BigInt((field << 3) | wire));
const whole = (field: number, value: number): Uint8Array =>
  join([key(field, 0), varint(BigInt.asUintN(64, BigInt(value)))]);
const bytes = (field: number, value: Uint8Array): Uint8Array =>
  join([key(field, 2), varint(BigInt(value.length)), value]);
const text = (field: number, value: string): Uint8Array => bytes(field, new TextEncoder().encode(value));
const message = (field: number, parts: readonly Uint8Array[]): Uint8Array => bytes(field, join(parts));

function varint(value: bigint): Uint8Array {
  const out: number[] = [];
  let rest = value;
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    out.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(out);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
