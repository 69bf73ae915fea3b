// How generated tokens are shown: lines, colours and a web page.
import { describe, expect, it } from "vitest";
import { DepthText } from "../../../src/tools/cli/terminal/depth.js";
import { jsonLine, oneText, severalTexts } from "../../../src/tools/cli/generate/generated.js";
import { chosenExperts } from "../../../src/generation/engine/experts.js";
import { expertLines, summaryLines } from "../../../src/tools/cli/generate/generation-summary.js";
import { expertStrips, renderHeatmap, heated } from "../../../src/tools/cli/generate/heatmap.js";
import type { GeneratedText, Generation, Summary } from "../../../src/generation/generate/index.js";

const event = (
  sequence: number,
  text: string,
  depth: number | null = null,
  finish: GeneratedText["finish"] = null,
): GeneratedText => ({
  sequence,
  index: 0,
  token: 0,
  logprob: null,
  depth,
  routes: null,
  finish,
  text,
});

/** Two layers for all tokens, then a routed one, then a route without attention. */
const GENERATION: Pick<Generation, "axes" | "layers"> = {
  axes: [
    { axis: "T", capacity: "T.capacity", positions: null, path: "", expected: 1 },
    { axis: "K", capacity: "K.capacity", positions: "p", path: "one", expected: 0.5 },
    { axis: "K2", capacity: null, positions: null, path: "two", expected: 0.5 },
  ],
  layers: [
    { path: "a", axis: "T", bytes: 8 },
    { path: "one.b", axis: "K", bytes: 8 },
    { path: "c", axis: "T", bytes: 8 },
  ],
};

describe("text", () => {
  const written = (body: (write: (text: string) => void) => void): string => {
    let all = "";
    body((text) => (all += text));
    return all;
  };

  it("of one sequence is as it comes and ends with its line", () => {
    const show = (texts: readonly string[], safe = false): string =>
      written((write) => {
        const shown = oneText(write, null, safe, 80);
        for (const text of texts) shown.add(event(0, text));
        shown.end();
      });
    expect(show(["a", "", "b\n", "c"])).toBe("ab\nc\n");
    expect(show(["a\n"])).toBe("a\n");
    expect(show([])).toBe("");
    // A terminal is not told to move its cursor.
    expect(show(["\u001b[2Jx\r\ty\u009b"], true)).toBe("\ufffd[2Jx\ufffd\ty\ufffd\n");
  });

  it("of several is lines with their numbers, each when it is whole", () => {
    const all = written((write) => {
      const shown = severalTexts(write, 11, null, false, 80);
      shown.add(event(0, "one"));
      shown.add(event(10, "x\n\ny"));
      shown.add(event(0, " line\nhalf"));
      shown.add(event(10, "", null, "stop"));
      shown.add(event(3, "", null, "end"));
      shown.end();
    });
    expect(all).toBe("[10] x\n[10] \n[ 0] one line\n[10] y\n[ 3] \n[ 0] half\n");
  });

  it("shows depths in front of line ends, from the layers that every token takes to all of them", () => {
    const plain = new DepthText(GENERATION, false);
    expect([plain.least, plain.most]).toEqual([2, 4]);
    expect(plain.legend(false)).toBe("2 3 4");
    const colored = new DepthText(GENERATION, true);
    expect(colored.show("a\n", 2)).toBe("\u001b[48;5;255;38;5;16ma\u001b[0m\n");
    expect(colored.show("a", 4)).toBe("\u001b[48;5;27;38;5;231ma\u001b[0m");
    expect([colored.show("\n", 3), colored.show("x", null), colored.show("", 2)]).toEqual(["\n", "x", ""]);
    // Where no layer is routed there is one depth.
    const dense = new DepthText(
      { axes: GENERATION.axes.slice(0, 1), layers: GENERATION.layers.filter((l) => l.axis === "T") },
      false,
    );
    expect(dense.legend(false)).toBe("2");
  });

  it("has depths below its lines where there are no colours, a digit under the beginning of each token", () => {
    const plain = new DepthText(GENERATION, false);
    const all = written((write) => {
      const shown = oneText(write, plain, true, 16);
      shown.add(event(0, "’", null));
      for (const [text, depth] of [
        ["s", 2],
        [" sea", 3],
        [" 海", 4],
        ["\n", 2],
        ["\n", 2],
        ["a whale and", 3],
        [" a", 2],
        [" whale", 4],
      ] as const)
        shown.add({ ...event(0, text), depth });
      shown.end();
    });
    expect(all).toBe("’s sea 海\n 23   4\n\n\n\na whale and a \n3          2 4\n\nwhale\n");
  });

  it("of several has depths below each line, clear of the numbers", () => {
    const all = written((write) => {
      const shown = severalTexts(write, 2, new DepthText(GENERATION, false), false, 80);
      shown.add({ ...event(0, "ab"), depth: 2 });
      shown.add({ ...event(1, "x\n"), depth: 4 });
      shown.add({ ...event(0, "c"), depth: 3 });
      shown.add(event(1, "", null, "stop"));
      shown.end();
    });
    expect(all).toBe("[1] x\n    4\n[0] abc\n    2 3\n");
  });

  it("as JSON has what JSON lacks as strings, in one line", () => {
    expect(jsonLine({ a: [NaN, -Infinity, 1.5], b: "x\ny" })).toBe('{"a":["NaN","-Infinity",1.5],"b":"x\\ny"}');
  });
});

describe("tokens and layers", () => {
  // Three tokens of prompt; the last of three that were added was not read.
  const routes = (two: boolean): GeneratedText["routes"] => [true, false, two];
  const events = [{ routes: null }, { routes: routes(true) }, { routes: routes(false) }];
  const found = heated(GENERATION, 3, events, [[0, 1, 2, 3, 4, 5], [1, 4, 5], null]);

  it("are what caches hold, and where nothing is kept what steps said; what was computed after the end is left out", () => {
    expect(found).toEqual({
      prompt: 3,
      layers: [
        { path: "a", marks: [1, 1, 1, 1, 1, null] },
        { path: "one.b", marks: [0, 1, 0, 0, 1, null] },
        { path: "c", marks: [1, 1, 1, 1, 1, null] },
        { path: "two", marks: [null, null, null, 1, 0, null] },
      ],
    });
  });

  it("are a page that escapes what comes from outside and needs no other file", () => {
    const shown = ["<b>", " ", "\n", "é", "", "&"];
    const html = renderHeatmap({
      model: "A<b>",
      device: "d&",
      facts: [["x", "1"]],
      texts: [{ ...found, shown, experts: [] }],
    });
    expect(html).toContain("<h1>A&lt;b&gt;</h1>");
    expect(html.match(/<span class="k /g)).toHaveLength(6);
    expect(html.match(/class="k p\d+ g"/g)).toHaveLength(3);
    expect(html).toContain('title="token 4: 3 of 4 layers: a, one.b, c"');
    expect(html).toContain('title="token 1: 3 of 4 layers: a, one.b, c; not known of two"');
    expect(html).toContain('title="token 5: chosen last, not read"');
    // Known shares: of tokens that were read.
    expect(html).toContain(`<code>one.b</code><div><div class="bar c2"><i style="width:40.00%">`);
    expect(html).toContain(`<code>two</code><div><div class="bar c2"><i style="width:50.00%">`);
    expect(html).not.toContain("<b>&lt;b&gt;<b>");
    expect(html).not.toMatch(/https?:|<script|<link|<img/);
  });
});

describe("experts of each token", () => {
  const generation = {
    axes: GENERATION.axes,
    choices: ["T", "K", "K2"].map((axis, i) => ({
      path: `moe.${i}`,
      axis,
      entries: 4,
      output: "entries.0",
      column: 0,
      slots: 2,
    })),
  };
  const events = [{ experts: null }, { experts: [[1], [0], [2, 3]] }, { experts: [[1], null, null] }];
  const rows = [[[0, 1], [0], [], [1], [1]], [[3], [0]], [[2, 3]]];

  it("stand at their places on the route of the layer, and where nothing keeps those, as steps said", () => {
    const found = chosenExperts(generation, 3, events, rows, [[0, 1, 2, 3, 4], [1, 3], null]);
    expect(found.map(({ path, tokens }) => [path, tokens])).toEqual([
      ["moe.0", [[0, 1], [0], [], [1], [1], null]],
      ["moe.1", [null, [3], null, [0], null, null]],
      ["moe.2", [null, null, null, [2, 3], null, null]],
    ]);
  });

  it("are drawn below the layers, a strip for each mixture, with the load of each expert", () => {
    const experts = chosenExperts(generation, 3, events, rows, [[0, 1, 2, 3, 4], [1, 3], null]).slice(0, 1);
    const html = expertStrips(experts, ["a", "<", "c", "d", "e", "f"]);
    expect(html.match(/<rect /g)).toHaveLength(5);
    expect(html).toContain("<title>token 0 &quot;a&quot;: 0, 1</title>");
    expect(html).toContain("<title>token 1 &quot;&lt;&quot;: 0</title>");
    expect(html).toContain("expert 1 has 2.40 times the mean; 2 of 4 got nothing");
    expect(html.match(/class="idle"/g)).toHaveLength(2);
    expect(html).toContain('aria-label="experts of 5 of 6 tokens (83.3%) in moe.0"');
    expect(expertStrips([], [])).toBe("");
  });

  it("are counted in the summary, a line for each mixture: shares, the largest, and who got nothing", () => {
    expect(
      expertLines(
        [
          { path: "a", loads: [30, 10, 0, 0] },
          { path: "b", loads: [1, 999] },
          { path: "none", loads: [0, 0] },
          { path: "wide", loads: Array.from({ length: 64 }, (_, e) => (e === 7 ? 4 : 1)) },
        ],
        100,
      ),
    ).toEqual([
      "experts a: 75% 25% 0% 0%, 0 has 3.00 times the mean, nothing for 2 and 3 of 4",
      "experts b: <1% 100%, 1 has 2.00 times the mean",
      "experts wide: 7 has 3.82 times the mean",
    ]);
    const many = Array.from({ length: 13 }, (_, i) => ({ path: `m${i}`, loads: [1, 1] }));
    expect(expertLines(many, 100).at(-1)).toBe("experts of 1 more mixture: see --json or --heatmap");
  });
});

describe("a summary", () => {
  const summary: Summary = {
    promptTokens: 10,
    generatedTokens: 21,
    firstToken: 50,
    compiling: 0,
    generation: 200,
    routes: [
      { path: "", layers: 2, tokens: 30 },
      { path: "one", layers: 1, tokens: 6 },
    ],
    cache: { used: 1536, allocated: 4096, dense: 3072 },
    flops: { own: 1.5e6, dense: 3e6 },
  };
  it("tells time, layers, work and cache, within the columns there are", () => {
    expect(summaryLines(summary, 1, 110)).toEqual([
      "time    first token after 50.0 ms (10 tokens of prompt, 200 tokens/s), then 20 tokens at 100 tokens/s",
      "layers  of 30 tokens: one 20.0%",
      "work    1.500 MFLOP a generated token, 50.0% of the 3.000 MFLOP with nothing skipped",
      "cache   1.5 KiB, 50.0% of the 3 KiB with nothing skipped; 4 KiB reserved",
    ]);
    expect(summaryLines(summary, 1, 60)[1]).toBe("        then 20 tokens at 100 tokens/s");
    // Nothing was read, or nothing is routed.
    expect(
      summaryLines(
        { ...summary, generatedTokens: 0, flops: null, routes: summary.routes.map((r) => ({ ...r, tokens: 0 })) },
        1,
        100,
      ),
    ).toEqual(["cache   1.5 KiB, 50.0% of the 3 KiB with nothing skipped; 4 KiB reserved"]);
    expect(summaryLines({ ...summary, routes: summary.routes.slice(0, 1) }, 1, 110)).toHaveLength(3);
  });
});
