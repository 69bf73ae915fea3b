// Writes protocol buffer messages (https://protobuf.dev/programming-guides/encoding) with fields in the order in which
// they are added.

const encoder = new TextEncoder();

/** The value of a field that is stored elsewhere and inserted when the file is written. */
export interface Elsewhere<T> {
  readonly bytes: number;
  readonly of: T;
}

/** A message as a list of pieces: bytes, and values stored elsewhere. */
export class Message<T = never> {
  readonly pieces: (Uint8Array | Elsewhere<T>)[] = [];
  /** The length of the message. */
  bytes = 0;

  /** An integer, as int64; negative integers take ten bytes. */
  int(field: number, value: number | bigint): this {
    return this.#add([...varint(BigInt(field << 3)), ...varint(BigInt.asUintN(64, BigInt(value)))]);
  }

  ints(field: number, values: readonly (number | bigint)[]): this {
    for (const value of values) this.int(field, value);
    return this;
  }

  float(field: number, value: number): this {
    return this.#add([
      ...varint(BigInt((field << 3) | 5)),
      ...new Uint8Array(new Float32Array([value]).buffer), // little-endian, like every platform that modc runs on
    ]);
  }

  double(field: number, value: number): this {
    return this.#add([...varint(BigInt((field << 3) | 1)), ...new Uint8Array(new Float64Array([value]).buffer)]);
  }

  text(field: number, value: string): this {
    return this.raw(field, encoder.encode(value));
  }

  raw(field: number, value: Uint8Array): this {
    this.#head(field, value.length);
    return this.#push(value, value.length);
  }

  message(field: number, value: Message<T>): this {
    this.#head(field, value.bytes);
    this.pieces.push(...value.pieces);
    this.bytes += value.bytes;
    return this;
  }

  elsewhere(field: number, value: Elsewhere<T>): this {
    this.#head(field, value.bytes);
    return this.#push(value, value.bytes);
  }

  #head(field: number, bytes: number): void {
    this.#add([...varint(BigInt((field << 3) | 2)), ...varint(BigInt(bytes))]);
  }

  #add(bytes: readonly number[]): this {
    return this.#push(Uint8Array.from(bytes), bytes.length);
  }

  #push(piece: Uint8Array | Elsewhere<T>, bytes: number): this {
    this.pieces.push(piece);
    this.bytes += bytes;
    return this;
  }
}

function varint(value: bigint): readonly number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    if (rest < 0x80n) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}
