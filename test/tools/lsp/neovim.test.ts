// Neovim, where it is installed: its own client attaches headless, and shows diagnostics, hints and hovers.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { main, root } from "../cli/spawn.js";

/** What docs/editors.md says to write. */
const CONFIGURATION = /```lua\n([\s\S]*?)```/.exec(readFileSync(join(root, "docs", "editors.md"), "utf8"))![1]!;
const installed = spawnSync("nvim", ["--version"]).status === 0;

it.skipIf(!installed)("shows a mistake as it is typed, shapes and documentation", { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "modc-neovim-"));
  try {
    copyFileSync(join(root, "examples", "golden.mod"), join(folder, "golden.mod"));
    const env = {
      ...process.env,
      XDG_CACHE_HOME: folder,
      XDG_STATE_HOME: folder,
    };
    const init = join(folder, "init.lua");
    writeFileSync(init, CONFIGURATION.replace('{ "modc", "lsp" }', `{ "${process.execPath}", "${main}", "lsp" }`));
    const file = join(folder, "golden.mod");
    const script = join(root, "test", "lsp", "editor.lua");
    const words = ["--headless", "-n", "-i", "NONE", "-u", init, file, "-c", `luafile ${script}`];
    const { status, stdout, stderr } = await ended(words, env);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      encoding: "utf-16",
      filetype: "modc",
      diagnostic: {
        line: 17,
        code: "unknown-name",
        message: expect.stringMatching(/^nothing is called `to` here\n/),
      },
      hints: expect.arrayContaining(["6: f32[B, K, 1]", "16: f32[B, T]", "17: route K of T"]),
      hover: expect.stringContaining("top(score: f32[B, T], k) -> route"),
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Not to be waited for by standing still: other tests run in this process. */
function ended(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ readonly status: number | null; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve, reject) => {
    const nvim = spawn("nvim", words, { env, stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr]: [string[], string[]] = [[], []];
    nvim.stdout.setEncoding("utf8").on("data", (text: string) => void stdout.push(text));
    nvim.stderr.setEncoding("utf8").on("data", (text: string) => void stderr.push(text));
    nvim.on("error", reject);
    nvim.on("close", (status) => resolve({ status, stdout: stdout.join(""), stderr: stderr.join("") }));
  });
}
