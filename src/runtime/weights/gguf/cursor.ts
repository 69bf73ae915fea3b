// Reads the header of a GGUF file from front to back, a window of the file at a time, and never beyond its limits.
import { WeightsError } from "../../device/errors.js";
import { TRUNCATED } from "../formats/safetensors.js";

/** Gives `length` bytes of a file from `at` on; both lie in the file. */
export type Pull = (at: number, length: number) => Uint8Array;

/** The limit on a header: the largest vocabularies and their merges take a tenth of it. */
export const MOST_HEADER_BYTES = 256 * 1024 * 1024;
/** The limit on a string: the longest chat templates have some thirty thousand bytes. */
const MOST_STRING_BYTES = 16 * 1024 * 1024;
const WINDOW_BYTES = 1 << 18;

/** A place in a file, moved on by what is read. Throws WeightsError before anything is read that cannot be there. */
export class Cursor {
  at = 0;
  private window: DataView = new DataView(new ArrayBuffer(0));
  /** The file offset at which the window begins. */
  private first = 0;
  private readonly decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(
    private readonly pull: Pull,
    private readonly fileBytes: number,
    private readonly file: string,
  ) {}

  /** Bytes from here to the end of the file. */
  get left(): number {
    return this.fileBytes - this.at;
  }

  u8 = (): number => this.view(1).getUint8(this.step(1));
  i8 = (): number => this.view(1).getInt8(this.step(1));
  u16 = (): number => this.view(2).getUint16(this.step(2), true);
  i16 = (): number => this.view(2).getInt16(this.step(2), true);
  u32 = (): number => this.view(4).getUint32(this.step(4), true);
  i32 = (): number => this.view(4).getInt32(this.step(4), true);
  f32 = (): number => this.view(4).getFloat32(this.step(4), true);
  f64 = (): number => this.view(8).getFloat64(this.step(8), true);
  u64 = (): bigint => this.view(8).getBigUint64(this.step(8), true);
  i64 = (): bigint => this.view(8).getBigInt64(this.step(8), true);

  /** A count, at most `most`, of things of at least `least` bytes each, which the rest of the file can hold. */
  count(what: string, least: number, most = Infinity): number {
    const count = this.u64();
    if (count > most) throw new WeightsError(`${this.file}: ${what} would be ${count}, modc reads up to ${most}`);
    if (count > BigInt(Math.floor(this.left / least)))
      throw new WeightsError(`${this.file}: ${what} would be ${count}, more than the file has room for`, {
        hint: TRUNCATED,
      });
    return Number(count);
  }

  /** A string of at most `most` bytes; `what` names it. */
  text(what: string, most = MOST_STRING_BYTES): string {
    const length = this.u64();
    if (length > BigInt(most))
      throw new WeightsError(`${this.file}: ${what} would have ${length} bytes, it may have ${most}`);
    const bytes = this.bytes(Number(length));
    try {
      return asciiOf(bytes) ?? this.decoder.decode(bytes);
    } catch (cause) {
      throw new WeightsError(`${this.file}: ${what} is not UTF-8 text`, { cause });
    }
  }

  /** Bytes that stay valid until something else is read. */
  bytes(length: number): Uint8Array {
    const view = this.view(length);
    return new Uint8Array(view.buffer, view.byteOffset + this.step(length), length);
  }

  /** A view that holds `length` bytes from here on. */
  private view(length: number): DataView {
    if (this.at + length <= this.first + this.window.byteLength) return this.window;
    if (length > this.left)
      throw new WeightsError(`${this.file} is truncated: its header continues beyond byte ${this.fileBytes}`, {
        hint: TRUNCATED,
      });
    if (this.at + length > MOST_HEADER_BYTES)
      throw new WeightsError(
        `${this.file}: its header has more than ${MOST_HEADER_BYTES} bytes: too many for a header`,
      );
    const { buffer, byteOffset, byteLength } = this.pull(this.at, Math.min(Math.max(length, WINDOW_BYTES), this.left));
    this.window = new DataView(buffer, byteOffset, byteLength);
    this.first = this.at;
    return this.window;
  }

  /** Moves on, and gives the place before in the window. */
  private step(length: number): number {
    const offset = this.at - this.first;
    this.at += length;
    return offset;
  }
}

/** The text of a few ASCII characters, which most tokens are; null for any other. */
function asciiOf(bytes: Uint8Array): string | null {
  if (bytes.length > 32) return null;
  for (const byte of bytes) if (byte >= 0x80) return null;
  return String.fromCharCode(...bytes);
}
