// The road of distillation: the line that `modc convert --teacher` prints trains the student alone, and the student
// opens without its teacher.
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { readSafetensors } from "../../../src/runtime/index.js";
import { readFileSync } from "node:fs";
import { noStories, STORIES } from "../../stories.js";
import { modc, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const place = (name: string): string => join(temporary.path, name);

it.skipIf(STORIES === null)(
  `a converted model learns from its teacher, and generates alone${noStories}`,
  { tags: "long", timeout: 240_000 },
  async () => {
    const [routed, run, student] = [place("routed"), place("run"), place("student.safetensors")];
    const converted = await modc(["convert", STORIES!, "-o", routed, "--teacher"]);
    const line = /teacher does: modc (train .*) --data … -o run/.exec(converted.stdout)![1]!;
    const data = temporary.file("text.txt", "Once upon a time there was a girl who had a red ball. ".repeat(60));
    const few = ["--steps", "3", "--batch", "2", "--length", "24", "--validation", "0", "--schedule", "constant"];
    const trained = await modc([...line.split(" "), "--data", data, "-o", run, ...few]);
    expect(trained.status, trained.stderr).toBe(0);
    const last = readSafetensors(readFileSync(join(run, "checkpoints", "last", "model.safetensors")));
    const dense = readSafetensors(readFileSync(join(STORIES!, "model.safetensors")));
    const table = "model.embed_tokens.weight";
    // The teacher is frozen, and the student is not.
    expect(await last.read("teacher.embed.table")).toEqual(await dense.read(table));
    expect(await last.read("student.embed.table")).not.toEqual(await dense.read(table));
    const merged = await modc(["merge", run, "--block", "student", "-o", student]);
    expect(merged.status, merged.stderr).toBe(0);
    expect([...readSafetensors(readFileSync(student)).tensors.keys()]).toContain(table);
    const how = ["--prompt", "Once upon", "-n", "8", "--live", "capacity=12.5%"];
    const alone = await modc(["generate", routed, "--weights", student, ...how]);
    const whole = await modc(["generate", run, ...how]);
    expect(alone.status, alone.stderr).toBe(0);
    expect(whole).toMatchObject({ status: 0, stdout: alone.stdout });
    expect((await modc(["merge", run, "--block", "pupil", "-o", place("p.safetensors")])).stderr).toContain(
      'Distillation has no weights under "pupil"',
    );
  },
);
