// Graphs as text: what is printed reads back as the same, and what does not read says why and where.
import { describe, expect, it } from "vitest";
import { nodesOf } from "../../../src/compiler/ir/graph.js";
import { IrSyntaxError, parseGraph } from "../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../src/compiler/ir/print.js";
import { verify } from "../../../src/compiler/ir/verify.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import { SOUND } from "./graphs.js";

const graph = parseGraph(SOUND, ops);

describe("printing and parsing", () => {
  it("is the identity on what was printed", () => {
    const text = printGraph(graph);
    expect(printGraph(parseGraph(text, ops))).toBe(text);
  });

  it("keeps every part of a graph", () => {
    const again = parseGraph(printGraph(graph), ops);
    expect({ ...again, outputs: again.outputs.length, states: again.states.length, starts: again.starts.size }).toEqual(
      {
        ...graph,
        outputs: graph.outputs.length,
        states: graph.states.length,
        starts: graph.starts.size,
      },
    );
    expect(nodesOf(again)).toEqual(nodesOf(graph));
    expect(verify(again, ops)).toEqual([]);
  });

  it("reads count rules, live defaults, bounds and packings", () => {
    expect(graph.name).toBe('Sound "quoted"');
    expect(graph.axes[2]).toEqual({
      role: "sequence",
      name: "K",
      bound: null,
      count: { kind: "top", parent: "T", k: parseSize("ceil(live(capacity)*T)") },
    });
    expect(graph.axes[4]).toEqual({
      role: "sequence",
      name: "S",
      bound: null,
      count: { kind: "span", parent: "T", start: -2, stop: null },
    });
    expect(graph.axes[5]).toMatchObject({ count: { kind: "join", parts: ["S", "T"] } });
    expect(graph.live).toEqual([{ name: "capacity", kind: "ratio", default: { num: 1n, den: 8n } }]);
    expect(graph.inputs.map((i) => [i.name, i.packing, i.below])).toEqual([
      ["x", { axis: "T", batchDim: 0, tokenDim: 1 }, null],
      ["names", null, 31],
    ]);
  });

  it("carries places given by offsets, and passes over other comments", () => {
    const origin = (op: string) => nodesOf(graph).find((n) => n.op === op)!.origin;
    expect(origin("weight")).toEqual({ path: "router", span: { file: "sound.mod", start: 10, end: 20 } });
    expect(origin("matmul")).toEqual({ path: "", span: { file: "my file.mod", start: 30, end: 40 } });
    expect(origin("top")).toBeNull();
  });

  it("shows places as asked", () => {
    expect(printGraph(graph, { place: (span) => `${span.file}:2:${span.start}` })).toContain(
      "// router sound.mod:2:10\n",
    );
    expect(printGraph(graph, { place: null })).not.toContain("//");
  });

  it("infers types that are left out", () => {
    expect(printGraph(graph)).toMatch(/ = div\(%\d+, %\d+\) : f32\[\]\n/);
  });

  it("keeps numbers that JSON lacks", () => {
    for (const value of ["Infinity", "-Infinity", "NaN", "-0"]) {
      const text = `graph "g"\n%0 = constant {"value":"${value}","dtype":"f32","shape":[]}()\nresult "output" = %0 []\n`;
      const [node] = nodesOf(parseGraph(text, ops));
      expect(node!.attrs).toHaveProperty("value", Number(value));
      expect(printGraph(parseGraph(text, ops))).toContain(`"value":"${value}"`);
    }
  });

  it("keeps axes whose names JavaScript uses itself", () => {
    const text =
      `graph "__proto__"\naxis constructor = free\ninput "__proto__" = %0 [constructor]\n%0 = input ` +
      `{"name":"__proto__","dtype":"f32","shape":["constructor"]}() : f32[constructor]\nresult "__proto__" = %0 ` +
      `[constructor]\n`;
    expect(printGraph(parseGraph(text, ops))).toBe(text);
    expect(verify(parseGraph(text, ops), ops)).toEqual([]);
  });

  it("takes time in proportion to the text", () => {
    const depth = 20_000;
    const lines = ['graph "deep"', '%0 = weight {"path":"w","dtype":"f32","shape":[3]}()'];
    for (let i = 1; i <= depth; i++) lines.push(`%${i} = neg(%${i - 1})`);
    lines.push(`result "output" = %${depth} [3]`);
    const deep = parseGraph(lines.join("\n"), ops);
    expect(verify(deep, ops)).toEqual([]);
    expect(printGraph(deep).split("\n").length).toBe(depth + 4);
  });
});

describe("text that is no graph", () => {
  const HEAD = 'graph "g"\naxis B = batch\naxis T = sequence input\n';
  it.each<[name: string, text: string, line: number, message: RegExp]>([
    ["no name", "axis B = batch", 1, /begins with its name/],
    ["an unknown word", `${HEAD}node %1`, 4, /expected graph, axis/],
    ["an unknown operator", `${HEAD}%0 = conv()`, 4, /no operator conv/],
    ["an operator of the prototype", `${HEAD}%0 = constructor()`, 4, /no operator constructor/],
    ["an undefined input", `${HEAD}%1 = neg(%0)`, 4, /%0 is not defined above/],
    ["a node twice", `${HEAD}%0 = seed()\n%0 = seed()`, 5, /%0 is defined twice/],
    ["attributes that do not end", `${HEAD}%0 = live {"name":"x"`, 4, /do not end/],
    ["attributes that are no JSON", `${HEAD}%0 = live {name:"x"}()`, 4, /JSON/],
    ["an attribute missing", `${HEAD}%0 = live {}()`, 4, /live lacks the attribute name/],
    ["an attribute too many", `${HEAD}%0 = seed {"x":1}()`, 4, /seed has no attribute x/],
    ["an attribute of another kind", `${HEAD}%0 = live {"name":3}()`, 4, /attribute name of live must be a string/],
    ["a dtype that is none", `${HEAD}%0 = constant {"value":1,"dtype":"f64","shape":[]}()`, 4, /must be a dtype/],
    ["a size that is none", `${HEAD}%0 = constant {"value":1,"dtype":"f32","shape":["T +"]}()`, 4, /not a size/],
    ["a type that is not inferred", `${HEAD}%0 = seed() : f32[]`, 4, /stated type f32\[\], inferred u32\[\]/],
    ["inputs that do not fit", `${HEAD}%0 = seed()\n%1 = exp(%0)`, 5, /exp: input 0 must be f32 or f16, found u32\[\]/],
    ["too few inputs", `${HEAD}%0 = seed()\n%1 = add(%0)`, 5, /add: takes 2 inputs, found 1/],
    [
      "several results read as one",
      `${HEAD}axis K = sequence top of T; k = 1\n%0 = starts {"axis":"T"}()\n%1 = input ` +
        `{"name":"s","dtype":"f32","shape":["rows(T)"]}()\n%2 = top {"axis":"K"}(%1, %0, %0)\n%3 = counts(%2)`,
      8,
      /top has 3 results: pick one/,
    ],
    ["an axis that is none", `${HEAD}%0 = starts {"axis":"U"}()`, 4, /there is no axis U/],
    ["an axis without a role", 'graph "g"\naxis B', 2, /expected the form T = sequence/],
    ["a sequence without a rule", 'graph "g"\naxis T = sequence', 2, /expected a count rule/],
    ["a rule without its k", 'graph "g"\naxis K = sequence top of T', 2, /states k/],
    ["a rule on a batch", 'graph "g"\naxis B = batch input', 2, /a batch axis has no count rule/],
    ["an input that is no input", `${HEAD}%0 = seed()\ninput "x" = %0 []`, 5, /%0 is no input node/],
    ["an output of nothing", `${HEAD}result "y" = %0 []`, 4, /%0 is not defined above/],
    ["a state without a next value", `${HEAD}state "s" f32[] = zeros`, 4, /expected the form/],
    ["a trailing word", `${HEAD}%0 = seed() : u32[] now`, 4, /expected the form/],
  ])("%s", (_name, text, line, message) => {
    const run = (): unknown => parseGraph(text, ops);
    expect(run).toThrow(IrSyntaxError);
    expect(run).toThrow(message);
    try {
      run();
    } catch (error) {
      expect((error as IrSyntaxError).line).toBe(line); // expected above
    }
  });
});
