// What `modc run` prints of models with several sequence axes.
import { afterAll, expect, it } from "vitest";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

it("draws routes on the axis whose tokens they chose: of several inputs, and of a fixed axis", async () => {
  const file = folder.file(
    "axes.mod",
    `model Axes() {
forward(a: f32[B, S, 1], x: f32[B, T, 1], fixed: f32[B, 5, 1]) -> f32[B] {
  s = top(a[..., 0], 1)
  observe s
  t = top(x[..., 0], 2)
  observe t
  f = sequence(fixed)
  n = top(f[..., 0], 3)
  observe n
  sum(take(a, s), axis: [1, 2]) + sum(take(x, t), axis: [1, 2]) + sum(take(f, n), axis: [1, 2])
}
}`,
  );
  const inputs = { a: [1, 9, 2], x: [4, 0, 1, 0, 0, 3], fixed: [7, 0, 8, 0, 9] };
  const { status, stdout } = await modc([
    "run",
    file,
    "--device",
    "reference",
    ...Object.entries(inputs).flatMap(([name, row]) => ["--input", `${name}=${JSON.stringify([row.map((v) => [v])])}`]),
  ]);
  expect(status).toBe(0);
  expect(stdout.slice(stdout.indexOf("tokens"))).toBe(
    "tokens along S computed (█) and skipped (·)\ns 1/3  ·█·\n\n" +
      "tokens along T computed (█) and skipped (·)\nt 2/6  █····█\n\n" +
      "tokens along N computed (█) and skipped (·)\nn 3/5  █·█·█\n",
  );
});
