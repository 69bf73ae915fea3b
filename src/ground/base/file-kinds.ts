// Names the kind of a file that is not text, from its first bytes.

const ascii = (text: string): readonly number[] => Array.from(text, (c) => c.charCodeAt(0));

export const UTF16 = "UTF-16 text";

/** Kinds of files, each with the first bytes of such files. */
const KINDS: readonly (readonly [begins: readonly number[], kind: string])[] = [
  [ascii("PAR1"), "a Parquet file"],
  [ascii("ARROW1"), "an Arrow file"],
  [ascii("GGUF"), "a GGUF file"],
  [[0x1f, 0x8b], "a gzip file"],
  [[0x28, 0xb5, 0x2f, 0xfd], "a zstd file"],
  [[0xfd, ...ascii("7zXZ")], "an xz file"],
  [ascii("BZh"), "a bzip2 file"],
  [ascii("PK\x03\x04"), "a zip file"],
  [ascii("%PDF-"), "a PDF file"],
  [[0x89, ...ascii("PNG")], "a PNG image"],
  [[0xff, 0xd8, 0xff], "a JPEG image"],
  [[0x89, ...ascii("HDF")], "an HDF5 file"],
  [[0x93, ...ascii("NUMPY")], "a NumPy array"],
  [[0xff, 0xfe], UTF16],
  [[0xfe, 0xff], UTF16],
  [[0x80, 0x02], "a Python pickle"],
  [[0x80, 0x04], "a Python pickle"],
  [ascii("SQLite format 3"), "an SQLite database"],
  [[0x7f, ...ascii("ELF")], "a program"],
];

/** The kind of a file that begins with these bytes, such as "a gzip file"; null for any other. */
export function fileKind(bytes: Uint8Array): string | null {
  const found = KINDS.find(([begins]) => begins.every((byte, i) => bytes[i] === byte));
  if (found) return found[1];
  if (
    bytes.length >= 8 &&
    [0, 1].some((odd) => bytes.subarray(0, 8).every((byte, i) => (byte === 0) === (i % 2 === odd)))
  )
    return UTF16; // ASCII letters
  // A safetensors file: eight bytes with the length of its header, then JSON.
  const header = bytes[8] === 0x7b && bytes[6] === 0 && bytes[7] === 0;
  return header ? "a safetensors file" : null;
}
