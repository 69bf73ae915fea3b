// The library's documents, chunks, memories and latent attention, against accounts in PyTorch. Skipped, and saying so,
// if Python has no torch.
// @module-tag long
import { describe, expect, it } from "vitest";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { lowered } from "../../compiler/autodiff/models.js";
import { hasTorch, torchNote } from "../../pytorch.js";
import { expectAccount, type Account } from "./account.js";

const CASES: readonly Account[] = [
  { account: "chunks", call: "Chunks(ShortConv(8, 3), 8)", dim: 8, options: { share: 1 / 6, rate: 0.03 } },
  {
    account: "chunks",
    call: "Chunks(ShortConv(6, 2), 6, 1 / 3, rate: 0.5)",
    dim: 6,
    options: { share: 1 / 3, rate: 0.5 },
  },
  {
    account: "memories",
    call: "Memories(12, 2, count: 4)",
    dim: 12,
    options: { heads: 2, count: 4, active: 2, shared: false },
  },
  {
    account: "memories",
    call: "Memories(8, 2, count: 3, active: 2, key_dim: 5, value_dim: 3, shared: true, width: 2)",
    dim: 8,
    options: { heads: 2, count: 3, active: 2, shared: true },
  },
  {
    account: "mla",
    call: "MLA(12, 3, latent: 7, plain: 5, rotated: 4, value_dim: 6)",
    dim: 12,
    options: { heads: 3, latent: 7, plain: 5, rotated: 4, value_dim: 6 },
  },
  {
    account: "mla",
    call: "MLA(10, 2, latent: 4, query_latent: 6, plain: 4, rotated: 6, value_dim: 3)",
    dim: 10,
    options: { heads: 2, latent: 4, plain: 4, rotated: 6, value_dim: 3 },
  },
];

// Importing torch alone may take long.
describe.skipIf(!hasTorch)(`masks and memories of the library${torchNote}`, { timeout: 240_000 }, () => {
  it.each(CASES.map((given) => [given.call, given] as const))("%s is what the account computes", (_, given) =>
    expectAccount(new URL("masks.py", import.meta.url), given),
  );
});

it("Documents numbers the documents and says where each began", () => {
  const source = `
import { Documents } from "std"
model M() {
  parts: Documents(7)
  forward(tokens: u32[B, T <= 16]) -> (doc: u32[B, T], start: u32[B, T]) { parts(tokens) }
}`;
  for (const phase of ["infer", "generate"] as const) {
    const { graph } = lowered(source, { entry: "forward", phase });
    const data = [1, 7, 7, 2, 3, 7, 4, 7];
    const { outputs } = evaluate(graph, {
      inputs: new Map([["tokens", { shape: [1, 8], data }]]),
      weights: new Map(),
    });
    expect([...outputs.get("doc")!.data]).toEqual([1, 1, 2, 3, 3, 3, 4, 4]);
    expect([...outputs.get("start")!.data]).toEqual([0, 0, 2, 3, 3, 3, 6, 6]);
  }
});
