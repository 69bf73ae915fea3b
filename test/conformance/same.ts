// Compares files of vectors.
import { expect } from "vitest";

/** Expects the same tensors: bit for bit, but for the last bits of results in 64 bits. */
export function expectSame(kept: Buffer, now: Buffer): void {
  const begin = 8 + Number(now.readBigUInt64LE(0));
  expect(kept.toString("latin1", 0, begin)).toBe(now.toString("latin1", 0, begin));
  const entries = JSON.parse(now.toString("utf8", 8, begin)) as Readonly<
    Record<string, { readonly dtype: string; readonly data_offsets: readonly [number, number] }>
  >;
  for (const [name, { dtype, data_offsets: offsets }] of Object.entries(entries)) {
    const [was, is] = [kept, now].map((file) =>
      file.subarray(...(offsets.map((at) => begin + at) as [number, number])),
    );
    if (dtype !== "F64") expect(Buffer.compare(was!, is!), name).toBe(0);
    // The last bits of sines and powers are the machine's.
    else
      for (let at = 0; at < was!.length; at += 8) {
        const [a, b] = [was!.readDoubleLE(at), is!.readDoubleLE(at)];
        if (!Number.isNaN(a) || !Number.isNaN(b)) expect(Math.abs(a - b), name).toBeLessThan(1e-12);
      }
  }
}
