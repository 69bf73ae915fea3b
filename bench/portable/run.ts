// What `run.sh` of a portable folder runs: says what the device is, tests it, proves the examples on it, measures, and
// leaves one JSON and one Markdown file. `run.sh [--seconds <n>] [folder for the results]`.
import { accessSync, constants, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { driverManifests } from "../../src/runtime/device/drivers-node.js";
import { loadVulkan, SYSTEM_LOADER } from "../../src/runtime/device/swiftshader-node.js";
import { PARTS, readLines, type Part } from "./lines.js";
import { holds, markdown, type Run } from "./report.js";
import { runStages, type Stage } from "./stages.js";

const modc = fileURLToPath(new URL("..", import.meta.url));
const folder = resolve(modc, "..");
const example = (name: string): string => join(modc, "examples", name);
const cli = (...words: string[]): readonly string[] => [join(modc, "dist", "src", "cli", "main.js"), ...words];

/** Nine minutes, with room for the last stage's end. */
const MOST_SECONDS = 530;

/** Models too large for the reference, cut in width and depth. */
const SMALL: Readonly<Record<string, readonly string[]>> = {
  "llama.mod": ["depth=2", "vocab=512", "dim=192", "heads=3", "kv_heads=1", "hidden=512"],
  "mor.mod": ["layers=2", "vocab=512", "dim=192", "heads=3", "kv_heads=1", "hidden=512"],
  "smollm-mod.mod": ["depth=2", "vocab=512", "dim=192", "heads=3", "kv_heads=1", "hidden=512"],
  "p-mod.mod": ["dim=64", "heads=4", "hidden=96"],
};

function verify(name: string): Stage {
  const set = (SMALL[name] ?? []).flatMap((pair) => ["--set", pair]);
  const weights = name === "moby.mod" ? ["--weights", example("moby.safetensors")] : [];
  const fault = join(results, `${name.replace("/", "-")}-fault.json`);
  return {
    name: `verify ${name}`,
    args: cli("verify", example(name), "--batch", "2", "--length", "16", "-o", fault, ...set, ...weights),
    limit: name === "moby.mod" ? 120 : 60,
    must: true,
  };
}

const LIMITS = { peak: 30, hypotheses: 45, products: 90, blocks: 90, generation: 90, llama: 100 } as const;

function stagesOf(): readonly Stage[] {
  const models = ["", "variants"].flatMap((under) =>
    readdirSync(example(under))
      .filter((file) => file.endsWith(".mod"))
      .map((file) => join(under, file)),
  );
  const measured = (part: Part): Stage => ({
    name: `measure ${part}`,
    args: [join(modc, "bench", "measure.js"), part],
    limit: LIMITS[part],
    must: false,
  });
  const tune = { name: "tune", args: cli("tune", "--budget", "45s", "-o", join(results, "tunings.json")), limit: 75 };
  // The first proof and what is measured come first; the rest takes the time that is left.
  return [
    { name: "device", args: cli("doctor"), limit: 60, must: true },
    verify("golden.mod"),
    verify("moby.mod"),
    ...PARTS.filter((part) => part !== "hypotheses").map(measured),
    { ...tune, must: false },
    measured("hypotheses"),
    ...models.filter((name) => !["golden.mod", "moby.mod"].includes(name)).map(verify),
  ];
}

/**
 * The environment of stages. The folder's libraries are used if the system has none, and files are written in `results`
 * only.
 */
function environment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, XDG_CACHE_HOME: join(results, "cache"), MODC_NO_INSTALL: "1" };
  if (!loadVulkan(SYSTEM_LOADER))
    env["LD_LIBRARY_PATH"] = [env["LD_LIBRARY_PATH"], join(folder, "lib", "vulkan")].filter(Boolean).join(":");
  // Containers have NVIDIA's libraries, but not always the file by which the loader finds them.
  const library = ["libGLX_nvidia.so.0", "libEGL_nvidia.so.0"].find(loadVulkan);
  if (driverManifests(process.env).length > 0 || library === undefined) return env;
  const manifest = join(results, "nvidia_icd.json");
  const icd = { library_path: library, api_version: "1.3.0" };
  writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD: icd }));
  return { ...env, VK_DRIVER_FILES: manifest };
}

function writable(place: string): boolean {
  try {
    accessSync(place, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const words = process.argv.slice(2);
const secondsAt = words.indexOf("--seconds");
const [seconds = MOST_SECONDS] = secondsAt < 0 ? [] : words.splice(secondsAt, 2).slice(1).map(Number);
if (!(seconds > 0 && seconds <= MOST_SECONDS)) throw new Error(`--seconds is 1 to ${MOST_SECONDS}`);
const until = performance.now() + seconds * 1000;
const results = resolve(words[0] ?? join(writable(folder) ? folder : process.cwd(), "results"));
mkdirSync(results, { recursive: true });

const say = (text: string): void => void process.stdout.write(`${text}\n`);
// On an interrupt, the run reports the results so far.
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => interrupted.abort());
const outcomes = await runStages(stagesOf(), until, environment(), say, interrupted.signal);
const run: Run = { date: new Date().toISOString(), outcomes };
const measured = Object.fromEntries(outcomes.map(({ name, stdout }) => [name, readLines(stdout)]));
writeFileSync(join(results, "results.json"), `${JSON.stringify({ ...run, holds: holds(run), measured }, null, 1)}\n`);
writeFileSync(join(results, "results.md"), markdown(run));
say(`\n${markdown(run)}\nwrote ${join(results, "results.json")} and ${join(results, "results.md")}`);
process.exitCode = interrupted.signal.aborted ? 130 : holds(run) ? 0 : 1;
