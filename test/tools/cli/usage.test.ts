// What is the user's command line: versions, help, options, files that cannot be read, machines without a device.
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { commandLine } from "../../../src/tools/cli/command-line.js";
import { ELSEWHERE } from "../../../src/tools/cli/tree/other-names.js";
import { GOLDEN, modc, modcProcess, NO_DEVICE, root, temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const MODEL = "model M() { forward(x: f32[B, T <= 4]) -> f32[B, T] { x } }\n";

describe("version and help", () => {
  it("the version comes from the package", async () => {
    const { status, stdout, stderr } = await modcProcess(["--version"]);
    expect([status, stdout, stderr]).toEqual([0, "0.1.0\n", ""]);
  });

  it("the version and help load nothing of the compiler, so that they are there at once", () => {
    const loaded = new Set<string>();
    const visit = (file: string): void => {
      if (loaded.has(file)) return;
      loaded.add(file);
      for (const [, name] of readFileSync(file, "utf8").matchAll(/^(?:import|export)[^"]*\bfrom "(\.[^"]+)"/gm))
        visit(join(dirname(file), name!));
    };
    visit(join(root, "dist", "src", "cli", "main.js"));
    const rooms = new Set([...loaded].map((file) => relative(join(root, "dist", "src"), file).split(sep)[0]!));
    expect(rooms).toEqual(new Set(["cli"]));
    expect(loaded.size).toBeLessThan(30);
  });

  it("a process ends with the code of its command, and each stream has its own", { tags: "long" }, async () => {
    expect(await modcProcess(["check", "examples/moby.mod", "--nonsense"])).toEqual({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining("--nonsense"),
    });
    const broken = await modcProcess(["check", folder.file("broken-process.mod", MODEL.replace("{ x }", "{ y }"))]);
    expect([broken.status, broken.stderr]).toEqual([1, expect.stringContaining("error[unknown-name]")]);
    const ran = await modcProcess(["run", ...GOLDEN, "--device", "software", "--json"]);
    expect([ran.status, JSON.parse(ran.stdout)]).toEqual([
      0,
      expect.objectContaining({ outputs: expect.anything() as unknown }),
    ]);
  });

  it("help lists every command and the exit codes", async () => {
    const { status, stdout } = await modc(["--help"]);
    expect(status).toBe(0);
    for (const command of [
      "check",
      "fmt",
      "ir",
      "wgsl",
      "compile",
      "build",
      "run",
      "init",
      "plan",
      "profile",
      "cost",
      "train",
      "eval",
      "explain",
      "doctor",
      "doc",
    ])
      expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    expect(stdout).toContain("Exit codes: 0 fine");
  });
});

describe("usage faults exit with 2, and say what is wrong on standard error", () => {
  it.each([
    [[], "Usage: modc"],
    [["frobnicate"], "unknown command 'frobnicate'"],
    [["check"], "missing required argument 'file'"],
    [["check", "examples/moby.mod", "--phase", "dream"], "Allowed choices are infer, train, generate"],
    [["run", "examples/golden.mod", "--gradients"], "--gradients needs a loss, which an objective has"],
    [["check", "examples/moby.mod", "--nonsense"], "unknown option '--nonsense'"],
    [["check", "examples/moby.mod", "--set", "depth"], '--set "depth" has no name and value'],
    [["check", "examples/moby.mod", "--set", "depth=2", "--set", "depth=3"], "--set sets depth twice"],
    [["run", ...GOLDEN, "--input", "x=[[[1]]]"], "--input sets x twice"],
    [["eval", "x.mod", "--validation", "much"], '--validation "much" is not a share of the text'],
    [["ir", "examples/golden.mod", "--after", "magic"], 'there is no pass "magic"'],
    [["run", ...GOLDEN, "--seed", "-1"], '--seed "-1" is not a whole number from 0 to 4294967295'],
    [["run", ...GOLDEN, "--seed", "1.5"], "is not a whole number"],
    [["run", ...GOLDEN, "--lengths", "2,x"], '--lengths "x" is not a whole number'],
    [["run", ...GOLDEN, "--require-gpu"], "--require-gpu is now called --device gpu\n  hint: write --device gpu"],
    [["train", "x.mod", "--context", "64"], "--context is now called --length\n  hint: write --length 64"],
    [
      ["train", "x.mod", "--validation-windows=9"],
      "--validation-windows is now called --windows\n  hint: write --windows 9",
    ],
    [["eval", "x.mod", "--last"], "--last is now called --validation\n  hint: write --validation <share>"],
    [
      ["cost", "examples/moby.mod", "--at", "B=2"],
      "--at B=2: the number of sequences is set by --batch\n  hint: write --batch 2",
    ],
    [["generate", "x.mod", "--device", "reference"], "Allowed choices are gpu, software, swiftshader."],
    [["chekc", "x.mod"], "unknown command 'chekc'\n  hint: did you mean check?"],
    [["check", "x.mod", "--jsno"], "unknown option '--jsno'\n  hint: did you mean --json?"],
    [["generate", "x.gguf", "-p", "a", "--n-predict", "64"], "'--n-predict'\n  hint: did you mean --max-tokens 64?"],
    [["generate", "x.gguf", "-p", "a", "--temp=0.3", "--top_k", "5"], "did you mean --temperature 0.3 --top-k 5?"],
    [["generate", "x.gguf", "--file", "my prompt.txt"], 'did you mean --prompt "@my prompt.txt"?'],
    [["generate", "x.gguf", "-p", "a", "--load-in-4bit"], "did you mean --weights-as q4?"],
    [["generate", "x.gguf", "-p", "a", "-ngl", "99"], "modc generate has no -ngl: all layers run on the device"],
    [["generate", "x.gguf", "-p", "a", "-c", "512"], "modc generate has no -c: caches grow with the text"],
    [["generate", "-m", "x.gguf", "-p", "a"], "the model is the first argument: modc generate x.gguf"],
    [["serve", "x.gguf", "--max-model-len", "4096", "-a", "b"], "did you mean --context 4096 --name b?"],
    [
      ["train", "x.mod", "--max_steps", "9", "-o", "x"],
      "unknown option '--max_steps'\n  hint: did you mean --steps 9?",
    ],
    [["run", "x.mod", "-p", "a"], "unknown option '-p'\n  hint: did you mean --text a?"],
    [["chat", "x.mod", "--prompt", "a"], "modc chat has no --prompt: `modc generate` continues a prompt"],
    [["help", "chekc"], 'there is no command "chekc"\n  hint: did you mean check?'],
    [["cost", "examples/moby.mod", "--budget", "1e18"], "--budget and --step-tokens need each other"],
    [["cost", "examples/moby.mod", "--length", "0"], '--length "0" is not a whole number from 1 to 4294967295'],
    [["verify", "x.mod", "--field", "body"], "--field has no effect without --data"],
    [["verify", "x.mod", "--validation", "5%"], "--validation has no effect without --data"],
    [["verify", "x.mod", "--tokenizer", "t.json"], "--tokenizer has no effect without --data"],
    [["verify", "x.json", "--loop-caches", "last"], "--loop-caches has no effect on a saved fault"],
    [["tune", "--phase", "train"], "--phase has no effect without a model\n  hint: leave out --phase"],
    [["generate", "x.mod", "--prompt", "x", "--temperature", "0", "--top-k", "5"], "--top-k has no effect with --temp"],
    [["chat", "x.mod", "--temperature", "0", "--min-p", "0.1"], "--min-p has no effect with --temperature 0"],
    [["init", "examples/moby.mod"], "required option '-o, --output <path>' not specified"],
  ])("%j", async (args, message) => {
    const { status, stdout, stderr } = await modc(args);
    expect(stderr).toContain(message);
    expect([status, stdout]).toEqual([2, ""]);
  });
});

it.each([
  ["generate", "--prompt", "x", "--temperature", "0", "--top-p", "1", "--top-k", "0", "--min-p", "0"],
  ["chat", "--temperature", "0", "--top-p", "1"],
  ["serve", "--api-key", "a-key-of-tests", "--allow-host", "x.org"],
])("what says no more than is the case passes: %s %j", async (command, ...options) => {
  const { status, stderr } = await modc([command, "none.mod", ...options]);
  expect([status, stderr]).toEqual([1, expect.stringContaining("none.mod: there is no such file")]);
});

it("options have the short forms of other programs", async () => {
  const { status, stderr } = await modc(["generate", "none.mod", "-p", "x", "-n", "5", "-t", "8", "-m", "M"]);
  expect([status, stderr]).toEqual([
    1,
    "note: a temperature of 8 samples nearly at random; -t is --temperature, not threads\n" +
      "error: cannot read none.mod: there is no such file\n",
  ]);
});

it("every suggestion for another program's option is an option of some command", () => {
  const options = commandLine(() => undefined).commands.flatMap((c) => c.options.map(({ long }) => long));
  for (const suggestions of Object.values(ELSEWHERE))
    for (const text of suggestions) if (text.startsWith("--")) expect(options).toContain(text.split(" ")[0]);
});

it("what has no effect on JSON is refused in JSON", async () => {
  const { status, stdout } = await modc(["generate", "x.mod", "--prompt", "x", "--json", "--show-depth"]);
  expect(JSON.parse(stdout)).toMatchObject({
    message: "--show-depth has no effect on --json, which always contains the depth of each token",
  });
  expect(status).toBe(2);
});

describe("files that cannot be read exit with 1", () => {
  const imports = (): string => {
    mkdirSync(join(folder.path, "inside"));
    folder.file("outside.mod", "const n = 1\n");
    symlinkSync(join(folder.path, "outside.mod"), join(folder.path, "inside", "link.mod"));
    return folder.file("inside/root.mod", `import { n } from "./link.mod"\n${MODEL}`);
  };
  it.each<[string, () => string, string]>([
    ["none", () => join(folder.path, "none.mod"), "there is no such file"],
    ["a folder", () => folder.path, "is a folder without config.json or model.mod"],
    ["a file for a folder", () => join(folder.file("plain.mod", MODEL), "x.mod"), "its folder is not one"],
  ])("%s", async (_name, make, message) => {
    const { status, stdout, stderr } = await modc(["check", make()]);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ +at /m);
    expect([status, stdout]).toEqual([1, ""]);
  });

  it("tells of invalid UTF-8 in its place", async () => {
    const { status, stdout, stderr } = await modc([
      "check",
      folder.file("latin.mod", Buffer.from("// caf\u00e9\n", "latin1")),
    ]);
    expect(stderr).toContain(
      "latin.mod:1:7: error[not-text]: the file is not text: it contains bytes that are not UTF-8",
    );
    expect([status, stdout]).toEqual([1, expect.stringMatching(/latin\.mod: 1 error, no warnings\n$/)]);
    const json = await modc(["check", "--json", join(folder.path, "latin.mod")]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      exit: 1,
      errors: 1,
      diagnostics: [{ span: { start: 6, from: { line: 1, column: 7 } } }],
    });
  });

  it("tells at the import of what is no text, and of a folder", async () => {
    folder.file("latin.mod", Buffer.from("// caf\u00e9\n", "latin1"));
    mkdirSync(join(folder.path, "sub"), { recursive: true });
    const { status, stderr } = await modc([
      "check",
      folder.file("importer.mod", `import { n } from "./latin.mod"\nimport { m } from "./sub"\n${MODEL}`),
    ]);
    expect(stderr).toMatch(
      /importer\.mod:1:19: error\[import-path\]: "\.\/latin\.mod" cannot be imported: byte 6, at its line 1, column 7, is not UTF-8/,
    );
    expect(stderr).toMatch(/importer\.mod:2:19: error\[import-path\]: "\.\/sub" cannot be imported: it is a folder/);
    expect(status).toBe(1);
  });

  it("tells at the import of a link that leaves the folder", async () => {
    const { status, stdout, stderr } = await modc(["check", imports()]);
    expect(stdout + stderr).toMatch(
      /root\.mod:1:19: error\[import-path\]: "\.\/link\.mod" cannot be imported: it is a link to/,
    );
    expect(status).toBe(1);
  });

  it.skipIf(process.getuid?.() === 0)("a file without permission", async () => {
    const file = folder.file("secret.mod", MODEL);
    chmodSync(file, 0);
    const { status, stderr } = await modc(["check", file]);
    expect([status, stderr]).toEqual([1, expect.stringContaining("permission denied")]);
  });

  it("a byte-order mark and CRLF are fine", async () => {
    const { status } = await modc(["check", folder.file("bom.mod", `\ufeff${MODEL.replaceAll("\n", "\r\n")}`)]);
    expect(status).toBe(0);
  });
});

describe("without a device", () => {
  it("run exits with 3, one message and the command that mends it", async () => {
    const { status, stdout, stderr } = await modc(["run", ...GOLDEN], { env: NO_DEVICE });
    expect(stderr).toMatch(/^error: no GPU and no software device was found\n  hint: .+\n$/m);
    expect([status, stdout]).toEqual([3, ""]);
  });

  it("doctor exits with 3", async () => expect((await modc(["doctor", "--json"], { env: NO_DEVICE })).status).toBe(3));

  it("the reference runs all the same", { tags: "long" }, async () => {
    const { status, stdout } = await modc(["run", ...GOLDEN, "--device", "reference"], { env: NO_DEVICE });
    expect([status, stdout]).toEqual([0, expect.stringContaining("[[[1], [12], [2], [18]]]")]);
  });

  it("--device gpu exits with 3 where there is only software, or runs on hardware", async () => {
    const { status, stdout } = await modc(["doctor", "--device", "gpu", "--json"]);
    if (status === 0) expect(JSON.parse(stdout).device.software).toBe(false);
    else expect([status, JSON.parse(stdout)]).toEqual([3, expect.objectContaining({ exit: 3, code: "no-device" })]);
  });
});

describe("streams", () => {
  it("NO_COLOR and pipes give plain text, FORCE_COLOR gives colour", async () => {
    const broken = folder.file("broken.mod", MODEL.replace("{ x }", "{ y }"));
    expect((await modc(["check", broken])).stderr).not.toContain("\u001b");
    expect((await modc(["check", broken], { env: { FORCE_COLOR: "1", NO_COLOR: "1" } })).stderr).not.toContain(
      "\u001b",
    );
    for (const none of ["0", "false"])
      expect((await modc(["check", broken], { env: { FORCE_COLOR: none } })).stderr).not.toContain("\u001b");
    expect((await modc(["check", broken], { env: { FORCE_COLOR: "1" } })).stderr).toContain(
      "\u001b[31;1merror[unknown-name]",
    );
  });

  it("a reader that goes away ends the command quietly", { tags: "long" }, async () => {
    const child = spawn(process.execPath, ["dist/src/cli/main.js", "ir", "examples/moby.mod", "--set", "depth=60"], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.stdout.once("data", () => child.stdout.destroy());
    const status = await new Promise((resolve) => child.on("close", resolve));
    expect([status, stderr]).toEqual([0, ""]);
  });

  it("an interrupt ends a command by the signal, in the middle of its work", { tags: "long" }, async () => {
    const child = spawn(
      process.execPath,
      [
        "dist/src/cli/main.js",
        "run",
        "examples/moby.mod",
        "--text",
        "Call me Ishmael. ".repeat(15),
        "--device",
        "reference",
      ],
      { cwd: root, stdio: ["ignore", "pipe", "pipe"] },
    );
    // The first thing it says is that weights are random: from then on it runs.
    child.stderr.once("data", () => child.kill("SIGINT"));
    const ended = await new Promise((resolve) => child.on("close", (status, signal) => resolve([status, signal])));
    expect(ended).toEqual([null, "SIGINT"]);
  });
});
