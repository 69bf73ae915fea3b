// `modc generate` with a JSON schema or a grammar.
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openSession } from "../../../src/tools/session/index.js";
import { modc, root, temporaryFolder } from "./spawn.js";

const temporary = temporaryFolder();
afterAll(temporary.remove);
const MOBY = ["examples/moby.mod", "--weights", "examples/moby.safetensors"] as const;
const SCHEMA = {
  type: "object",
  properties: { age: { type: "integer", minimum: 1, maximum: 99 }, name: { type: "string", maxLength: 4 } },
  required: ["age", "name"],
};
const schema = temporary.file("person.json", JSON.stringify(SCHEMA));
const grammar = temporary.file("moves.gbnf", '# moves\nroot ::= ("left" | "right") "!"\n');

describe("modc generate with a form", () => {
  it("prints JSON of the schema, for each prompt, and says how it ended", { tags: "long" }, async () => {
    const command = ["generate", ...MOBY, "--json-schema", schema, "--prompt", "a", "--prompt", "b", "--json"];
    const { status, stdout } = await modc([...command, "--temperature", "1", "--max-tokens", "150"]);
    expect(status).toBe(0);
    const { texts } = JSON.parse(stdout.trim().split("\n").at(-1)!) as {
      texts: readonly { readonly text: string; readonly finish: string }[];
    };
    expect(texts).toHaveLength(2);
    for (const { text, finish } of texts) {
      expect(finish).toBe("stop");
      expect(JSON.parse(text)).toMatchObject({ age: expect.any(Number), name: expect.any(String) });
    }
  });

  it("takes a schema and a grammar as they are written", async () => {
    const words = ["generate", ...MOBY, "--prompt", "Turn "];
    expect(await modc([...words, "--grammar", 'root ::= "left"'])).toMatchObject({ status: 0, stdout: "left\n" });
    expect(await modc([...words, "--json-schema", '{"const":7}'])).toMatchObject({ status: 0, stdout: "7\n" });
  });

  it("prints a text of the grammar, as a session does", { tags: "long" }, async () => {
    const { status, stdout, stderr } = await modc(["generate", ...MOBY, "--grammar", grammar, "--prompt", "Turn "]);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^(?:left|right)!\n$/)]);
    expect(stderr).toContain("ended by its schema or grammar");
    const session = await openSession(join(root, MOBY[0]), { weights: join(root, MOBY[2]) });
    let text = "";
    for await (const event of session.generate("Turn ", { form: { kind: "choice", choices: ["left!", "right!"] } }))
      text += event.text;
    session.dispose();
    expect(`${text}\n`).toBe(stdout);
  });

  it.each([
    [["--json-schema", schema, "--grammar", grammar], 2, "--json-schema and --grammar exclude each other"],
    [["--json-schema", temporary.file("odd.json", '{"type": "integer", "multipleOf": 2}')], 1, "multipleOf"],
    [["--json-schema", grammar], 1, "not JSON"],
    [["--grammar", temporary.file("none.gbnf", "root ::= nothing")], 1, "nothing"],
    [["--grammar", "absent.gbnf"], 1, "absent.gbnf"],
  ])("refuses %j", async (flags, code, message) => {
    const { status, stdout, stderr } = await modc(["generate", ...MOBY, "--prompt", "a", ...flags]);
    expect([status, stdout]).toEqual([code, ""]);
    expect(stderr).toContain(message);
  });
});
