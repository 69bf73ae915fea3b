// `modc export` as a user calls it: what it writes, and what it refuses.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const model = folder.file(
  "small.mod",
  "model Small(n: int = 8) {\n  weight w: f32[n, n] = normal(0.5)\n" +
    "  forward(x: f32[B, T <= 4, n]) -> f32[B, T, n] { x @ w }\n}\n",
);
const output = join(folder.path, "torch");

describe("modc export --to torch", () => {
  it("writes the module, and with weights those under their own keys", async () => {
    const plain = await modc(["export", model, "--to", "torch", "-o", output, "--set", "n=4"]);
    expect([plain.status, plain.stderr]).toEqual([0, ""]);
    expect(plain.stdout).toMatch(/torch: Small in PyTorch, 3 files: model.py, modc_torch.py, README.md\n$/);
    expect(readFileSync(join(output, "model.py"), "utf8")).toContain("class Small(nn.Module):");
    expect(existsSync(join(output, "model.safetensors"))).toBe(false);
    const weights = join(folder.path, "w.safetensors");
    expect((await modc(["init", model, "-o", weights])).status).toBe(0);
    const whole = await modc(["export", model, "--to", "torch", "--weights", weights, "-o", output, "--json"]);
    expect(JSON.parse(whole.stdout)).toMatchObject({ model: "Small", to: "torch", weights });
    expect(readFileSync(join(output, "model.safetensors"))).toEqual(readFileSync(weights));
  });

  it("refuses what has no form, and writes nothing", async () => {
    const source = "model M(live s: float = 1.0) { forward(x: f32[B, T]) -> f32[B, T] { x * s } }\n";
    const other = join(folder.path, "other");
    const refused = await modc(["export", folder.file("live.mod", source), "--to", "torch", "-o", other]);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("the live parameter s has no form in PyTorch yet");
    expect(existsSync(other)).toBe(false);
  });

  it("tells faults of the source, those of an objective too", async () => {
    const source =
      "model M() {\n  forward(x: f32[B, T]) -> f32[B, T] { x }\n" +
      "  objective(x: f32[B, T]) { loss l = mean(nothing) }\n}\n";
    const faulty = await modc(["export", folder.file("faulty.mod", source), "--to", "torch", "-o", output]);
    expect(faulty.status).toBe(1);
    expect(faulty.stderr).toContain("nothing");
  });
});
