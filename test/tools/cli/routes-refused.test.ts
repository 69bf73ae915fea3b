// `modc routes` with too many logits, from which it computes uncertainty: for it, or for the device.
import { afterAll, expect, it, onTestFinished, vi } from "vitest";
import { readable } from "../../../src/tools/cli/train/logits.js";
import { LimitError, OutOfMemoryError } from "../../../src/runtime/device/errors.js";
import { testDevice } from "../../device.js";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const SKIPPING = `import { Embedding } from "std"
model Skipping(vocab: int = 256, dim: int = 4) {
  embed: Embedding(vocab, dim)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] {
    x = embed(tokens)
    chosen = top(mean(x, axis: -1), ceil(T / 2))
    observe chosen
    put(x, chosen, take(x, chosen)) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) { loss next_token = cross_entropy(forward(tokens), targets) }
}
`;

it("they are left out with a note, and all else is told", async () => {
  const words = ["routes", folder.file("skipping.mod", SKIPPING), "--text", "some text", "--rule", "top-k"];
  expect((await run(words)).stdout).toContain("bits of uncertainty");
  const { gpu } = await testDevice();
  const create = gpu.createBuffer.bind(gpu);
  let refusal: Error | null = null;
  const made = vi.spyOn(gpu, "createBuffer").mockImplementation((descriptor) => {
    // Only the forward pass has a result; the scope of errors that was opened for it is closed again.
    if (!refusal || descriptor.label !== "output") return create(descriptor);
    void gpu.popErrorScope();
    throw refusal;
  });
  onTestFinished(() => made.mockRestore());
  const limit = { label: "logits", limit: "maxBufferSize", needed: 9, allowed: 8, unit: "bytes" } as const;
  for (const fault of [new LimitError(limit), new OutOfMemoryError("logits", 9)]) {
    refusal = fault;
    const { status, stdout, stderr } = await run(words);
    expect([status, stderr]).toEqual([
      0,
      expect.stringContaining(`no uncertainty is reported for further sequences: ${fault.message}`),
    ]);
    expect(stdout).toContain("tokens by how many of 1 routes compute them");
    expect(stdout).not.toContain("bits of uncertainty");
  }
  refusal = new Error("a fault of modc");
  expect((await run(words)).status).not.toBe(0);
});

it("at most half a gigabyte of them is read, and 64 MiB at once unless one sequence has more", () => {
  const windows = Array.from({ length: 100 }, (_, i) => i);
  const MIB = 2 ** 20;
  for (const [context, vocabulary] of [
    [16, 256],
    [512, 32_768],
    [1024, 50_257],
    [1024, 131_072],
  ] as const) {
    const bytes = 4 * context * vocabulary;
    const read = readable(windows, { rows: 8, context, vocabulary })!;
    expect(read.windows.length * bytes).toBeLessThanOrEqual(512 * MIB);
    expect((read.windows.length + 1) * bytes > 512 * MIB || read.windows.length === 100).toBe(true);
    expect(read.atOnce === 1 || read.atOnce * bytes <= 64 * MIB).toBe(true);
  }
  expect(readable(windows, { rows: 8, context: 8192, vocabulary: 150_000 })).toBeNull();
});
