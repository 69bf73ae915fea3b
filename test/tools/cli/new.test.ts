// `modc new`: the project that it writes trains, builds and serves, and no folder with files is written to.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it, onTestFinished } from "vitest";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const mine = join(folder.path, "my project");

it(
  "writes a project whose scripts train and build, and whose server has the page and the package alone",
  { tags: "long", timeout: 240_000 },
  async () => {
    const { status, stdout } = await run(["new", mine]);
    expect([status, stdout]).toEqual([0, expect.stringContaining(`  cd '${mine}'\n  npm install\n  npm run train`)]);
    const made = JSON.parse(readFileSync(join(mine, "package.json"), "utf8")) as {
      readonly name: string;
      readonly scripts: Readonly<Record<string, string>>;
      readonly devDependencies: { readonly modc: string };
    };
    expect(made.name).toBe("my-project");
    expect(existsSync(join(made.devDependencies.modc.replace("file:", ""), "dist", "src", "cli", "main.js"))).toBe(
      true,
    );
    const words = (script: string): readonly string[] =>
      Array.from(made.scripts[script]!.matchAll(/"([^"]*)"|\S+/g), ([word, quoted]) => quoted ?? word)
        .slice(1)
        .map((word) => (/^(model\.mod|text\.txt|run|model)$/.test(word) ? join(mine, word) : word));
    for (const script of ["generate", "build"])
      expect(await run(words(script))).toMatchObject({
        status: 1,
        stderr: expect.stringMatching(
          /cannot read .*run: there is no such file or folder\n {2}hint: give a \.mod file, a folder that `modc train` wrote/,
        ),
      });
    expect(await run([...words("train").filter(notTheSteps), "--steps", "2"])).toMatchObject({
      status: 0,
    });
    expect(await run(words("build"))).toMatchObject({ status: 0 });
    const { get } = await served();
    expect(await get("/")).toEqual([200, "text/html", readFileSync(join(mine, "index.html"), "utf8")]);
    expect((await get("/model/index.js")).slice(0, 2)).toEqual([200, "text/javascript"]);
    for (const path of ["/package.json", "/model/../package.json", "/model/%2e%2e/text.txt", "/model", "/%ff"])
      expect((await get(path))[0]).toBe(404);
  },
);

/** The steps of the script are for people who wait. */
const notTheSteps = (word: string, i: number, words: readonly string[]): boolean =>
  word !== "--steps" && words[i - 1] !== "--steps";

async function served() {
  const server = spawn(process.execPath, ["serve.js"], { cwd: mine, env: { ...process.env, PORT: "0" } });
  onTestFinished(() => void server.kill());
  const line = await new Promise<string>((resolve) => server.stdout.once("data", (data) => resolve(String(data))));
  const origin = /http:\/\/localhost:\d+/.exec(line)![0].replace("localhost", "127.0.0.1");
  return {
    get: async (path: string): Promise<readonly [number, string | null, string]> => {
      const response = await fetch(`${origin}${path}`);
      return [response.status, response.headers.get("content-type"), await response.text()];
    },
  };
}

it("refuses a folder with files, by their names, and a file; a new repository is fine", async () => {
  const full = join(folder.path, "full");
  mkdirSync(full);
  for (const name of ["a.txt", "b.txt"]) writeFileSync(join(full, name), "mine");
  expect(await run(["new", full])).toMatchObject({
    status: 1,
    stdout: "",
    stderr: expect.stringContaining("full is not empty: it has a.txt, b.txt\n  hint: name a new folder"),
  });
  expect(readdirSync(full)).toEqual(["a.txt", "b.txt"]);
  expect(await run(["new", join(full, "a.txt")])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("is a file"),
  });
  const repository = join(folder.path, "repository");
  mkdirSync(join(repository, ".git"), { recursive: true });
  expect(await run(["new", repository, "--json"])).toMatchObject({ status: 0 });
});
