// How GGUF files begin, and how they are named.

/** Whether a file begins as GGUF files do: with those four letters. */
export const isGguf = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && bytes[0] === 0x47 && bytes[1] === 0x47 && bytes[2] === 0x55 && bytes[3] === 0x46;

/** Whether a path ends as the names of GGUF files do. */
export const hasGgufName = (path: string): boolean => /\.gguf$/i.test(path);
