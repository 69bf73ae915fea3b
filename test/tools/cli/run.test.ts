// `modc run`: results, output, files, and refusals.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readSafetensors, toBytes, writeSafetensors } from "../../../src/runtime/index.js";
import { GOLDEN, modc, NO_DEVICE, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const path = (name: string): string => join(folder.path, name);
const SMALL = [
  "examples/moby.mod",
  "--set",
  "depth=2",
  "--set",
  "dim=16",
  "--set",
  "heads=2",
  "--set",
  "context=16",
] as const;

interface Printed {
  readonly device: { readonly name: string };
  readonly outputs: Record<string, { readonly dtype: string; readonly shape: number[]; readonly data: number[] }>;
}

async function runJson(args: readonly string[]): Promise<Printed> {
  const { status, stdout, stderr } = await modc(["run", ...args, "--json"]);
  expect([status, stderr]).toEqual([0, expect.not.stringContaining("error")]);
  return JSON.parse(stdout) as Printed;
}

describe("golden.mod", () => {
  it.each(["reference", "software", "swiftshader"])(
    "gives [1, 12, 2, 18] and the route [1, 3] on %s",
    async (device) => {
      const { outputs } = await runJson([...GOLDEN, "--device", device]);
      const { data } = outputs["output"]!;
      [1, 12, 2, 18].forEach((wanted, i) =>
        expect(Math.abs(data[i]! - wanted)).toBeLessThanOrEqual(device === "reference" ? 0 : 1e-6 * wanted),
      );
      expect(outputs["chosen.index"]).toEqual({ dtype: "u32", shape: [1, 2], data: [1, 3] });
      expect(outputs["chosen.count"]!.data).toEqual([2]);
    },
  );

  it("prints results and the route a person can read, and nothing else, on standard output", async () => {
    const { stdout } = await modc(["run", ...GOLDEN, "--device", "reference"]);
    expect(stdout).toBe(
      "output: f32[1, 4, 1] = [[[1], [12], [2], [18]]]\n\ntokens computed (█) and skipped (·)\nchosen 2/4  ·█·█\n",
    );
  });

  it("is refused when generating, at the span of top", async () => {
    const { status, stderr } = await modc(["run", ...GOLDEN, "--phase", "generate"]);
    expect(status).toBe(1);
    expect(stderr).toContain("golden.mod:17:14: error[non-causal-choice]");
  });

  it("--check measures a gradient that cancels out against the others", async () => {
    // A token's only gate is divided by itself: the router's gradient is nothing but rounding.
    const source = folder.file(
      "alone.mod",
      `import { MoE, SwiGLU } from "std"
model M() {
  moe: MoE([SwiGLU(16, 16), SwiGLU(16, 16)], 16, 1, gate: "sigmoid", renormalize: true)
  forward(x: f32[B, T, 16]) -> f32[B, T, 16] { moe(x) }
  objective(x: f32[B, T, 16], y: f32[B, T, 16]) { loss mse = mean((forward(x) - y) ^ 2) }
}`,
    );
    const values = (n: number) => [
      Array.from({ length: 5 }, (_, t) => Array.from({ length: 16 }, (_, c) => Math.sin(n + 7 * t + c))),
    ];
    const inputs = [1, 2].flatMap((n) => ["--input", `${"xy"[n - 1]}=${JSON.stringify(values(n))}`]);
    const words = ["run", source, "--phase", "train", "--gradients", ...inputs, "--seed", "1", "--device", "software"];
    const { status, stdout, stderr } = await modc([...words, "--check"]);
    expect([status, stdout + stderr]).toEqual([0, expect.stringContaining("check: agrees with the reference")]);
  });

  it.each(["reference", "software"])("--gradients has zeros for what reaches no loss, on %s", async (device) => {
    const source = folder.file(
      "idle.mod",
      `import { Linear } from "std"
model M(dim: int = 2) {
  a: Linear(dim, dim, bias: false)
  /// only \`forward\` reads it
  b: Linear(dim, dim, bias: false)
  // @allow unread-weight: nothing reads it
  c: Linear(3, dim)
  weight cut: f32[dim] = ones
  forward(x: f32[B, T <= 8, dim]) -> f32[B, T, dim] { b(a(x)) }
  objective(x: f32[B, T <= 8, dim]) { loss l = mean((a(x) * stop_gradient(cut)) ^ 2) }
}`,
    );
    const words = [source, "--phase", "train", "--gradients", "--input", "x=[[[1,2]]]", "--device", device];
    const { outputs } = await runJson(words);
    const found = Object.entries(outputs).filter(([name]) => name.startsWith("grad."));
    expect(
      Object.fromEntries(found.map(([name, { shape, data }]) => [name, [shape, data.every((v) => v === 0)]])),
    ).toEqual({
      "grad.a.weight": [[2, 2], false],
      "grad.b.weight": [[2, 2], true],
      "grad.c.weight": [[2, 3], true],
      "grad.c.bias": [[2], true],
      "grad.cut": [[2], true],
    });
  });

  it("--check holds the device against the reference", async () => {
    const { status, stdout } = await modc(["run", ...GOLDEN, "--check", "--device", "software"]);
    expect([status, stdout]).toEqual([0, expect.stringContaining("check: agrees with the reference")]);
  });
});

describe("inputs", () => {
  it("come from JSON files and safetensors files alike", async () => {
    const json = folder.file("x.json", "[[[1],[3],[2],[4]]]");
    const tensors = folder.file(
      "x.safetensors",
      writeSafetensors([
        { key: "x", dtype: "F32", shape: [1, 4, 1], data: toBytes(Float32Array.of(1, 3, 2, 4), "F32") },
      ]),
    );
    for (const file of [json, tensors])
      expect(
        (await runJson(["examples/golden.mod", "--input", `x=@${file}`, "--device", "reference"])).outputs["output"]!
          .data,
      ).toEqual([1, 12, 2, 18]);
  });

  it("several sequences with lengths: beyond the end there are zeros", async () => {
    const { outputs } = await runJson([
      "examples/golden.mod",
      "--input",
      "x=[[[1],[3],[2],[4]],[[5],[6],[9],[9]]]",
      "--lengths",
      "4,1",
      "--device",
      "reference",
    ]);
    expect(outputs["output"]!.data).toEqual([1, 12, 2, 18, 30, 0, 0, 0]);
    expect(outputs["chosen.count"]!.data).toEqual([2, 1]);
  });

  it("text is cut at the model's bound, and it is said", async () => {
    const { status, stdout, stderr } = await modc([
      "run",
      ...SMALL,
      "--text",
      "Call me Ishmael. Some years ago",
      "--device",
      "reference",
    ]);
    expect(status).toBe(0);
    expect(stderr).toContain("note: the text has 31 bytes, the model reads the first 16");
    expect(stderr).toContain("note: no --weights: the model starts from seed 0");
    expect(stdout).toMatch(/^output: most likely next bytes: \S+ \d+\.\d%/);
    expect(stdout).toMatch(/\n +Call me Ishmael\.\nlayers\.1\.chosen 2\/16 +[·█]{16}\n$/);
  });

  it("what --json prints of numbers that are not finite is read again", async () => {
    const x = 'x=[[["NaN"],["Infinity"],["-Infinity"],[4]]]';
    const model = folder.file("same.mod", "model Same() {\n  forward(x: f32[B, T <= 4, 1]) -> f32[B, T, 1] { x }\n}\n");
    for (const device of ["reference", "software"])
      expect((await runJson([model, "--input", x, "--device", device])).outputs["output"]!.data).toEqual([
        "NaN",
        "Infinity",
        "-Infinity",
        4,
      ]);
  });

  it("a name too many is answered by what there is, and that may be nothing", async () => {
    expect((await modc(["run", "examples/golden.mod", "--input", "y=1"])).stderr).toContain(
      "hint: it takes x: f32[B, T, 1]: give `--input x=[[…]]`",
    );
    // Without an input no program has a batch, so only a program made by hand is like that.
    const { inputs: _none, ...rest } = JSON.parse((await modc(["compile", "examples/golden.mod"])).stdout) as Record<
      string,
      unknown
    >;
    const file = folder.file("nothing.json", JSON.stringify({ ...rest, inputs: [] }));
    expect((await modc(["run", file, "--input", "y=1"])).stderr).toContain("hint: it takes no inputs\n");
  });

  it("several texts are a batch of unequal lengths", async () => {
    const { outputs } = await runJson([...SMALL, "--text", "Call", "--text", "Call me", "--device", "reference"]);
    expect(outputs["output"]!.shape).toEqual([2, 7, 256]);
    const alone = await runJson([...SMALL, "--text", "Call", "--device", "reference"]);
    expect(outputs["output"]!.data.slice(0, 4 * 256)).toEqual(alone.outputs["output"]!.data);
  });

  it("an objective reads text as tokens and the bytes that follow them", async () => {
    const { outputs } = await runJson([
      ...SMALL,
      "--enter",
      "objective",
      "--phase",
      "infer",
      "--text",
      "Call me",
      "--device",
      "reference",
    ]);
    expect(outputs["loss"]!.data[0]).toBeCloseTo(outputs["loss.next_token"]!.data[0]!, 12);
    expect(outputs["loss"]!.data[0]).toBeGreaterThan(1);
  });

  it.each<[string, readonly string[], string]>([
    ["none", ["examples/golden.mod"], "input x is missing"],
    ["another name", ["examples/golden.mod", "--input", "y=[1]"], "the model has no input y"],
    ["no JSON", ["examples/golden.mod", "--input", "x=[[1"], "--input x is not JSON"],
    [
      "an infinity in tokens",
      [...SMALL, "--input", 'tokens=[["Infinity"]]'],
      "tokens[0][0] is Infinity: u32 takes whole numbers",
    ],
    ["words", ["examples/golden.mod", "--input", 'x=[[["a"]]]'], 'x[0][0][0] is "a", which is not a number'],
    ["ragged", ["examples/golden.mod", "--input", "x=[[[1],[2]],[[3]]]"], "x[1] has 1 entries, its first neighbour 2"],
    ["of the wrong rank", ["examples/golden.mod", "--input", "x=[[1,2]]"], "[1, 2]"],
    ["of the wrong width", ["examples/golden.mod", "--input", "x=[[[1,2]]]"], "[1, 1, 2]"],
    ["beyond the bound", ["examples/golden.mod", "--input", `x=[[${"[1],".repeat(64)}[1]]]`], "65"],
    ["without tokens", ["examples/golden.mod", "--input", "x=[[]]"], "x"],
    [
      "a file that is not there",
      ["examples/golden.mod", "--input", "x=@none.json"],
      "cannot read none.json: there is no such file",
    ],
    ["a token beyond the vocabulary", [...SMALL, "--input", "tokens=[[1,300]]"], "300"],
    ["a negative token", [...SMALL, "--input", "tokens=[[-1]]"], "-1"],
    ["half a token", [...SMALL, "--input", "tokens=[[0.5]]"], "0.5"],
    ["lengths beyond the input", [...GOLDEN, "--lengths", "5"], "lengths[0] is 5"],
    ["too many lengths", [...GOLDEN, "--lengths", "2,2"], "lengths needs an entry for each sequence"],
    ["lengths of no axis", [...GOLDEN, "--lengths", "S=2"], "the inputs have no sequences along S"],
    [
      "text for a model of numbers",
      ["examples/golden.mod", "--text", "hello"],
      "--text needs a model with one input of tokens",
    ],
    ["an empty text", [...SMALL, "--text", ""], "is empty"],
    [
      "a live parameter that is none",
      [...GOLDEN, "--live", "capacity=50%"],
      "the model has no live parameter capacity",
    ],
    ["a program that is not a program", [folder.file("p.json", "{}"), "--input", "x=[[[1]]]"], "format"],
    ["a program that is not JSON", [folder.file("q.json", "nonsense"), "--input", "x=[[[1]]]"], "JSON"],
  ])("refuses %s with one message", async (_name, args, message) => {
    for (const device of args[0]!.endsWith(".json") ? ["software"] : ["reference", "software"]) {
      const { status, stdout, stderr } = await modc(["run", ...args, "--device", device]);
      expect(stderr).toContain(message);
      expect(stderr.match(/^error: /gm)).toHaveLength(1);
      expect(stderr).not.toMatch(/^ +at |modc bug/m);
      expect([status, stdout]).toEqual([1, ""]);
    }
  });
});

describe("weights and programs", () => {
  it("init writes the same bytes every time, and run from them is run from the seed", async () => {
    for (const name of ["a.safetensors", "b.safetensors"])
      expect((await modc(["init", ...SMALL, "--seed", "3", "-o", path(name)])).status).toBe(0);
    expect(readFileSync(path("a.safetensors")).equals(readFileSync(path("b.safetensors")))).toBe(true);
    const [fromFile, fromSeed] = [
      ["--weights", path("a.safetensors")],
      ["--seed", "3"],
    ].map((given) => runJson([...SMALL, "--text", "Call me", ...given, "--device", "software"]));
    expect((await fromFile!).outputs).toEqual((await fromSeed!).outputs);
  });

  it("a compiled program gives what its source gives", async () => {
    expect((await modc(["compile", "examples/golden.mod", "-o", path("golden.json")])).status).toBe(0);
    const [, ...input] = GOLDEN;
    expect((await runJson([path("golden.json"), ...input])).outputs).toEqual((await runJson(GOLDEN)).outputs);
  });

  it("a compiled program takes no parameters and has no reference", { tags: "long" }, async () => {
    for (const option of [["--set", "n=1"], ["--phase", "infer"], ["--device", "reference"], ["--check"]]) {
      const { status, stderr } = await modc(
        ["run", path("golden.json"), "--input", "x=[[[1],[3],[2],[4]]]", ...option],
        { env: NO_DEVICE },
      );
      expect([status, stderr]).toEqual([2, expect.stringMatching(/^error: .*\n( {2}hint: .*\n)?$/)]);
    }
  });

  it("a program for another device is refused, and not as a fault of modc", async () => {
    const file = path("mesa.json");
    await modc(["compile", ...SMALL, "--device", "software", "-o", file]);
    const { status, stderr } = await modc(["run", file, "--device", "swiftshader", "--text", "a whale"]);
    expect(status).toBe(1);
    expect(stderr).toContain("error: the program was compiled for mesa-software and needs subgroups of 8");
    expect(stderr).toContain("hint: compile it for this device");
  });
  it("a compiled program that was damaged is refused in one sentence", async () => {
    const text = (await modc(["compile", "examples/golden.mod"])).stdout;
    for (const [name, broken] of [
      ["syntax", text.replace("fn main(", "fn main((")],
      ["entry", text.replace("fn main(", "fn another(")],
      ["binding", text.replace("@binding(1)", "@binding(7)")],
    ] as const) {
      expect(broken).not.toBe(text);
      const file = folder.file(`damaged-${name}.json`, broken);
      const { status, stdout, stderr } = await modc([
        "run",
        file,
        "--input",
        "x=[[[1],[3],[2],[4]]]",
        "--device",
        "software",
      ]);
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(
        /^error: \S+damaged-\w+\.json does not run: the device .*\n {2}hint: compile it again from source.*\n$/,
      );
    }
  });

  it("-o writes results by name and routes by path", async () => {
    expect((await modc(["run", ...GOLDEN, "--device", "reference", "-o", path("results.safetensors")])).status).toBe(0);
    const file = readSafetensors(readFileSync(path("results.safetensors")));
    expect([...file.tensors].map(([key, t]) => [key, t.dtype, t.shape])).toEqual([
      ["output", "F32", [1, 4, 1]],
      ["chosen.index", "U32", [1, 2]],
      ["chosen.count", "U32", [1]],
    ]);
    expect(new Float32Array(new Uint8Array(await file.read("output")).buffer)).toEqual(Float32Array.of(1, 12, 2, 18));
  });

  it.each<[string, () => Uint8Array | string, string]>([
    ["nothing", () => new Uint8Array(0), "is not a safetensors file"],
    ["a header longer than the file", () => Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 0, 123, 125), "truncated"],
    ["a length that overflows", () => new Uint8Array(16).fill(255), "header"],
    ["no JSON", () => Buffer.concat([Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0), Buffer.from("oops")]), "broken header"],
    [
      "other tensors",
      () => writeSafetensors([{ key: "__proto__", dtype: "F32", shape: [1], data: new Uint8Array(4) }]),
      'missing: "router"',
    ],
    [
      "a wrong shape",
      () => writeSafetensors([{ key: "router", dtype: "F32", shape: [2], data: new Uint8Array(8) }]),
      'wrong shape: "router" is [2], the model has [1]',
    ],
    [
      "a wrong type",
      () => writeSafetensors([{ key: "router", dtype: "I32", shape: [1], data: new Uint8Array(4) }]),
      "wrong type",
    ],
  ])("refuses weights that are %s, on the device and on the reference", async (name, make, message) => {
    const file = folder.file(`${name.replaceAll(" ", "-")}.safetensors`, make());
    for (const device of ["reference", "software"]) {
      const { status, stdout, stderr } = await modc(["run", ...GOLDEN, "--weights", file, "--device", device]);
      expect(stderr).toContain(message);
      expect(stderr).not.toMatch(/^ +at |modc bug/m);
      expect([status, stdout]).toEqual([1, ""]);
    }
  });

  it("refuses weights that are not there, and results that cannot be written", async () => {
    expect((await modc(["run", ...GOLDEN, "--weights", path("none.safetensors")])).stderr).toContain(
      "there is no such file",
    );
    const { status, stderr } = await modc([
      "run",
      ...GOLDEN,
      "--device",
      "reference",
      "-o",
      path("no/such/folder.safetensors"),
    ]);
    expect([status, stderr]).toEqual([1, expect.stringContaining(`there is no folder ${path("no/such")}\n`)]);
    const program = await modc(["compile", "examples/golden.mod", "-o", path("no/such/golden.json")]);
    expect([program.status, program.stderr]).toEqual([
      1,
      `error: cannot write ${path("no/such/golden.json")}: there is no folder ${path("no/such")}\n`,
    ]);
  });
});
