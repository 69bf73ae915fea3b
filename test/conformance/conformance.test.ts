// The conformance suite: its vectors are those of the reference, a right layer passes in both languages, each fault is
// told by its name, and what modc exports to PyTorch passes.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { CASES, type ConformanceCase } from "../../conformance/cases.js";
import { index, vectorsOf } from "../../conformance/make.js";
import { fileOf } from "../../conformance/safetensors.js";
import { saveTensors } from "../../src/runtime/node.js";
import { root, temporaryFolder } from "../tools/cli/spawn.js";
import { exported } from "../tools/export/versions.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";
import { byTurns } from "../soak.js";
import { expectSame } from "./same.js";

const suite = join(root, "conformance");
const FAULTS = Object.keys(JSON.parse(readFileSync(join(suite, "faults.json"), "utf8")) as object);
/** Those that only gradients show: no JavaScript gives any. */
const OF_GRADIENTS = ["detached-gate", "predictor-disturbs"];
const folder = temporaryFolder();
afterAll(folder.remove);

describe("the vectors", () => {
  it("are indexed", () => {
    expect(readFileSync(join(suite, "vectors", "cases.json"), "utf8")).toBe(index());
  });

  it.each(CASES)("of $name are what the reference computes", (one) => {
    expectSame(readFileSync(join(suite, "vectors", `${one.name}.safetensors`)), Buffer.from(made(one)));
  });
});

const made = (one: ConformanceCase): Uint8Array => fileOf(vectorsOf(one));

interface Found {
  readonly findings: readonly { readonly case: string; readonly ok: boolean; readonly compared?: readonly string[] }[];
  readonly faults: readonly (readonly string[])[];
}

/** What check.mjs prints of a module, and its exit status. */
async function checked(module: string): Promise<readonly [status: number, Found]> {
  const ran = promisify(execFile)(process.execPath, [join(suite, "check.mjs"), module, "--json"]);
  const { code, stdout } = await ran.then(
    (told) => ({ ...told, code: 0 }),
    (told: { code: number; stdout: string }) => told,
  );
  return [code, JSON.parse(stdout) as Found];
}

describe("in JavaScript", () => {
  it("a right layer passes", async () => {
    const [status, { findings, faults }] = await checked(join(suite, "plain.mjs"));
    expect([status, faults, findings.filter(({ ok }) => !ok)]).toEqual([0, [], []]);
    expect(findings).toHaveLength(15);
  });

  it.each(byTurns(FAULTS, 5).filter((fault) => !OF_GRADIENTS.includes(fault)))(
    "%s is told",
    { tags: "long" },
    async (fault) => {
      const text = `import { layer } from ${JSON.stringify(join(suite, "faults.mjs"))};
export const { train, generate, decode } = layer("${fault}");\n`;
      const [status, { faults }] = await checked(folder.file(`${fault}.mjs`, text));
      expect([status, faults]).toEqual([4, [[fault]]]);
    },
  );

  it("a module that throws, or gives what nobody asked for, fails by name", async () => {
    const [status, { findings, faults }] = await checked(
      folder.file(
        "broken.mjs",
        `export const train = () => ({ y: [], other: 1 });
export function generate() { throw new Error("not today"); }\n`,
      ),
    );
    expect([status, faults]).toEqual([4, []]);
    const errors = (findings as readonly { error?: string }[]).flatMap(({ error }) => error ?? []);
    expect(errors.some((error) => error.includes("not today"))).toBe(true);
    expect(errors.some((error) => error.includes("other: an answer has y"))).toBe(true);
  });
});

describe.skipIf(!hasTorch)(`in PyTorch${torchNote}`, () => {
  const script = new URL("told.py", import.meta.url);

  it("a right layer passes, and each fault is told", { tags: "long" }, async () => {
    const tried = [[], ["rounded-down", "score-order"], ...byTurns(FAULTS, 5, 3).map((fault) => [fault])];
    const found = await askTorch<Found>(
      script,
      tried.map((some) => ({ faults: some })),
    );
    found.forEach(({ findings, faults }, i) => {
      expect(faults).toEqual(tried[i]!.length === 0 ? [] : [tried[i]]);
      expect(findings.every(({ ok }) => ok)).toBe(tried[i]!.length === 0);
      expect(findings).toHaveLength(15);
    });
  });

  it("what `modc export --to torch` writes passes", { tags: "long" }, async () => {
    // The predictor's loss comes with an objective, of a kind that exports have.
    const own = "mean(forward(x) * probe)";
    const source = readFileSync(join(suite, "layer.mod"), "utf8");
    expect(source).toContain(own);
    const text = source.replace(own, "bce(forward(x)[..., 0], probe[..., 0])");
    const folders: Record<string, string> = {};
    for (const { capacity, gate } of CASES) {
      const share = capacity.denominator === 1 ? "1" : `${capacity.numerator}/${capacity.denominator}`;
      const path = join(folder.path, `${share} ${gate}`.replaceAll("/", "-"));
      if (`${share} ${gate}` in folders) continue;
      folders[`${share} ${gate}`] = path;
      mkdirSync(path);
      const { files, models } = exported(text, { set: { capacity: share, gate: JSON.stringify(gate) } });
      for (const [name, file] of files) writeFileSync(join(path, name), file);
      await saveTensors(
        join(path, "model.safetensors"),
        models[0].weights.map(({ path: key, shape }) => ({ key, dtype: "F32", shape, read: async () => zeros(shape) })),
      );
    }
    const [found] = await askTorch<Found>(script, [{ folders }]);
    expect([found!.faults, found!.findings.filter(({ ok }) => !ok)]).toEqual([[], []]);
    expect(found!.findings).toHaveLength(13);
  });
});

const zeros = (shape: readonly number[]): Uint8Array => new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
