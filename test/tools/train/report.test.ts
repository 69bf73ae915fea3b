import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { reportOf } from "../../../src/tools/train/report-node.js";
import { ticks } from "../../../src/tools/train/report-chart.js";
import { duration, escape, scriptJson, short } from "../../../src/tools/train/report-html.js";
import { renderReport, type Curve, type ReportData } from "../../../src/tools/train/report.js";
import { withDefaults } from "../../../src/tools/train/settings.js";

const curve = (f: (x: number) => number, n = 100): Curve => ({
  points: Array.from({ length: n }, (_, i) => ({ x: i + 1, y: f(i + 1), low: f(i + 1) - 0.1, high: f(i + 1) + 0.1 })),
});
const data: ReportData = {
  model: "Moby",
  parameters: { dim: "128", note: "</script><script>alert(1)</script>" },
  settings: { lr: 1e-3, only: "", schedule: "cosine" },
  step: 100,
  steps: 100,
  tokens: 2_345_678,
  seconds: 4000,
  tokensPerSecond: 12_345,
  computedShare: 0.125,
  unit: "bits per byte of text" as const,
  loss: curve((x) => 2 + 5 / x),
  learningRate: curve((x) => x * 1e-5),
  gradientNorm: curve((x) => 1 / x + 0.2),
  speed: curve(() => 12_000),
  live: new Map(),
  agreement: new Map([["layers.1", curve((x) => 1 - 0.4 / x)]]),
  imbalance: new Map([["layers.0.mlp.chosen", curve((x) => 1 + 1 / x)]]),
  loads: {
    step: 100,
    over: 100,
    mixtures: [
      { path: "layers.0.mlp.chosen", shares: [0.75, 0.25, 0, 0], mean: 250, largest: 3, idle: [2, 3], dropped: 0.125 },
    ],
  },
  validations: [50, 100].map((step) => ({
    step,
    counts: true,
    loss: new Map([
      ["top-k", 2 + 5 / step],
      ["causal", 2.1 + 5 / step],
    ] as const),
    shares: new Map([
      ["top-k", { "layers.1": 0.125 }],
      ["causal", { "layers.1": 0.15 }],
    ] as const),
  })),
  samples: [{ step: 400, prompt: "Call me", text: " <b>Ishmael" }],
  passage: {
    tokens: [104, 105, 10, 60],
    routes: [
      { rule: "top-k", path: "layers.1", mask: [1, 1, 0, 0] },
      { rule: "causal", path: "layers.1", mask: [1, 0, 0, 1] },
    ],
  },
  shown: ["h", "i", "\n", "<"],
  finished: true,
};

/** Start and end tags pair up: enough of a parser for what the report is made of. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  const bare = html.replaceAll(/<(script|style)\b[^>]*>[\s\S]*?<\/\1>/g, "");
  for (const [, close, name, self] of bare.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?(\/?)>/gi)) {
    if (self || ["meta", "br", "hr"].includes(name!)) continue;
    if (!close) open.push(name!);
    else if (open.pop() !== name) wrong.push(name!);
  }
  return [...wrong, ...open];
}

describe("the report", () => {
  const html = renderReport(data);

  it("is one well-formed page that asks for nothing else", () => {
    expect(unbalanced(html)).toEqual([]);
    expect(html).not.toMatch(/(src|href)=|url\((?!#)|https?:\/\/|@import|<link|<img/);
    expect(html).toContain(`content="default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'"`);
    expect(html).toContain("prefers-color-scheme:dark");
  });

  it("shows validation under both rules beside each other, and how much each layer computes", () => {
    expect(html).toMatch(/validation, top-k<\/span><b>2\.050<\/b>/);
    expect(html).toContain("<small>bits per byte of text; best 2.050 at step 100");
    expect(html).toMatch(/validation, causal rule<\/span><b>2\.150/);
    expect(html).toContain('style="width:12.50%"');
    expect(html).toContain('style="width:15.00%"');
  });

  it("shows the passage with the heat of each token, and how alike the rules choose", () => {
    expect(html).toContain(
      '<span style="--h:1.00" title="token 0: layers.1">h</span><span style="--h:0.00" title="token 1: skipped ' +
        'by all">i</span>',
    );
    expect(html).toContain("<em>↵</em>\n");
    expect(html).toContain("Top-k agrees on 50.0% of them");
    expect(html).toContain('<rect class="took" x="0" y="0" width="8" height="18"/>');
  });

  it("shows the load of each expert, those that starve and those that have too much", () => {
    expect(html).toContain(
      '<p class="warning">experts got nothing in the last 100 steps (layers.0.mlp.chosen: 2 and 3 of 4); ' +
        "experts are overloaded (layers.0.mlp.chosen: 0 has 3.0 times the mean load)</p>",
    );
    expect(html).toContain('<i class="load" style="--h:1.00" title="expert 0: 75.0% of the choices"></i>');
    expect(html).toContain('<i class="load" style="--h:0.50" title="expert 1: 25.0% of the choices"></i>');
    expect(html.match(/<i class="idle"/g)).toHaveLength(2);
    expect(html).toContain("expert 0 has 3.00 times the mean; 2 of 4 got nothing; 12.5% of the choices dropped");
    expect(html).toContain("Largest load of an expert, relative to the mean");
    const without = renderReport({ ...data, imbalance: new Map(), loads: null });
    expect(without).not.toMatch(/expert/i);
  });

  it("escapes what comes from outside", () => {
    expect(html).not.toContain("<script>alert");
    expect(html).toContain("&lt;/script&gt;");
    expect(escape(`<a b="c" d='e'>&`)).toBe("&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;");
    expect(scriptJson({ a: "</script>\u2028" })).toBe('{"a":"\\u003c/script>\\u2028"}');
  });

  it("of a model that routes nothing, or a run without validation, leaves out what there is none of", () => {
    const dense = renderReport({
      ...data,
      computedShare: 1,
      agreement: new Map(),
      passage: null,
      shown: [],
      validations: data.validations.map((v) => ({
        ...v,
        loss: new Map([["top-k", 2.5]] as const),
        shares: new Map(),
      })),
    });
    expect(unbalanced(dense)).toEqual([]);
    expect(dense).not.toContain("Routing");
    expect(dense).not.toContain("causal");
    const empty = renderReport({ ...data, validations: [], loss: { points: [] }, step: 0, finished: false });
    expect(unbalanced(empty)).toEqual([]);
    expect(empty).toContain("in progress");
    expect(empty).not.toContain("NaN");
  });

  it("draws curves with gaps, one point, or one value", () => {
    for (const f of [(x: number) => (x % 3 === 0 ? Number.NaN : x), () => 0, () => 5]) {
      for (const n of [1, 2, 100]) {
        const drawn = renderReport({ ...data, loss: curve(f, n), gradientNorm: curve(f, n) });
        expect(drawn.match(/<path[^>]*d="([^"]*NaN[^"]*|[^"]*Infinity[^"]*)"/)).toBeNull();
      }
    }
  });
});

describe("its speed", () => {
  /** Tokens a second as the chart has them: at each point, and the highest number at its axis. */
  async function speedOf(
    steps: readonly { readonly seconds: number; readonly first?: boolean }[],
  ): Promise<{ points: string[]; top: string; tile: string }> {
    const folder = mkdtempSync(join(tmpdir(), "modc-report-"));
    const log = join(folder, "log.jsonl");
    writeFileSync(
      log,
      steps.map((own, i) => `${JSON.stringify({ kind: "step", step: i + 1, tokens: 1000, ...own })}\n`).join(""),
    );
    const settings = withDefaults({ context: 8, steps: steps.length });
    const html = await reportOf({
      log,
      model: { name: "M", parameters: {} },
      settings,
      show: () => [],
      finished: true,
    });
    rmSync(folder, { recursive: true });
    const chart = /<figure class="chart[^"]*" id="speed">[\s\S]*?<\/figure>/.exec(html)![0];
    const { series } = JSON.parse(/application\/json">(.*?)<\/script>/.exec(chart)![1]!) as {
      series: { points: [number, string][] }[];
    };
    const ticks = [...chart.matchAll(/x="48"[^>]*>([^<]*)</g)].map((m) => m[1]!).filter((t) => t !== "step");
    return {
      points: series[0]!.points.map((p) => p[1]),
      top: ticks.at(-1)!,
      tile: /speed<\/span><b>([^<]*)/.exec(html)![1]!,
    };
  }
  const even = Array.from({ length: 40 }, () => ({ seconds: 0.2 }));

  it("of two steps that are heard of together is that of both", async () => {
    const { points, top, tile } = await speedOf(
      even.map((own, i) => (i === 20 ? { seconds: 0.4 - 6e-5 } : i === 21 ? { seconds: 6e-5 } : own)),
    );
    expect(new Set(points)).toEqual(new Set(["5.00 k"]));
    expect([top, tile]).toEqual(["4 k", "5.00 k/s"]);
    // If the two steps belong to different points, both points stay within the chart's scale.
    const apart = await speedOf(
      even.map((own, i) => (i === 19 ? { seconds: 0.4 - 6e-5 } : i === 20 ? { seconds: 6e-5 } : own)),
    );
    expect(apart.points.slice(4, 6)).toEqual(["4.00 k", "6.67 k"]);
    expect(apart.top).toBe("6 k");
  });

  it("is without the step that kernels are compiled in, and its axis without what one point alone reaches", async () => {
    const { points } = await speedOf([{ seconds: 60, first: true }, ...even]);
    expect(new Set(points)).toEqual(new Set(["5.00 k"]));
    expect(await speedOf(even.map((own, i) => (i >= 20 && i < 24 ? { seconds: 1e-6 } : own)))).toMatchObject({
      top: "6 k",
    });
    expect((await speedOf([{ seconds: 0.5 }])).points).toEqual(["2.00 k"]);
    expect((await speedOf(even.slice(0, 6))).points).toEqual(["5.00 k"]);
  });
});

describe("its numbers", () => {
  it("are round on the axes and cover them", () => {
    expect(ticks(0, 100, 5)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(ticks(0.1, 0.35, 3)).toEqual([0.1, 0.2, 0.3]);
    expect(ticks(3, 3, 4)).toEqual([3]);
    for (const [low, high] of [
      [0, 1],
      [-3, 7],
      [1e-6, 3e-6],
      [0, 123_456],
    ] as const) {
      const found = ticks(low, high, 5);
      expect(found.length).toBeGreaterThan(1);
      expect(found.every((t) => t >= low - 1e-12 && t <= high + 1e-12)).toBe(true);
    }
  });

  it("are short", () => {
    expect([0, 999, 1234, 2_345_678].map(short)).toEqual(["0", "999", "1.23 k", "2.35 M"]);
    expect([5, 65, 3725].map(duration)).toEqual(["5 s", "1 min 05 s", "1 h 02 min"]);
  });
});
