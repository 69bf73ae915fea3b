// `modc` as the first process of a container, for which Linux drops signals that nobody hears: it ends as elsewhere.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { patience } from "../../soak.js";
import { main, root } from "./spawn.js";

const ALONE = ["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"] as const;
const able = process.platform === "linux" && spawnSync("unshare", [...ALONE, "true"]).status === 0;
const note = able ? "" : " (skipped: this system lets nobody unshare process ids)";
const SERVE = ["serve", "examples/moby.mod", "--weights", "examples/moby.safetensors", "--port", "0"] as const;

let running: ChildProcess | null = null;
afterEach(() => {
  running?.kill("SIGKILL");
  running = null;
});

/** Starts a command line as process 1 in a container: what it has said, how to send it a signal, and how it ends. */
function first(words: readonly string[]) {
  const child = spawn("unshare", [...ALONE, process.execPath, main, ...words], {
    cwd: root,
    stdio: ["ignore", "pipe", "ignore"],
  });
  running = child;
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  const until = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const found = pattern.exec(said);
      if (found) return found[0];
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${said}`);
      await new Promise((resolve) => void setTimeout(resolve, 10));
    }
  };
  const send = (signal: NodeJS.Signals): void => {
    try {
      process.kill(Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8") || NaN), signal);
    } catch {} // it has not begun, or has ended
  };
  return { said: () => said, until, send, ended: once(child, "close") };
}

describe.skipIf(!able)(`the first process of a container${note}`, { timeout: patience(60_000) }, () => {
  it.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("is ended by %s while it loads", async (signal, status) => {
    const { said, send, ended } = first(SERVE);
    // Until Node runs, there is nobody to hear it.
    const again = setInterval(() => send(signal), 20);
    expect(await ended).toEqual([status, null]);
    clearInterval(again);
    expect(said()).toBe("");
  });

  it("is ended by a second interrupt while it finishes what is under way", { tags: "long" }, async () => {
    const { said, until, send, ended } = first([...SERVE, "--max-batch", "1", "--drain-timeout", "10m"]);
    const url = await until(/http:\S+/);
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ prompt: "It was the w", max_tokens: 240, n: 100, stream: true });
    const { body: answer } = await fetch(`${url}/v1/completions`, { method: "POST", headers, body });
    send("SIGTERM");
    await until(/shutting down: 1 request in progress/);
    send("SIGTERM");
    expect(await ended).toEqual([143, null]);
    expect(said()).not.toMatch(/ended\n/);
    await answer!.cancel().catch(() => {}); // the connection is gone
  });
});
