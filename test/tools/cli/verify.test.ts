// `modc verify`: proofs, output, and exit codes after a failure.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { openModel } from "../../../src/models/open-node.js";
import { verify } from "../../../src/tools/cli/verify/verify.js";
import { EXIT } from "../../../src/tools/cli/terminal/exit.js";
import type { Program } from "../../../src/runtime/program/program.js";
import { modc, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
afterEach(() => vi.restoreAllMocks());

const SET = { depth: "2", dim: "16", heads: "2" };
const SMALL = ["verify", "examples/moby.mod", ...Object.entries(SET).flatMap(([name, n]) => ["--set", `${name}=${n}`])];

describe("verify", () => {
  it(
    "says of a sound model that everything holds, prompts and steps included, and how its rules agree on a text",
    { tags: "long" },
    async () => {
      const text = folder.file("text.txt", "all my means are sane, my motive and my object mad. ".repeat(12));
      const data = ["--data", text, "--windows", "3", "--set", "context=40"];
      const { status, stdout, stderr } = await modc([...SMALL, "--batch", "2", "--length", "33", ...data]);
      const lines = stdout.trimEnd().split("\n");
      expect(lines.at(-1)).toBe("everything holds");
      expect(lines.map((l) => l.split(/ +/).slice(0, 3).join(" ").trim())).toEqual([
        ...["passes", "operators", "program", "causality", "rows"].map((what) => `holds ${what} causal`),
        ...["passes", "operators", "program"].map((what) => `holds ${what} top-k`),
        "note causality top-k",
        "holds rows top-k",
        "holds steps causal",
        "note agreement layers.1.chosen:",
        "note perplexity top-k",
        "note perplexity causal",
        "everything holds",
      ]);
      expect(lines[3]).toContain("for prefixes of 1, 3, 7, 15, 31, 32 tokens");
      expect(lines.find((l) => l.includes("agreement"))).toMatch(
        /both rules agree on \d+\.\d% of the tokens; top-k computes 12\.5%/,
      );
      expect(stderr).toContain("note: no --weights");
      expect(status).toBe(0);
    },
  );

  it("ends with 4 where a kernel is wrong, and writes a file that shows it and that later agrees", async () => {
    let printed = "";
    vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      printed += String(text);
      return true;
    });
    vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const output = join(folder.path, "fault.json");
    // A rotation that turns one half of each pair the wrong way.
    const amend = (program: Program): Program => ({
      ...program,
      kernels: program.kernels.map((k) =>
        k.name.startsWith("rope") ? { ...k, wgsl: k.wgsl.replaceAll(" - ", " + ") } : k,
      ),
    });
    const model = await openModel("examples/moby.mod");
    expect(await verify(model, { set: SET, batch: 2, length: 8, output, json: true }, { amend })).toBe(EXIT.check);
    const { holds, findings } = JSON.parse(printed) as {
      holds: boolean;
      findings: { state: string; fault: { kind: string; name: string; place: string } | null }[];
    };
    expect(holds).toBe(false);
    const { fault } = findings.find((f) => f.fault !== null)!;
    expect(fault!.kind).toBe("kernel");
    expect(fault!.name).toMatch(/^rope/);
    expect(fault!.place).toMatch(/^layers\.0\.inner\.attn, std\/attention\.mod:\d+:\d+$/);
    vi.restoreAllMocks();
    expect(JSON.parse(readFileSync(output, "utf8"))).toMatchObject({
      format: "modc reproduction 1",
      fault: { kind: "kernel", name: fault!.name },
    });
    const again = await modc(["verify", output]);
    expect(again.stdout).toContain(`the kernel ${fault!.name} agrees with the reference`);
    expect(again.status).toBe(0);
  });

  it.each([
    [["--device", "reference"], 2, "'reference' is invalid. Allowed choices are gpu, software, swiftshader."],
    [["--length", "9999"], 1, "--length 9999: the model allows 256"],
    [["--data", "nope"], 1, "cannot read nope: there is no such file"],
    [["--batch", "4000000000"], 1, "give smaller sizes: --batch, --length, --at"],
  ])("refuses %s", async (args, status, message) => {
    const ended = await modc([...SMALL, ...args]);
    expect(ended.stderr).toContain(message);
    expect([ended.status, ended.stdout]).toEqual([status, ""]);
  });

  it("takes live parameters at their defaults", { tags: "long" }, async () => {
    const live = folder.file(
      "live.mod",
      `import { Layer, MoD } from "std"
model L(dim: int = 16, live capacity: ratio = 50%) {
  mod: MoD(Layer(dim, 2), dim, capacity)
  forward(x: f32[B, T <= 8, dim]) -> f32[B, T, dim] { mod(x) }
}`,
    );
    const { status, stdout } = await modc(["verify", live]);
    expect([status, stdout.trimEnd().split("\n").at(-1)]).toEqual([0, "everything holds"]);
  });

  it("refuses a file that is no reproduction", async () => {
    const { status, stderr } = await modc(["verify", folder.file("no.json", "{}")]);
    expect(stderr).toContain("it is not a reproduction that modc can read");
    expect(status).toBe(1);
  });
});
