// The picture of the routes of `modc run`: each route is drawn along the axis from which its tokens come.
import { afterAll, describe, expect, it } from "vitest";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

/** The lines of the picture. */
async function picture(...args: readonly string[]): Promise<readonly string[]> {
  const { status, stdout, stderr } = await modc(["run", ...args, "--device", "reference"]);
  expect(status, stderr).toBe(0);
  return stdout.trimEnd().split("\n").slice(1);
}

const SMALL = ["--set", "dim=16", "--set", "heads=2", "--set", "depth=2"];

describe("the picture of routes", () => {
  it("has the decoder's tokens, not those of a source before them", async () => {
    const given = ["--input", "source=[[1,2,3,4,5,6],[1,2,3,0,0,0]]", "--input", "tokens=[[7,8,9,1],[7,8,9,1]]"];
    const lines = await picture("examples/inputs/translate.mod", ...SMALL, ...given, "--lengths", "S=6,3");
    expect(lines.filter((line) => line.startsWith("sequence"))).toHaveLength(2);
    const drawn = lines.filter((line) => line.startsWith("decoder.1.chosen"));
    expect(drawn).toHaveLength(2);
    for (const line of drawn) expect(line).toMatch(/^decoder\.1\.chosen 1\/4 {2}[·█]{4}$/);
    const shorter = await picture("examples/inputs/translate.mod", ...SMALL, ...given, "--lengths", "T=4,2");
    expect(shorter.at(-1)).toMatch(/^decoder\.1\.chosen 1\/2 {2}[·█]{2}$/);
  });

  it("has the patches of a picture", async () => {
    const numbers = Array.from({ length: 3 * 8 * 8 }, (_, i) => Math.sin(i * i));
    const rows = (of: number): readonly number[] => numbers.slice(8 * of, 8 * of + 8);
    const image = [[0, 1, 2].map((c) => Array.from({ length: 8 }, (_, y) => rows(8 * c + y)))];
    const file = folder.file("image.json", JSON.stringify(image));
    const small = [...SMALL, "--set", "size=8", "--set", "patch=2"];
    const lines = await picture("examples/inputs/pictures.mod", ...small, "--input", `image=@${file}`);
    expect(lines.at(-1)).toMatch(/^layers\.1\.chosen 4\/16 {2}[·█]{16}$/);
  });

  it("has a part for each axis", async () => {
    const file = folder.file(
      "two.mod",
      `model Two() {
  forward(a: f32[B, S <= 8, 1], b: f32[B, T <= 8, 1]) -> (first: f32[B, S, 1], second: f32[B, T, 1]) {
    of_a = top(a[..., 0], 2)
    of_b = top(b[..., 0], 1)
    observe of_a
    observe of_b
    (put(a, of_a, take(a, of_a)), put(b, of_b, take(b, of_b)))
  }
}
`,
    );
    const lines = await picture(file, "--input", "a=[[[3],[1],[2]]]", "--input", "b=[[[1],[2],[3],[4]]]");
    expect(lines.slice(-5)).toEqual([
      "tokens along S computed (█) and skipped (·)",
      "of_a 2/3  █·█",
      "",
      "tokens along T computed (█) and skipped (·)",
      "of_b 1/4  ···█",
    ]);
  });
});
