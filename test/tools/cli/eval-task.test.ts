// `modc eval --task`: accuracies of a model of bigrams, whose log-probabilities are known, and of a story model.
import { afterAll, describe, expect, it } from "vitest";
import { noStories, STORIES } from "../../stories.js";
import { bigramsIn } from "./bigrams.js";
import { run } from "./in-process.js";
import { temporaryFolder } from "./spawn.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const bigrams = bigramsIn(folder);
const task = (name: string, ...lines: readonly (object | string)[]): string =>
  folder.file(name, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
const words = ["eval", ...bigrams] as const;

describe("modc eval --task", () => {
  it("counts choices by log-probability, by it over bytes, and greedy text", async () => {
    const file = task(
      "task.jsonl",
      // log 0.6 = −0.51 against log 0.3 · 0.9 · 0.9 = −1.41; over bytes −0.51 against −0.47.
      { prompt: "a", choices: ["b", "ccc"], answer: 0 },
      { prompt: "a", choices: ["b", "ccc"], answer: "ccc", id: 7 },
      // log 0.3 against log 0.6 · 0.8
      { prompt: "xa", choices: ["c", "ba", "z"], answer: 1 },
      "",
      { prompt: "a", answer: "baba" },
      { prompt: "a", answer: "bb" },
      { prompt: "cc", answer: "c" },
    );
    const { status, stdout, stderr } = await run([...words, "--task", file, "--json", "--batch", "2"]);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const standardError = expect.closeTo(Math.sqrt(((2 / 3) * (1 / 3)) / 2), 12) as unknown;
    const of = (correct: number): object => ({ questions: 3, correct, accuracy: correct / 3, standardError });
    expect(JSON.parse(stdout)).toEqual({
      model: "Bigrams",
      task: file,
      questions: 6,
      rules: {
        "top-k": {
          choices: of(2),
          byBytes: of(2),
          greedy: of(2),
          tokens: 2 + 4 + 2 + 4 + 3 + 4 + 3 + 5 + 3 + 3,
          shares: {},
        },
      },
    });
    const shown = await run([...words, "--task", "-"], {
      stdin: '{"prompt": "a", "choices": ["b", "c"], "answer": 0}',
    });
    expect(shown.stdout).toMatch(
      /^rule +choices +likeliest +by bytes +tokens +computed\nall tokens +1 +100.0% +100.0% +4 +-\n$/,
    );
  });

  it("follows greedy text to the end of the context", async () => {
    const file = task("ends.jsonl", { prompt: "a", answer: `b${"ab".repeat(7)}` }, { prompt: "a", answer: "bac" });
    const { stdout } = await run([...words, "--task", file, "--json"]);
    expect((JSON.parse(stdout) as { rules: object }).rules).toMatchObject({ "top-k": { greedy: { correct: 1 } } });
  });

  it.each([
    ["{", "the line is not JSON"],
    ['{"prompt": "a"}', "the line has no answer"],
    ['{"answer": "a"}', "the line has no prompt"],
    ['{"prompt": 3, "answer": "a"}', "prompt is a number, not a text"],
    ['{"prompt": "a", "answer": 3}', "answer is a number, not a text"],
    ['{"prompt": "a", "answer": ""}', "answer is empty"],
    ['{"prompt": "a", "choices": [], "answer": 0}', "there are no choices"],
    ['{"prompt": "a", "choices": ["b"], "answer": 0}', "there is only one choice"],
    ['{"prompt": "a", "choices": "b", "answer": 0}', "choices is a string, not a list of texts"],
    ['{"prompt": "a", "choices": ["b", 3], "answer": 0}', "choice 1 is a number, not a text"],
    ['{"prompt": "a", "choices": ["b", "b"], "answer": 0}', "choice 1 is choice 0 again"],
    ['{"prompt": "a", "choices": ["b", "c"], "answer": 2}', "answer 2 is not one of the 2 choices"],
    ['{"prompt": "a", "choices": ["b", "c"], "answer": "d"}', 'answer "d" is not one of the 2 choices'],
    ['{"prompt": "a", "choices": ["b", ""], "answer": 0}', "choice 1 adds no token to the prompt"],
    ['{"prompt": "", "choices": ["b", "c"], "answer": 0}', "nothing precedes choice 0"],
    ['{"prompt": "0123456789abcdef", "choices": ["b", "c"], "answer": 0}', "choice 0 has 17 tokens with what precedes"],
  ])("refuses %s with its file and line", async (line, message) => {
    const file = task("wrong.jsonl", { prompt: "a", answer: "b" }, line);
    const { status, stdout, stderr } = await run([...words, "--task", file]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`${file}:2: ${message}`);
  });

  it("refuses other files, and options without effect", async () => {
    for (const [more, status, message] of [
      [["--task", folder.file("task.txt", "a")], 1, "has no rows"],
      [["--task", task("blank.jsonl", "", " ")], 1, "has no questions"],
      [["--task", "x.jsonl", "--data", "y.jsonl"], 2, "--data has no effect with --task"],
      [["--task", "x.jsonl", "--windows", "3"], 2, "--windows has no effect with --task"],
    ] as const) {
      const ended = await run([...words, ...more]);
      expect(ended.stderr).toContain(message);
      expect(ended.status).toBe(status);
    }
  });

  it.skipIf(STORIES === null)(`of a story model${noStories}`, { tags: "long" }, async () => {
    const file = task(
      "stories.jsonl",
      { prompt: "Once upon a time, there was a little", choices: [" of.", " girl named Lily."], answer: 1 },
      { prompt: "Once upon a", answer: " time" },
      { prompt: "Once upon a", answer: " tim" },
      { prompt: "Once upon a", answer: " stone" },
    );
    const { stdout, stderr, status } = await run(["eval", STORIES!, "--task", file, "--json"]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      rules: { "top-k": { choices: { correct: 1 }, byBytes: { correct: 1 }, greedy: { correct: 2 } } },
    });
  });
});
