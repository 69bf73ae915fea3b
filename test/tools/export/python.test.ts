// `python/`, the files that exported folders carry, is a Python project whose tests and lint pass here. Skipped, and
// saying so, if Python lacks a module.
// @module-tag long
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { huggingFaceFiles, pythonFiles } from "../../../src/ground/embedded.js";
import { pythonWith } from "../../python.js";

const project = fileURLToPath(new URL("../../../python", import.meta.url));

/** What a module of Python prints about the project; the empty string if the module passes. */
function faultsBy(python: string, ...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(python, ["-m", ...words], {
    cwd: project,
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "1", PYTHONDONTWRITEBYTECODE: "1" },
  });
  return status === 0 ? "" : `${stdout}${stderr}` || `status ${status}`;
}

const withPytest = pythonWith("torch", "pytest");
const withFlake8 = pythonWith("flake8");
const noteOf = (found: string | undefined, packages: string): string =>
  found === undefined ? ` (skipped: python3 lacks them; on Debian they are ${packages})` : "";

it.runIf(withPytest)(
  `python/ passes its tests, by torch and pytest${noteOf(withPytest, "python3-torch and python3-pytest")}`,
  { timeout: 300_000 },
  () => {
    expect(faultsBy(withPytest!, "pytest", "-q")).toBe("");
  },
);

it.runIf(withFlake8)(`python/ has no fault that flake8 finds${noteOf(withFlake8, "python3-flake8")}`, () => {
  expect(faultsBy(withFlake8!, "flake8")).toBe("");
});

it("the build embeds each file of python/pytorch and python/huggingface", () => {
  const filesOf = (folder: string): readonly string[] =>
    readdirSync(`${project}/${folder}`)
      .filter((name) => name.endsWith(".py"))
      .sort();
  expect(Object.keys(pythonFiles)).toEqual(filesOf("pytorch"));
  expect(Object.keys(huggingFaceFiles)).toEqual(filesOf("huggingface"));
});
