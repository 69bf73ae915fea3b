// Reads a tar archive (POSIX ustar) in memory, and refuses entries that could write outside a folder.

export interface TarEntry {
  /** A plain file name, without folders. */
  readonly name: string;
  readonly executable: boolean;
  readonly data: Uint8Array;
}

const BLOCK = 512;

/**
 * The regular files of an archive. Throws an Error for links, devices, names that are not plain file names, a wrong
 * checksum or a truncated archive. Folders are skipped; extended headers are refused.
 */
export function untar(archive: Uint8Array): readonly TarEntry[] {
  const entries: TarEntry[] = [];
  const names = new Set<string>();
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return entries;
    checkSum(header);
    const size = octal(header, 124, 12);
    const type = String.fromCharCode(header[156]!);
    const name = text(header, 0, 100);
    const start = at + BLOCK;
    if (start + size > archive.length) throw new Error(`truncated archive: ${name} ends beyond it`);
    if (type === "0" || type === "\0") {
      if (text(header, 345, 155) !== "" || !/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) || names.has(name))
        throw new Error(`unexpected file name in archive: ${JSON.stringify(name)}`);
      names.add(name);
      entries.push({
        name,
        executable: (octal(header, 100, 8) & 0o100) !== 0,
        data: archive.subarray(start, start + size),
      });
    } else if (type !== "5")
      throw new Error(`unexpected entry of type ${JSON.stringify(type)} in archive: ${JSON.stringify(name)}`);
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new Error("truncated archive: no end mark");
}

function checkSum(header: Uint8Array): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
  if (sum !== octal(header, 148, 8)) throw new Error("not a tar archive: wrong checksum");
}

const text = (header: Uint8Array, at: number, length: number): string => {
  const field = header.subarray(at, at + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
};

function octal(header: Uint8Array, at: number, length: number): number {
  const digits = text(header, at, length).trim();
  if (!/^[0-7]+$/.test(digits)) throw new Error("not a tar archive: a number is missing in a header");
  return parseInt(digits, 8);
}
