// `modc run --text`: which results are shown as the tokens that may follow.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const rows = (width: number): string => `import { Embedding } from "std"

model Rows() {
  table: Embedding(256, ${width})

  forward(tokens: u32[B, T]) -> f32[B, T, ${width}] { table(tokens) }
}
`;

describe("--text", () => {
  it.each([
    [256, /^output: most likely next bytes: /],
    [4, /^output: f32\[1, 3, 4\] = \[\[\[/],
  ] as const)("shows %d numbers of a token as logits only if each byte has one", async (width, shown) => {
    const file = join(folder.path, `rows-${width}.mod`);
    writeFileSync(file, rows(width));
    const { status, stdout } = await modc(["run", file, "--text", "abc"]);
    expect([status, stdout]).toEqual([0, expect.stringMatching(shown)]);
  });
});
