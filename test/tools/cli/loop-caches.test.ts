// `--loop-caches last` on the command line: its report, its cost, and the refusals.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { EXIT } from "../../../src/tools/cli/terminal/exit.js";
import { LM } from "../../generation/generate/models.js";
import { run } from "./in-process.js";
import { modcAll, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

it(
  "--loop-caches last is an approximation that says so, is costed and measured, and needs a loop",
  { tags: "long" },
  async () => {
    const looped = join(folder.path, "looped.mod");
    const source = LM("", "shared: Residual(Layer(dim, 2, hidden: 24))", "for r in 0..3 { x = shared(x) }");
    writeFileSync(looped, source.replace("vocab: int = 13", "vocab: int = 256"));
    const LAST = ["--loop-caches", "last"];
    const step = ["cost", looped, "--program", "step", "--length", "16", "--json"];
    const [generated, each, last, whole, none, served, measured, drawn] = await modcAll([
      { args: ["generate", looped, "--prompt", "ab", "--max-tokens", "3", "--json", ...LAST] },
      { args: step },
      { args: [...step, ...LAST] },
      { args: ["cost", looped, ...LAST] },
      { args: ["generate", "examples/llama.mod", "--prompt", "ab", ...LAST] },
      { args: ["serve", looped, "--max-batch", "2", ...LAST] },
      { args: ["verify", looped, "--batch", "1", "--length", "9", ...LAST] },
      { args: ["generate", looped, "--prompt", "ab", "--heatmap", join(folder.path, "page.html"), ...LAST] },
    ]);
    expect(generated!.status).toBe(EXIT.fine);
    expect(generated!.stderr).toContain("with --loop-caches last each loop of a token sees the last loop of earlier");
    expect(JSON.parse(generated!.stdout.trim().split("\n").at(-1)!)).toMatchObject({ loopCaches: "last" });

    const cacheOf = ({ stdout }: { readonly stdout: string }): number => JSON.parse(stdout).total.executed.cache;
    expect([cacheOf(each!), cacheOf(last!)]).toEqual([3 * 16 * 128, 16 * 128]);
    expect(whole).toMatchObject({ status: EXIT.usage });
    expect(whole!.stderr).toContain("--loop-caches needs --program prompt or step");

    expect(none!.status).toBe(EXIT.user);
    expect(none!.stderr).toContain("caches of the last loop alone: no block with attention is called more than once");
    expect(drawn!.status).toBe(EXIT.usage);
    expect(drawn!.stderr).toContain("--heatmap and --loop-caches last exclude each other");
    expect(served).toMatchObject({ status: EXIT.usage });
    expect(served!.stderr).toContain("--loop-caches last and --max-batch exclude each other");
    const chatted = await run(["chat", looped, "--max-tokens", "3", ...LAST], { stdin: "ab" });
    expect(chatted.status).toBe(EXIT.fine);
    expect(chatted.stderr).toContain("with --loop-caches last each loop of a token sees the last loop of earlier");
    expect(JSON.parse(generated!.stdout.trim().split("\n").at(-1)!).texts[0].text).toBe(chatted.stdout.slice(0, -1));

    expect(measured!.status).toBe(EXIT.fine);
    const told = measured!.stdout.split("\n").find((line) => / steps /.test(line))!;
    expect(told).toMatch(/^holds +steps +causal +the first token after a prompt equals the whole sequence's; later/);
    // After a prompt, which is a single run, logits equal the trained model's; later they do not.
    const [, behind, later] = /differ by (\S+) at most after a prompt, later by (\S+) on average/.exec(told)!;
    expect(Number(behind)).toBeLessThan(1e-5);
    expect(Number(later)).toBeGreaterThan(1e-3);
  },
);
