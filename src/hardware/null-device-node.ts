// A GPU that does not exist: the driver of a card opened without the card, behind the layer of layer.c, in a process of
// its own. Its compiler translates kernels as for the card.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { layerFiles } from "../embedded.js";
import type { Target } from "../program/target.js";
import { userCache } from "../runtime/cache-node.js";
import { driverManifests } from "../runtime/drivers-node.js";
import { NoDeviceError } from "../runtime/errors.js";
import type { Card } from "./cards.js";

type Environment = Readonly<Record<string, string | undefined>>;

/** What the compiler reports of a pipeline; facts. */
export interface Pipeline {
  readonly number: number;
  /** Lanes of a subgroup. */
  readonly subgroup: number;
  /** Processor time of the compiler in milliseconds. */
  readonly compileMs: number;
  /** By the driver's own names. */
  readonly statistics: Readonly<Record<string, number>>;
  /** The machine code as text; empty where the driver gives none. */
  readonly code: string;
}

const INSTALL = "apt-get install -y --no-install-recommends gcc libc6-dev libvulkan1 libvulkan-dev mesa-vulkan-drivers";

/** Why this machine has no null device, with what to install; null where it has one. */
export function missingForNullDevice(env: Environment): NoDeviceError | null {
  const lacks = (what: string, hint = INSTALL): NoDeviceError => new NoDeviceError(what, { hint });
  if (process.platform !== "linux")
    return lacks("the drivers that open cards without hardware run on Linux only", "use Linux");
  if (radvManifest(env) === null) return lacks("Mesa's RADV, the driver of AMD's cards, is not installed");
  if (spawnSync(compilerOf(env), ["--version"], { stdio: "ignore" }).status !== 0)
    return lacks(`there is no C compiler \`${compilerOf(env)}\`, which the layer before the driver needs`);
  return null;
}

const compilerOf = (env: Environment): string => env["CC"] || "cc";

function radvManifest(env: Environment): string | null {
  const { VK_DRIVER_FILES: _files, VK_ICD_FILENAMES: _names, ...rest } = env;
  return driverManifests(rest).find((path) => /^radeon_icd.*\.json$/.test(basename(path))) ?? null;
}

/** The folder of the compiled layer, in the user's cache; it is compiled once for each version. */
export function layerFolder(env: Environment): string {
  const missing = missingForNullDevice(env);
  if (missing) throw missing;
  const source = layerFiles["layer.c"]!;
  const version = createHash("sha256").update(source).digest("hex").slice(0, 16);
  const folder = join(userCache(env), "hardware", version);
  if (existsSync(join(folder, "layer.json"))) return folder;
  const fresh = `${folder}-${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  writeFileSync(join(fresh, "layer.c"), source);
  const { status, stderr } = spawnSync(
    compilerOf(env),
    ["-O2", "-shared", "-fPIC", "-o", join(fresh, "libmodc_layer.so"), join(fresh, "layer.c"), "-lpthread"],
    { encoding: "utf8" },
  );
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    const headers = /vulkan\/\w+\.h/.test(stderr ?? "");
    throw new NoDeviceError(
      headers
        ? "the headers of Vulkan are not installed"
        : `the layer cannot be compiled: ${(stderr ?? "").split("\n")[0]!}`,
      { hint: INSTALL },
    );
  }
  const layer = {
    name: "VK_LAYER_MODC_null",
    type: "GLOBAL",
    api_version: "1.4.0",
    library_path: "./libmodc_layer.so",
    implementation_version: "1",
    description: "a driver without hardware",
  };
  writeFileSync(join(fresh, "layer.json"), JSON.stringify({ file_format_version: "1.2.0", layer }));
  try {
    renameSync(fresh, folder);
  } catch (error) {
    // Another process was first.
    if (!existsSync(join(folder, "layer.json"))) throw error;
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}

/** The environment of a process whose Vulkan device is the card; what its compiler says goes to the folder `out`. */
export function nullEnvironment(
  card: Card,
  out: string,
  env: Environment,
  { commands = false }: { readonly commands?: boolean } = {},
): NodeJS.ProcessEnv {
  const layer = layerFolder(env);
  mkdirSync(join(out, "code"), { recursive: true });
  const kept = Object.entries(env).filter(([name]) => !/^(VK_|RADV_|MESA_|MODC_|INTEL_)/.test(name));
  return {
    ...Object.fromEntries(kept),
    RADV_FORCE_FAMILY: card.id,
    VK_DRIVER_FILES: radvManifest(env)!,
    VK_ADD_LAYER_PATH: layer,
    VK_LOADER_LAYERS_ENABLE: "VK_LAYER_MODC_null",
    MESA_SHADER_CACHE_DISABLE: "1",
    XDG_RUNTIME_DIR: env["XDG_RUNTIME_DIR"] ?? out,
    MODC_LAYER_LOG: join(out, "log.jsonl"),
    MODC_LAYER_CODE: join(out, "code"),
    ...(commands && { MODC_LAYER_COMMANDS: "1" }),
  };
}

/** What the process tells. */
export type ChildLine =
  | { readonly kind: "device"; readonly target: Target; readonly name: string }
  | { readonly kind: "compiled"; readonly fault: string | null }
  | { readonly kind: "none"; readonly message: string };

export class NullDevice {
  readonly card: Card;
  /** For which programs are compiled. */
  readonly target: Target;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #out: string;
  readonly #known = new Map<string, Pipeline>();

  private constructor(card: Card, target: Target, child: ChildProcess, lines: AsyncIterator<string>, out: string) {
    this.card = card;
    this.target = target;
    this.#child = child;
    this.#lines = lines;
    this.#out = out;
  }

  /** `program`: the script of the process, hardware-child.js. Throws NoDeviceError with what to install. */
  static async open(card: Card, program: string, env: Environment): Promise<NullDevice> {
    const out = mkdtempSync(join(tmpdir(), "modc-hardware-"));
    try {
      const child = spawn(process.execPath, [program], {
        env: nullEnvironment(card, out, env),
        stdio: ["pipe", "pipe", "pipe"],
      });
      const lines = createInterface({ input: child.stdout });
      const said = errorsOf(child);
      const iterator: AsyncIterator<string> = (lines as Interface & AsyncIterable<string>)[Symbol.asyncIterator]();
      const first = await next(iterator);
      if (first?.kind === "device") return new NullDevice(card, first.target, child, iterator, out);
      child.kill("SIGKILL");
      throw new NoDeviceError(
        `this version of RADV opens no ${card.name} without hardware` +
          (first?.kind === "none" ? ` (${first.message})` : said() === "" ? "" : ` (${said().slice(0, 300)})`),
        { hint: "Mesa 25 does, as Debian 13 has it; Mesa 26 does no more" },
      );
    } catch (fault) {
      rmSync(out, { recursive: true, force: true });
      throw fault;
    }
  }

  /** Has a kernel translated, once for each text. */
  async compile(wgsl: string): Promise<Pipeline> {
    const known = this.#known.get(wgsl);
    if (known) return known;
    const before = this.#log().length;
    this.#child.stdin!.write(`${JSON.stringify(wgsl)}\n`);
    const answer = await next(this.#lines);
    if (answer?.kind !== "compiled") throw new Error(`the process of ${this.card.id} ended at a kernel`);
    const line = this.#log()[before];
    if (answer.fault !== null || line === undefined)
      throw new Error(
        `a kernel does not compile for ${this.card.id}: ${answer.fault ?? "the driver made no pipeline"}`,
      );
    const { pipeline, ...rest } = JSON.parse(line) as Omit<Pipeline, "number" | "code"> & { readonly pipeline: number };
    const path = join(this.#out, "code", `${pipeline}.s`);
    const made = { ...rest, number: pipeline, code: existsSync(path) ? readFileSync(path, "utf8") : "" };
    this.#known.set(wgsl, made);
    return made;
  }

  #log(): readonly string[] {
    const path = join(this.#out, "log.jsonl");
    return existsSync(path)
      ? readFileSync(path, "utf8")
          .split("\n")
          .filter((line) => line.startsWith('{"pipeline"'))
      : [];
  }

  close(): void {
    this.#child.kill("SIGKILL");
    rmSync(this.#out, { recursive: true, force: true });
  }
}

function errorsOf(child: ChildProcess): () => string {
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    if (said.length < 4096) said += text;
  });
  return () => said.trim();
}

/** Lines that are no answers (a driver's own) are passed over. */
async function next(lines: AsyncIterator<string>): Promise<ChildLine | null> {
  for (;;) {
    const { value, done } = await lines.next();
    if (done) return null;
    if (value.startsWith("{")) return JSON.parse(value) as ChildLine;
  }
}
