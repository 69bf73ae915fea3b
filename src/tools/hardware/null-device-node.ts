// A null device: a card's driver, opened without the card through the layer of layer.c, in its own process. Its
// compiler compiles kernels as for the card.
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Target } from "../../runtime/program/target.js";
import { NoDeviceError } from "../../runtime/device/errors.js";
import type { Card, Gpu } from "./isa/cards.js";
import { INTEL_HINT, nullEnvironment, type Environment } from "./drivers-node.js";

/** The compiler's report of a pipeline. */
export interface Pipeline {
  readonly number: number;
  /** Lanes of a subgroup. */
  readonly subgroup: number;
  /** Invocations of a workgroup; 0 if the driver does not report them. */
  readonly threads: number;
  /** Processor time of the compiler in milliseconds. */
  readonly compileMs: number;
  /** Statistics by the driver's own names. */
  readonly statistics: Readonly<Record<string, number>>;
  /** The machine code as text; empty if the driver prints none. */
  readonly code: string;
}

/** Hints for a machine whose driver is installed but opens no such GPU. */
const HINTS: Readonly<Record<Gpu["vendor"], string>> = {
  AMD: "Mesa 25 (Debian 13) does; Mesa 26 no longer does",
  Intel: INTEL_HINT,
};

/** A line that the child process prints. */
export type ChildLine =
  | { readonly kind: "device"; readonly target: Target; readonly name: string }
  | { readonly kind: "compiled"; readonly fault: string | null }
  | { readonly kind: "none"; readonly message: string };

export class NullDevice<G extends Gpu = Card> {
  readonly card: G;
  /** The target to compile programs for. */
  readonly target: Target;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #out: string;
  readonly #known = new Map<string, Pipeline>();

  private constructor(card: G, target: Target, child: ChildProcess, lines: AsyncIterator<string>, out: string) {
    this.card = card;
    this.target = target;
    this.#child = child;
    this.#lines = lines;
    this.#out = out;
  }

  /**
   * Starts the process. `program`: its script, hardware-child.js. Throws NoDeviceError with the packages to install.
   */
  static async open<G extends Gpu>(card: G, program: string, env: Environment): Promise<NullDevice<G>> {
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
        `this version of Mesa's driver cannot open a ${card.name} without hardware` +
          (first?.kind === "none" ? ` (${first.message})` : said() === "" ? "" : ` (${said().slice(0, 300)})`),
        { hint: HINTS[card.vendor] },
      );
    } catch (fault) {
      rmSync(out, { recursive: true, force: true });
      throw fault;
    }
  }

  /** Compiles a kernel; each distinct text is compiled once. */
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

/** The next answer. Other lines, such as the driver's own output, are skipped. */
async function next(lines: AsyncIterator<string>): Promise<ChildLine | null> {
  for (;;) {
    const { value, done } = await lines.next();
    if (done) return null;
    if (value.startsWith("{")) return JSON.parse(value) as ChildLine;
  }
}
