// The conformance suite's words: their vectors are those of the reference, the plain definitions in PyTorch agree with
// them in 64 bits, and each of some common faults differs in the cases of its word.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { WORDS } from "../../conformance/words/cases.js";
import { fileOfWord, index } from "../../conformance/words/make.js";
import { pythonWith } from "../python.js";
import { askTorch, hasTorch, torchNote } from "../pytorch.js";
import { root, temporaryFolder } from "../tools/cli/spawn.js";
import { expectSame } from "./same.js";

const suite = join(root, "conformance");
const vectors = join(suite, "words", "vectors");
const folder = temporaryFolder();
afterAll(folder.remove);

describe("the vectors of words", () => {
  it("are indexed", () => {
    expect(readFileSync(join(vectors, "words.json"), "utf8")).toBe(index());
  });

  it.each(WORDS)("of $name are what the reference computes", (one) => {
    expectSame(readFileSync(join(vectors, `${one.name}.safetensors`)), Buffer.from(fileOfWord(one)));
  });
});

interface Finding {
  readonly case: string;
  readonly ok: boolean;
  readonly faults: readonly string[];
}

interface Told {
  readonly findings: readonly Finding[];
}

/** What check_words.py prints of a module, and its exit status. */
async function checked(module: string): Promise<readonly [number, readonly Finding[]]> {
  const words = [join(suite, "check_words.py"), module, "--json"];
  const { code, stdout } = await promisify(execFile)(pythonWith("torch")!, words).then(
    (found) => ({ ...found, code: 0 }),
    (found: { code: number; stdout: string }) => found,
  );
  return [code, stdout === "" ? [] : (JSON.parse(stdout) as readonly Finding[])];
}

/** A fault as code over the plain definitions, and the cases that it changes. */
const FAULTS: Readonly<Record<string, readonly [code: string, cases: readonly string[]]>> = {
  "the bias is capped too": [
    `def attention(q, k, v, cap=None, bias=None, **more):
    if cap is None or bias is None:
        return plain.attention(q, k, v, cap=cap, bias=bias, **more)
    scale = more.pop("scale")
    return plain.attention(q, k, v, bias=cap * (bias / cap).tanh(), cap=cap, scale=scale, **more)`,
    ["attention-all"],
  ],
  "a query that sees nothing attends to all": [
    `def attention(q, k, v, mask=None, **more):
    if mask is not None:
        mask = mask | ~mask.any(-1, keepdim=True)
    return plain.attention(q, k, v, mask=mask, **more)`,
    ["attention-nothing-seen"],
  ],
  "padding is seen from behind": ["def later(x, n, lengths=None):\n    return plain.later(x, n)", ["later"]],
  "fresh lets the decay through": [
    `def scan(x, fresh=None, **more):
    return plain.scan(x, **more)`,
    ["scan-fresh"],
  ],
  "the reverse begins in the padding": [
    `def scan(x, lengths=None, **more):
    return plain.scan(x, **more)`,
    ["scan-reverse"],
  ],
  "skipped tokens let the state decay": [
    `def routed_scan(x, log_decay, chosen, lengths=None):
    return plain.scan(torch.where(chosen[..., None], x, 0.0), log_decay) * chosen[..., None]`,
    ["scan-on-a-route"],
  ],
  "what is forgotten is read behind the decay": [
    `def linear_attention(q, k, v, log_decay=None, at=None, **more):
    if at is not None:
        at = at * log_decay.exp().unflatten(1, (2, 2))[:, :, 0, :, None]
    return plain.linear_attention(q, k, v, log_decay=log_decay, at=at, **more)`,
    ["linear-attention-delta"],
  ],
  "an index outside gives zeros": [
    `def rows(x, index):
    return plain.rows(x, index) * (index < x.shape[1])[..., None]`,
    ["rows"],
  ],
};

describe.skipIf(!hasTorch)(`words in PyTorch${torchNote}`, { timeout: 240_000 }, () => {
  const wrong = ({ findings }: Told): readonly string[] => findings.filter(({ ok }) => !ok).map((found) => found.case);

  it("the plain definitions agree, and each fault differs in the cases of its word", { tags: "long" }, async () => {
    const [exact, rounded, ...faulty] = await askTorch<Told>(new URL("words.py", import.meta.url), [
      { code: "", dtype: "float64" },
      { code: "", dtype: "float32" },
      ...Object.values(FAULTS).map(([code]) => ({ code, dtype: "float64" })),
    ]);
    expect(exact!.findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(exact!.findings.map((found) => found.case)).toEqual(WORDS.map(({ name }) => name));
    expect(wrong(rounded!)).toEqual([]);
    Object.entries(FAULTS).forEach(([name, [, cases]], i) => expect(wrong(faulty[i]!), name).toEqual(cases));
  });

  it("a module without words, or that throws, is refused", { tags: "long" }, async () => {
    expect((await checked(folder.file("none.py", "x = 1\n")))[0]).toBe(2);
    const throws = folder.file("throws.py", "def rows(x, index):\n    raise ValueError('no')\n");
    const found = { case: "rows", word: "rows", ok: false, faults: ["ValueError: no"] };
    expect(await checked(throws)).toEqual([4, [found]]);
  });
});
