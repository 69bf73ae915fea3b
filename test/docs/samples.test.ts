// The code of README, docs and examples runs as it is written: commands in this process, TypeScript and JavaScript
// against the built package, each page in a folder of its own.
// @module-tag long
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transformSync } from "esbuild";
import { afterAll, describe, expect, it } from "vitest";
import { build } from "../../scripts/setup.mjs";
import { run } from "../tools/cli/in-process.js";
import { soaking } from "../soak.js";
import { fences, fencesOf, pageText, pages, root, wordsOf } from "./fences.js";
import { fileOf, sampleOf, stale, type Sample } from "./samples.js";
import { fillSandbox } from "./sandbox.js";

build(); // quick where nothing has changed

const LONG = soaking ? 7_200_000 : 300_000;
const all = mkdtempSync(join(tmpdir(), "modc-docs-"));
const started = process.cwd();
afterAll(() => {
  process.chdir(started);
  rmSync(all, { recursive: true, force: true });
});

/** The folder of a page, made when it is first asked for. */
const made = new Map<string, string>();
function folderOf(page: string): string {
  let folder = made.get(page);
  if (folder === undefined) {
    folder = join(all, page.replaceAll("/", "-").replace(/\.md$/, ""));
    mkdirSync(folder);
    fillSandbox(folder);
    made.set(page, folder);
  }
  return folder;
}

it("every block is run, checked, or listed with the reason why not; and the list has no others", () => {
  for (const fence of fences) expect(() => sampleOf(fence)).not.toThrow();
  expect(stale(fences)).toEqual([]);
  const [unknown] = fencesOf("README.md", "```sh\ncurl example.com\n```\n");
  expect(() => sampleOf(unknown!)).toThrow(/must say why/);
});

const samples = fences.map((fence) => ({ fence, sample: sampleOf(fence), place: `${fence.page}:${fence.line}` }));
const ofKind = <K extends Sample["kind"]>(kind: K) =>
  samples.flatMap(({ fence, sample, place }) =>
    sample.kind === kind ? [{ fence, place, sample: sample as Extract<Sample, { kind: K }> }] : [],
  );

// A fence that several pages share runs once; the other pages get a copy of the resulting files.
const ran = new Map<string, string>();

describe("commands", () => {
  it.each(ofKind("commands"))(
    "$place",
    async ({ fence, sample }) => {
      const folder = folderOf(fence.page);
      process.chdir(folder);
      // A page that mentions a run without training it means a run like the README's.
      const trained = join(folderOf("README.md"), "run");
      if (
        existsSync(trained) &&
        !existsSync("run") &&
        !samples.some((s) => s.fence.page === fence.page && s.fence.code.includes("-o run"))
      )
        cpSync(trained, "run", { recursive: true, verbatimSymlinks: true });
      for (const { line, words, runs } of sample.lines) {
        if (words === null) continue;
        if (!runs) {
          await expectFlags(words);
          continue;
        }
        const key = JSON.stringify(words);
        const before = ran.get(key);
        if (before === undefined) {
          const { status, stderr } = await run(words, { env: { XDG_CACHE_HOME: all } });
          expect([line, status, stderr.match(/^error.*/m)?.[0]]).toEqual([line, 0, undefined]);
          ran.set(key, folder);
        } else {
          const output = words[words.indexOf("-o") + 1];
          if (words.includes("-o"))
            cpSync(join(before, output!), join(folder, output!), { recursive: true, verbatimSymlinks: true });
        }
      }
    },
    LONG,
  );

  it("in a line of text have the flags that it gives them", async () => {
    const inline = pages
      .flatMap((page) => [...pageText(page).matchAll(/`(?:npx )?(modc [^`\n]+)`/g)].map((m) => m[1]!))
      .filter((text) => !/[<…]/.test(text));
    expect(inline.length).toBeGreaterThan(20);
    for (const text of inline) await expectFlags(wordsOf(text).slice(1));
  });
});

const helps = new Map<string, string>();

/** Each flag of a command stands in its help. */
async function expectFlags([command, ...rest]: readonly string[]): Promise<void> {
  let help = helps.get(command!);
  if (help === undefined)
    helps.set(command!, (help = (await run(command!.startsWith("-") ? ["--help"] : [command!, "--help"])).stdout));
  const flags = [command!, ...rest].filter((word) => /^--?[a-z]/.test(word)).map((word) => word.replace(/=.*/, ""));
  for (const flag of flags) expect(help, `modc ${command} ${flag}`).toMatch(new RegExp(`(^|[\\s,])${flag}([\\s,=]|$)`));
}

describe("programs", () => {
  const programs = ofKind("program");
  const written = programs.map(({ fence, sample, place }) => {
    const path = join(folderOf(fence.page), fileOf(fence));
    writeFileSync(path, sample.code);
    const module = path.replace(/\.ts$/, ".js");
    if (sample.language === "ts")
      writeFileSync(module, transformSync(sample.code, { loader: "ts", format: "esm", target: "es2022" }).code);
    return { place, path, module, folder: folderOf(fence.page) };
  });

  it(
    "run",
    () => {
      const outcome = join(all, "outcome.json");
      writeFileSync(join(all, "runner.mjs"), RUNNER);
      const { status, stderr } = spawnSync(process.execPath, [join(all, "runner.mjs"), outcome], {
        input: JSON.stringify(written),
        encoding: "utf8",
        stdio: ["pipe", "ignore", "pipe"],
      });
      expect(status, stderr).toBe(0);
      const faults = JSON.parse(readFileSync(outcome, "utf8")) as Readonly<Record<string, string | null>>;
      expect(faults).toEqual(Object.fromEntries(written.map(({ place }) => [place, null])));
    },
    LONG,
  );

  it("have right types", () => {
    writeFileSync(
      join(all, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          noEmit: true,
          strict: true,
          target: "es2023",
          module: "nodenext",
          lib: ["es2023"],
          types: ["node"],
          checkJs: true,
          skipLibCheck: true,
          typeRoots: [join(root, "node_modules", "@types")],
        },
        files: written.map(({ path }) => path),
      }),
    );
    const { stdout } = spawnSync(
      process.execPath,
      [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", all],
      { encoding: "utf8" },
    );
    expect(stdout).toBe("");
  });
});

/** Runs one program after the other, each from the folder of its page, and writes what each ended with. */
const RUNNER = `import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
const outcome = {};
for (const { place, module, folder } of JSON.parse(readFileSync(0, "utf8"))) {
  process.chdir(folder);
  try {
    await import(pathToFileURL(module).href);
    outcome[place] = null;
  } catch (fault) {
    outcome[place] = fault instanceof Error ? fault.stack : String(fault);
  }
}
writeFileSync(process.argv[2], JSON.stringify(outcome));
`;
