// GGUF files made by hand, byte by byte, whole or broken.

/** Little-endian bytes. */
export const u8 = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
export const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
export const f32 = (value: number): Uint8Array => new Uint8Array(Float32Array.of(value).buffer);
export const u64 = (value: number | bigint): Uint8Array => new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
/** A string after its length; `length` may be wrong. */
export const text = (value: string | Uint8Array, length?: number | bigint): Uint8Array => {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return joined(u64(length ?? bytes.length), bytes);
};

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A metadata entry: key, type number, value. */
export const key = (name: string | Uint8Array, type: number, value: Uint8Array): Uint8Array =>
  joined(text(name), u32(type), value);
export const textKey = (name: string, value: string): Uint8Array => key(name, 8, text(value));
export const list = (type: number, count: number | bigint, ...values: readonly Uint8Array[]): Uint8Array =>
  joined(u32(type), u64(count), ...values);

/** A tensor as the header describes it: sizes in the file's order, the number of its type, its offset. */
export const tensor = (
  name: string,
  sizes: readonly (number | bigint)[],
  type = 0,
  offset: number | bigint = 0,
): Uint8Array => joined(text(name), u32(sizes.length), ...sizes.map(u64), u32(type), u64(offset));

export interface Parts {
  readonly magic?: string;
  readonly version?: number;
  readonly keys?: readonly Uint8Array[];
  readonly tensors?: readonly Uint8Array[];
  /** Counts in the header, if they differ from the real counts. */
  readonly counts?: { readonly keys?: number | bigint; readonly tensors?: number | bigint };
  readonly alignment?: number;
  /** The data after the header and its padding, or its size in bytes. */
  readonly data?: number | Uint8Array;
}

export function file({
  magic = "GGUF",
  version = 3,
  keys = [],
  tensors = [],
  counts = {},
  data = 0,
  alignment = 32,
}: Parts): Uint8Array {
  const header = joined(
    new TextEncoder().encode(magic),
    u32(version),
    u64(counts.tensors ?? tensors.length),
    u64(counts.keys ?? keys.length),
    ...keys,
    ...tensors,
  );
  const bytes = typeof data === "number" ? new Uint8Array(data) : data;
  return joined(header, new Uint8Array((alignment - (header.length % alignment)) % alignment), bytes);
}
