import { describe, expect, it } from "vitest";
import type { Graph, Node } from "../../../src/compiler/ir/graph.js";
import { createEmit } from "../../../src/compiler/ir/build.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { DEFAULT_LIMITS } from "../../../src/runtime/program/target.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import type { Plan, PlanStep } from "../../../src/compiler/schedule/plan/plan.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { printSize } from "../../../src/ground/size/size.js";
import { caseOf, named, samples } from "../ops/samples.js";
import { soaking } from "../../soak.js";
import { ABOVE, graphOf } from "./graphs.js";
import { processorTime } from "../../processor-time.js";

const names = (plan: Plan): string[] => plan.steps.map((s) => (s.kind === "dispatch" ? s.kernel.name : s.kind));
const dispatches = (plan: Plan): Extract<PlanStep, { kind: "dispatch" }>[] =>
  plan.steps.flatMap((s) => (s.kind === "dispatch" ? [s] : []));
const OUTPUT = "[B, T, 4] packed T 0 1";

/** What holds of every plan. */
function checkPlan(plan: Plan): void {
  for (const { kernel, buffers, uniforms } of dispatches(plan)) {
    expect(buffers.length).toBe(kernel.buffers.length);
    expect(uniforms.length).toBe(kernel.fields.length);
    expect(buffers.length).toBeLessThanOrEqual(DEFAULT_LIMITS.storageBuffersPerStage);
    kernel.buffers.forEach((b, i) => {
      if (b.access === "read_write") expect(buffers.filter((slot) => slot === buffers[i])).toHaveLength(1);
    });
    expect(new Set(kernel.buffers.map((b) => b.name)).size).toBe(kernel.buffers.length);
    expect(new Set(kernel.fields.map((f) => f.name)).size).toBe(kernel.fields.length);
  }
  for (const step of plan.steps) if (step.kind === "copy") expect(step.from).not.toBe(step.to);
}

describe("every plan", () => {
  it.each(Object.keys(samples) as OpName[])("%s keeps within the limits and binds what it writes once", (op) => {
    for (const sample of samples[op].list) named(sample.name, () => checkPlan(schedule(caseOf(op, sample).graph)));
  });
});

describe("pointwise operators", () => {
  it("that one other reads are computed where they are read", () => {
    const plan = schedule(graphOf(`%a = exp(%x)\n%b = mul(%a, %x)\n%c = add(%b, %x)\nresult "y" = %c ${OUTPUT}`));
    expect(names(plan)).toEqual(["exp_mul_add"]);
    expect(dispatches(plan)[0]!.buffers).toHaveLength(2);
  });
  it("that several read are computed once", () => {
    const plan = schedule(
      graphOf(`%a = exp(%x)\n%b = neg(%a)\n%c = abs(%a)\n%d = add(%b, %c)\nresult "y" = %d ${OUTPUT}`),
    );
    expect(names(plan)).toEqual(["exp", "neg_abs_add"]);
  });
  it("are not computed again for each element of a larger result", () => {
    const plan = schedule(
      graphOf(`%s = sum {"axes":[1],"keep":true}(%x)\n%r = rsqrt(%s)\n%y = mul(%x, %r)\nresult "y" = %y ${OUTPUT}`),
    );
    expect(names(plan)).toEqual(["reduce", "rsqrt", "mul"]);
  });
  it("read broadcast inputs and constants as they are", () => {
    const plan = schedule(
      graphOf(
        `%c = constant {"value":2,"dtype":"f32","shape":[4]}()\n%b = broadcast {"shape":["rows(T)",4]}(%c)\n%y = ` +
          `mul(%x, %b)\nresult "y" = %y ${OUTPUT}`,
      ),
    );
    expect(names(plan)).toEqual(["mul"]);
    expect(dispatches(plan)[0]!.buffers).toHaveLength(2);
  });
  it("never read more buffers than a kernel may bind", () => {
    const inputs = Array.from(
      { length: 20 },
      (_, i) => `%w${i} = weight {"path":"w${i}","dtype":"f32","shape":[4]}()`,
    ).join("\n");
    const sums = Array.from({ length: 20 }, (_, i) => `%s${i} = add(${i === 0 ? "%x" : `%s${i - 1}`}, %w${i})`).join(
      "\n",
    );
    const plan = schedule(graphOf(`${inputs}\n${sums}\nresult "y" = %s19 ${OUTPUT}`));
    checkPlan(plan);
    expect(dispatches(plan).length).toBe(4);
  });
});

describe("structure", () => {
  it("that no kernel can see through is copied, and whatever reads a sum of it is made after that", () => {
    const plan = schedule(
      graphOf(`%wide = weight {"path":"w","dtype":"f32","shape":[4,64]}()
%t = tanh(%x)
%w = matmul {"transposed":false}(%t, %wide)
%heads = reshape {"shape":["rows(T)",32,2]}(%w)
%turned = permute {"order":[1,0,2]}(%heads)
%positions = positions {"axis":"T"}(%starts)
%table = rope_table {"positions":64,"width":2,"theta":100,"frequencies":null,"scale":1}()
%rope = rope(%turned, %positions, %table)
%back = permute {"order":[1,0,2]}(%rope)
%rows = reshape {"shape":["rows(T)",64]}(%back)
%n = neg(%rows)
%s = sum {"axes":[1],"keep":false}(%n)
%y = tanh(%s)
%z = exp(%back)
result "y" = %y [B, T] packed T 0 1
result "z" = %z [B, T, 32, 2] packed T 0 1`),
    );
    checkPlan(plan);
    expect(names(plan)).toContain("row_sums_wide");
  });
});

describe("memory", () => {
  it("of a value is taken over by put where nothing else reads it", () => {
    const route =
      `%score = sum {"axes":[1],"keep":false}(%x)\n%top = top {"axis":"K"}(%score, %starts, %starts)\n%index = ` +
      `pick {"result":0}(%top)\n%kstarts = pick {"result":1}(%top)\nstarts K = %kstarts`;
    const axes = "axis K = sequence top of T; k = 2";
    const last = schedule(
      graphOf(
        `${route}\n%a = exp(%x)\n%rows = take {"dim":0}(%a, %index)\n%y = put {"dim":0}(%a, %index, ` +
          `%rows)\nresult "y" = %y ${OUTPUT}`,
        { axes },
      ),
    );
    expect(names(last)).toEqual(["exp", "reduce", "top_held", "put"]);
    const read = schedule(
      graphOf(
        `${route}\n%a = exp(%x)\n%rows = take {"dim":0}(%a, %index)\n%y = put {"dim":0}(%a, %index, %rows)\n%z = ` +
          `add(%y, %a)\nresult "y" = %z ${OUTPUT}`,
        { axes },
      ),
    );
    expect(names(read)).toEqual(["exp", "reduce", "top_held", "copy", "put", "add"]);
    const given = schedule(
      graphOf(
        `${route}\n%rows = take {"dim":0}(%x, %index)\n%y = put {"dim":0}(%x, %index, %rows)\nresult "y" = %y ` +
          OUTPUT,
        { axes },
      ),
    );
    expect(names(given)).toEqual(["reduce", "top_held", "copy", "put"]);
  });
  it("of views is that of what they view", () => {
    const plan = schedule(
      graphOf(
        `%a = reshape {"shape":["rows(T)",2,2]}(%x)\n%b = stop_gradient(%a)\n%c = reshape ` +
          `{"shape":["rows(T)",4]}(%b)\nresult "y" = %c ${OUTPUT}`,
      ),
    );
    expect(plan.steps).toEqual([]);
    expect(plan.outputs[0]!.slot).toBe(plan.inputs.get("x"));
  });
  it("of an output is not used for anything after it", () => {
    const chain = Array.from(
      { length: 6 },
      (_, i) =>
        `%s${i} = sum {"axes":[1],"keep":true}(${i === 0 ? "%x" : `%y${i - 1}`})\n%y${i} = mul(` +
        `${i === 0 ? "%x" : `%y${i - 1}`}, %s${i})`,
    ).join("\n");
    const plan = schedule(graphOf(`${chain}\nresult "a" = %y1 ${OUTPUT}\nresult "b" = %y5 ${OUTPUT}`));
    const [a, b] = plan.outputs.map((o) => o.slot);
    expect(a).not.toBe(b);
    for (const slot of [a, b])
      expect(
        dispatches(plan).filter((d) =>
          d.kernel.buffers.some((k, i) => k.access === "read_write" && d.buffers[i] === slot),
        ),
      ).toHaveLength(1);
  });
});

describe("states", () => {
  const state = (name: string): string => `%${name} = state {"name":"${name}","dtype":"f32","shape":[4]}()`;
  it("take their new values after every old one has been read", () => {
    const plan = schedule(
      graphOf(
        `${state("m")}\n%n = exp(%m)\n%y = add(%x, %m)\nstate "m" f32[4] = zeros next %n\nresult "y" = %y ${OUTPUT}`,
      ),
    );
    expect(names(plan)).toEqual(["add", "exp"]);
    expect(dispatches(plan)[1]!.buffers).toEqual([plan.states.get("m")]);
  });
  it("may swap", () => {
    const plan = schedule(
      graphOf(
        `${state("a")}\n${state("b")}\nstate "a" f32[4] = zeros next %b\nstate "b" f32[4] = zeros next %a\n%y = ` +
          `neg(%x)\nresult "y" = %y ${OUTPUT}`,
      ),
    );
    const slots = new Map<number, string>([
      [plan.states.get("a")!, "a"],
      [plan.states.get("b")!, "b"],
    ]);
    for (const s of plan.steps) if (s.kind === "copy") slots.set(s.to, slots.get(s.from)!);
    expect([slots.get(plan.states.get("a")!), slots.get(plan.states.get("b")!)]).toEqual(["b", "a"]);
  });
  it("give their old value as a result though they change", () => {
    const plan = schedule(
      graphOf(
        `${state("m")}\n%n = exp(%m)\nstate "m" f32[4] = zeros next %n\n%y = neg(%x)\nresult "y" = %y ${OUTPUT}` +
          `\nresult "old" = %m [4]`,
      ),
    );
    expect(plan.outputs[1]!.slot).not.toBe(plan.states.get("m"));
  });
});

describe("axes that only the device knows", () => {
  it("are counted by the last entry of their starts, and dispatched at their bound", () => {
    const plan = schedule(graphOf(`${ABOVE.body}%y = exp(%rows)\nresult "y" = %y [B, K, 4] packed K 0 1`, ABOVE));
    checkPlan(plan);
    const exp = dispatches(plan).at(-1)!;
    expect(exp.kernel.declarations.find((d) => d.kind === "count" && d.name === "count")).toMatchObject({
      count: { kind: "rows" },
    });
    expect(printSize(exp.workgroups)).toBe("ceil(1/16*rows(K))");
    expect(plan.outputs[0]!.starts[0]!.slot).toBe(
      exp.buffers[exp.kernel.buffers.findIndex((b) => b.name === "starts_0")],
    );
  });
  it("count among the buffers that a kernel may bind, whoever reads their rows", () => {
    const columns = Array.from(
      { length: 9 },
      (_, i) => `%w${i} = weight {"path":"w${i}","dtype":"f32","shape":[16]}()`,
    ).join("\n");
    const wide =
      `%wide = weight {"path":"wide","dtype":"f32","shape":[4,16]}()\n%t = matmul {"transposed":false}(%x, %wide)\n` +
      columns;
    const sum = (n: number): string =>
      Array.from({ length: n }, (_, i) => `%u${i} = mul(${i === 0 ? "%long" : `%u${i - 1}`}, %w${i})`).join("\n") +
      `\n%u = tanh(%u${n - 1})`;
    for (const n of [3, 4, 5, 6, 7, 8]) {
      const body = `${ABOVE.body}${wide}\n%long = take {"dim":0}(%t, %kindex)\n${sum(n)}`;
      for (const end of [
        `%first = slice {"axis":1,"start":0,"stop":1}(%long)\n%v = mul(%u, %first)\n%y = put {"dim":0}(%t, ` +
          `%kindex, %v)\nresult "y" = %y [B, T, 16] packed T 0 1`,
        `%y = sum {"axes":[1],"keep":true}(%u)\nresult "y" = %y [B, K, 1] packed K 0 1`,
        `%y = softmax {"axis":1}(%u)\nresult "y" = %y [B, K, 16] packed K 0 1`,
        `%y = sum {"axes":[0],"keep":true}(%u)\nresult "y" = %y [1, 16]`,
      ])
        checkPlan(schedule(graphOf(`${body}\n${end}`, ABOVE)));
    }
  });
  it("are computed after their starts, even where nothing else says so", () => {
    const plan = schedule(
      graphOf(
        `%c = constant {"value":1,"dtype":"f32","shape":["rows(K)",4]}()\n%p = neg(%c)\n${ABOVE.body}result "y" ` +
          "= %p [B, K, 4] packed K 0 1",
        ABOVE,
      ),
    );
    expect(names(plan).indexOf("above")).toBeLessThan(names(plan).indexOf("neg"));
  });
});

describe("axes", () => {
  const rows = (...names: readonly string[]): string =>
    names
      .map(
        (n) => `%p${n} = top {"axis":"${n.toUpperCase()}"}(%score, %starts, %starts)
%i${n} = pick {"result":0}(%p${n})
%s${n} = pick {"result":1}(%p${n})
starts ${n.toUpperCase()} = %s${n}
%r${n} = take {"dim":0}(%x, %i${n})
%y${n} = exp {}(%r${n})
result "${n}" = %y${n} [B, ${n.toUpperCase()}, 4] packed ${n.toUpperCase()} 0 1`,
      )
      .join("\n");

  it("of equal counts share kernels, words and tables; others have their own", () => {
    const axes = `axis U = sequence top of T; k = ceil(1/4*T)
axis V = sequence top of T; k = ceil(1/4*T)
axis W = sequence top of T; k = ceil(1/2*T)`;
    const plan = schedule(graphOf(`%score = sum {"axes":[1],"keep":false}(%x)\n${rows("u", "v", "w")}`, { axes }));
    expect(plan.tables.flatMap((t) => (t.kind === "starts" ? [t.axis] : []))).toEqual(["T", "U", "W"]);
    const words = plan.steps.flatMap((s) => (s.kind === "dispatch" && s.kernel.name === "exp" ? [s.uniforms] : []));
    expect(words[0]).toEqual(words[1]);
    expect(words[0]).not.toEqual(words[2]);
  });

  it("that the host counts cost no dispatch", () => {
    const axes =
      "axis K = sequence top of T; k = ceil(1/4*T)\naxis S = sequence span of K; start = 1; stop = end\naxis J = " +
      "sequence join of S; T";
    const body = `%j = starts {"axis":"J"}()
starts J = %j
%p = positions {"axis":"J"}(%j)
%q = segments {"axis":"J"}(%j)
%c = counts(%j)
result "p" = %p [B, J] packed J 0 1
result "q" = %q [B, J] packed J 0 1
result "c" = %c [B]
result "j" = %j [B + 1]`;
    const graph = graphOf(body, { axes });
    const plan = schedule(graph);
    expect(plan.steps).toEqual([]);
    expect(plan.tables.map((t) => t.kind).toSorted()).toEqual(["counts", "positions", "segments", "starts"]);
    const x = { shape: [2, 9, 4], data: new Float64Array(72) };
    const { outputs } = evaluate(graph, { inputs: new Map([["x", x]]), weights: new Map(), lengths: [9, 2] });
    // Three and one are chosen, two and none of them are left, and all tokens follow.
    expect([...outputs.get("j")!.data]).toEqual([0, 11, 13]);
    expect([...outputs.get("p")!.data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("that only the device can count are never taken for one another", () => {
    const axes = "axis U = sequence above of T; expected = 1/8\naxis V = sequence above of T; expected = 1/8";
    const body = `%score = sum {"axes":[1],"keep":false}(%x)
%half = constant {"value":0.5,"dtype":"f32","shape":[]}()
${rows("u", "v").replaceAll("top", "above").replaceAll("(%score, %starts, %starts)", "(%score, %half, %starts)")}`;
    const plan = schedule(graphOf(body, { axes }));
    const takes = plan.steps.filter((s) => s.kind === "dispatch" && s.kernel.name === "exp");
    const starts = takes.map((s) =>
      s.kind === "dispatch" ? s.buffers[s.kernel.buffers.findIndex((b) => b.name.startsWith("starts"))] : null,
    );
    expect(new Set(starts).size).toBe(2);
  });
});

it("time grows with the number of nodes, and depth needs no stack", { tags: "long" }, () => {
  const chain = (length: number): Graph => {
    const base = graphOf(`result "y" = %x ${OUTPUT}`);
    const emit = createEmit(ops, base.axes);
    let y: Node = base.inputs[0]!.node;
    for (let i = 0; i < length; i++) y = emit.node("exp", [emit.node("softmax", [y], { axis: 1 })], {});
    return { ...base, outputs: [{ ...base.outputs[0]!, node: y }] };
  };
  const time = (length: number): number => {
    const graph = chain(length);
    const seconds = processorTime();
    const plan = schedule(graph);
    expect(plan.slots.length).toBeLessThan(5);
    return seconds();
  };
  time(500);
  const few = soaking ? 2000 : 1000;
  const [short, long] = [Math.min(time(few), time(few)), time(10 * few)];
  expect(long / short).toBeLessThan(40);
});
