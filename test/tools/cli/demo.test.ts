// What `npm start` shows, once the checkout is set up.
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { NO_DEVICE, root } from "./spawn.js";

const start = (
  env: Readonly<Record<string, string>> = {},
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } =>
  spawnSync(process.execPath, ["-e", `import("./dist/src/cli/demo.js").then(({ demo }) => demo())`], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", ...env },
  });

describe("the demonstration", () => {
  it(
    "compiles, runs, draws routes, then holds the run against the reference, and goes on from a prompt",
    { tags: "long" },
    () => {
      const { status, stdout, stderr } = start();
      expect(status, stderr).toBe(0);
      const parts = [
        /^examples\/moby\.mod compiled in \d+ ms\n {2}model .*\n {2}weights {2}71, 1,610,803 numbers; 3 Mixture-of-Depths layers\n/,
        /\nthe beginning of examples\/moby-dick\.txt, run on .* in \d+ ms/,
        /\nlayers\.5\.chosen 32\/256 {2}[█·]+\n/,
        /\ncheck: agrees with the reference/,
        /\ngenerated from "Call me Ishmael", where each routed layer chooses by the token alone;\n/,
        /\ntime +first token after/,
      ];
      const places = parts.map((part) => stdout.search(part));
      expect(places, stdout).not.toContain(-1);
      expect(places.toSorted((a, b) => a - b)).toEqual(places);
      expect(stderr).toContain("note: examples/moby-dick.txt has 2196 bytes, the model reads the first 256\n");
      expect(stderr).not.toMatch(/warning/i);
    },
  );

  it("tells what compiles where there is no device, and how to get one", { tags: "long" }, () => {
    const { status, stdout, stderr } = start(NO_DEVICE);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^examples\/moby\.mod compiled in \d+ ms\n/);
    expect(stderr).toMatch(/error: no GPU and no software device was found\n {2}hint: /);
  });
});
