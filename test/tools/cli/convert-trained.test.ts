// `modc convert` of what was trained: a run's folder and each of its checkpoints, wherever a dense checkpoint is taken.
import { existsSync, readFileSync, realpathSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VARIANTS, writeFolder } from "../../models/families/folders.js";
import { modc, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (...names: readonly string[]): string => join(temporary.path, ...names);
const [dense, run] = [place("dense"), place("run")];

beforeAll(async () => {
  writeFolder(
    dense,
    VARIANTS.find((v) => v.name === "Llama")!,
    7,
  );
  const data = temporary.file("text.txt", "!\"#$%&'()*+ ".repeat(80));
  const trained = await modc([
    "train",
    dense,
    "--data",
    data,
    "-o",
    run,
    "--steps",
    "2",
    "--batch",
    "2",
    "--length",
    "12",
    "--checkpoint-every",
    "1",
  ]);
  expect(trained.status, trained.stderr).toBe(0);
}, 120_000);

describe("modc convert", () => {
  it("takes a run's folder, its folder of checkpoints, and each of them", async () => {
    const best = realpathSync(join(run, "checkpoints", "best"));
    for (const [i, path] of [run, join(run, "checkpoints"), join(run, "checkpoints", "best"), best].entries()) {
      const output = place(`routed-${i}`);
      const note = i < 2 ? `note: ${path}: the checkpoint of step 2, the best so far\n` : "";
      expect(await modc(["convert", path, "-o", output])).toMatchObject({
        status: 0,
        stderr: note,
        stdout: expect.stringContaining("Llama, 1 of 3 layers routed"),
      });
      expect(
        readFileSync(join(output, "model.safetensors")).equals(
          readFileSync(join(place("routed-0"), "model.safetensors")),
        ),
      ).toBe(true);
    }
  });

  it("says of a routed model that it is one, and of a dense folder that it is gone", { tags: "long" }, async () => {
    const [routed, more, output] = [place("routed"), place("more"), place("none")];
    await modc(["convert", dense, "-o", routed]);
    expect(await modc(["convert", routed, "-o", output])).toMatchObject({
      status: 1,
      stderr:
        `error: ${routed} has its model in model.mod, but no config.json: it already has routes\n  hint: give a ` +
        `dense checkpoint: a folder with a config.json\n`,
    });
    const trained = await modc([
      "train",
      routed,
      "--data",
      place("text.txt"),
      "-o",
      more,
      "--steps",
      "1",
      "--batch",
      "2",
      "--length",
      "12",
    ]);
    expect(trained.stderr).toMatch(/\nthe best checkpoint is .*step-00000001\ntry it with modc eval .*more\n$/);
    expect((await modc(["convert", more, "-o", output])).stderr).toContain(
      "which is not a folder with a config.json: it already has routes",
    );
    renameSync(dense, place("elsewhere"));
    expect((await modc(["convert", run, "-o", output])).stderr).toBe(
      `error: ${run} trained ${dense}, whose config.json describes the layers and is missing\n  hint: ` +
        `put it back there\n`,
    );
    renameSync(place("elsewhere"), dense);
    expect(existsSync(output)).toBe(false);
  });
});
