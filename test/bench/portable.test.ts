// The portable folder: every stage ends in time, and the report names each failed stage. The soak makes a portable
// folder and runs it in a root that otherwise has only a driver.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLines } from "../../bench/portable/lines.js";
import { holds, markdown } from "../../bench/portable/report.js";
import { runStages, type Outcome } from "../../bench/portable/stages.js";
import { portable } from "../../scripts/portable.mjs";
import { soaking } from "../soak.js";

describe("stages", () => {
  const script = (name: string, text: string, limit = 20) => ({ name, args: ["-e", text], limit, must: true });

  it("go on after one that fails, one that hangs and one that is killed", { tags: "long" }, async () => {
    const told: string[] = [];
    const stages = [
      script("fails", "console.error('why'); process.exit(3)"),
      script("hangs", 'console.log(\'{"name": "one"}\'); setInterval(() => {}, 1000)', 0.5),
      script("is killed", "process.kill(process.pid, 'SIGKILL')"),
      script("is fine", "console.log('done')"),
    ];
    const outcomes = await runStages(stages, performance.now() + 60_000, process.env, (text) => told.push(text));
    expect(outcomes.map(({ status }) => status)).toEqual(["failed", "out of time", "failed", "fine"]);
    expect(outcomes[0]!.stderr).toBe("why\n");
    expect(readLines(outcomes[1]!.stdout)).toEqual([{ name: "one" }]);
    expect(outcomes[3]!.stdout).toBe("done\n");
    expect(told).toHaveLength(4);
  });

  it("end at once where the run is interrupted", async () => {
    const stop = new AbortController();
    const stages = [script("hangs", "setInterval(() => {}, 1000)"), script("is next", "")];
    const running = runStages(stages, performance.now() + 60_000, process.env, () => {}, stop.signal);
    setTimeout(() => stop.abort(), 100);
    expect((await running).map(({ status }) => status)).toEqual(["out of time", "not begun"]);
  });

  it("are not begun where no time is left", async () => {
    const outcomes = await runStages([script("late", "")], performance.now() + 1000, process.env, () => {});
    expect(outcomes.map(({ status }) => status)).toEqual(["not begun"]);
  });
});

describe("the report", () => {
  const fine: Outcome = {
    name: "device",
    status: "fine",
    seconds: 1,
    must: true,
    stdout: "device: a GPU\n",
    stderr: "",
  };
  const of = (...outcomes: readonly Outcome[]) => ({ date: "2026-11-27", outcomes: [fine, ...outcomes] });

  it("shows what was measured, also before a stage ended too early", () => {
    const stdout =
      '{"name":"product","ms":2,"gflops":1000,"off":1e-6,"right":true}\n{"name":"next","fault":"a | b"}\n{"na';
    const run = of({ ...fine, name: "measure products", status: "out of time", must: false, stdout });
    expect(holds(run)).toBe(true);
    const text = markdown(run);
    expect(text).toContain("device: a GPU");
    expect(text).toContain("| product | 2.000 | 1000 | 1.0e-6 |");
    expect(text).toContain("| next: a / b | | | | | |");
    expect(text).toContain("1 of 1 proofs");
  });

  it("shows beside what was measured what was estimated for cards that were not there", () => {
    const stdout = '{"name":"product-1024","ms":0.2,"estimates":{"navi31":78,"navi21":120}}\n{"name":"other","ms":1}\n';
    const text = markdown(of({ ...fine, name: "measure hypotheses", must: false, stdout }));
    expect(text).toContain("| case | measured here | estimated for navi31 | estimated for navi21 |");
    expect(text).toContain("| product-1024 | 200 | 78.0 | 120 |");
    expect(text).not.toContain("| other | 1000 |");
  });

  it("fails where a proof failed or a result is wrong, not where time ran out", () => {
    expect(markdown(of({ ...fine, name: "tune", stdout: "a product: 1.2 x" }))).toMatch(/tuning gained[^]*1\.2 x/);
    const verify: Outcome = { ...fine, name: "verify moby.mod", status: "failed", stderr: "it differs" };
    expect(holds(of(verify))).toBe(false);
    expect(markdown(of(verify))).toMatch(/## verify moby\.mod failed\n[^]*it differs/);
    expect(holds(of({ ...verify, status: "not begun" }))).toBe(true);
    expect(holds(of({ ...verify, must: false }))).toBe(true);
    const wrong = {
      ...verify,
      status: "fine",
      must: false,
      stdout: '{"name":"product","off":1,"right":false}\n',
    } as const;
    expect(holds(of(wrong))).toBe(false);
    expect(markdown(of(wrong))).toContain("**wrong**");
  });
});

const libraries = "/usr/lib/x86_64-linux-gnu";
const manifest = "/usr/share/vulkan/icd.d/lvp_icd.json";
const jailed = soaking && process.getuid?.() === 0 && existsSync(manifest) && process.arch === "x64";

describe.runIf(jailed)(
  "a folder in a root that has nothing but a driver (root and Mesa's software device only)",
  () => {
    it("proves, measures and reports", { timeout: 600_000 }, async () => {
      const work = mkdtempSync(join(tmpdir(), "modc-portable-"));
      try {
        const folder = join(work, "folder");
        const made = await portable(folder);
        expect(made!.bytes).toBeLessThan(60e6);
        const root = join(work, "root");
        const into = (path: string): void => {
          mkdirSync(dirname(join(root, path)), { recursive: true });
          if (!existsSync(join(root, path))) copyFileSync(realpathSync(path), join(root, path));
        };
        const { ICD } = JSON.parse(readFileSync(manifest, "utf8")) as { ICD: { library_path: string } };
        const driver = ICD.library_path.startsWith("/") ? ICD.library_path : join(libraries, ICD.library_path);
        const linked = spawnSync("ldd", [driver], { encoding: "utf8" }).stdout.matchAll(/(?:=> |^\s*)(\/\S+)/gm);
        for (const path of [manifest, driver, "/bin/sh", ...[...linked].map((match) => match[1]!)]) into(path);
        for (const name of ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0"]) into(join(libraries, name));
        for (const name of ["dev", "proc", "modc"]) mkdirSync(join(root, name));
        const script = `mount --bind ${folder} ${root}/modc && mount --bind /dev ${root}/dev &&
        mount -t proc proc ${root}/proc && exec chroot ${root} /bin/sh /modc/run.sh --seconds 180`;
        const { status, stdout, stderr } = spawnSync("unshare", ["--mount", "--fork", "sh", "-c", script], {
          encoding: "utf8",
          env: { PATH: process.env["PATH"], LD_LIBRARY_PATH: libraries },
        });
        expect(stdout, stderr).toContain("16-bit floats: right");
        expect(stdout).toMatch(/fine +\S+ s {2}verify golden\.mod/);
        expect(status).toBe(0);
        const report = JSON.parse(readFileSync(join(folder, "results", "results.json"), "utf8")) as { holds: boolean };
        expect(report.holds).toBe(true);
        expect(statSync(join(folder, "results", "results.md")).size).toBeGreaterThan(500);
      } finally {
        rmSync(work, { recursive: true, force: true });
      }
    });
  },
);
