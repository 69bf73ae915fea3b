// Weights that are no numbers: no command makes a text or a loss of them.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { modc, root, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);

const WEIGHTS = join(temporary.path, "moby.safetensors");
const bytes = readFileSync(join(root, "examples/moby.safetensors"));
// All bits set are NaN in every type of float.
writeFileSync(WEIGHTS, bytes.fill(0xff, bytes.length - 64));
const MOBY = ["examples/moby.mod", "--weights", WEIGHTS] as const;

it("generate and eval refuse what is not finite, with nothing on standard output", async () => {
  const text = temporary.file("text.txt", "It was the whale. ".repeat(20));
  for (const [args, message] of [
    [["generate", ...MOBY, "--prompt", "It was", "--max-tokens", "4"], "logits after 6 tokens are not finite numbers"],
    [["eval", ...MOBY, "--data", text, "--length", "64"], "loss by top-k is not a finite number"],
  ] as const) {
    const { status, stdout, stderr } = await modc(args);
    expect([status, stdout.trim()]).toEqual([1, ""]);
    expect(stderr).toContain(`error: the model's ${message}`);
    expect(stderr).toContain("are its weights right?");
    const json = await modc([...args, "--json"]);
    expect(json.status).toBe(1);
    expect(JSON.parse(json.stdout.trim())).toMatchObject({ exit: 1, code: "bad-weights" });
  }
});
