// A model for pages whose point is not its numbers: it is built, downloaded and loaded as any other, with few kernels,
// for a browser's software device compiles them slowly.
import { expect } from "vitest";
import { modc } from "../tools/cli/spawn.js";

const SOURCE = `import { Embedding, Linear } from "std"
model Small() {
  embed: Embedding(256, 128)
  head:  Linear(128, 256)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 256] { head(embed(tokens)) }
}
`;

/** Paths of its source and weights, written into a folder. */
export async function smallModel({
  file,
}: {
  readonly file: (name: string, content: string) => string;
}): Promise<{ readonly source: string; readonly weights: string }> {
  const source = file("small.mod", SOURCE);
  const weights = source.replace(/mod$/, "safetensors");
  expect(await modc(["init", source, "-o", weights])).toMatchObject({ status: 0 });
  return { source, weights };
}
