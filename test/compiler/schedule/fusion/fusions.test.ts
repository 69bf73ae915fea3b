// A graph in, its fusions out: what the kernel graph says of small graphs, one for each epilogue, and of those whose
// fusions were wrong once.
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, PORTABLE, type Target } from "../../../../src/runtime/program/target.js";
import { fuse, type KernelGraph } from "../../../../src/compiler/schedule/fusion/kernel-graph.js";
import { printKernels } from "../../../../src/compiler/schedule/fusion/print-kernels.js";
import { parseGraph } from "../../../../src/compiler/ir/parse.js";
import { printGraph } from "../../../../src/compiler/ir/print.js";
import { ops } from "../../../../src/compiler/ops/index.js";
import { graphOf } from "../graphs.js";

/** A device whose products sum over rows. */
const SUBGROUPS: Target = { device: "mesa-software", subgroups: [8, 8], f16: true, limits: DEFAULT_LIMITS };
const few = (buffers: number): Target => ({
  ...SUBGROUPS,
  limits: { ...DEFAULT_LIMITS, storageBuffersPerStage: buffers },
});

const weight = (name: string, ...shape: readonly number[]): string =>
  `%${name} = weight {"path":"${name}","dtype":"f32","shape":[${shape.join()}]}()`;
const product = (name: string, a: string, columns: number, rows = 4): string =>
  `${weight(`w${name}`, rows, columns)}\n%${name} = matmul {"transposed":false}(%${a}, %w${name})`;
const slice = (name: string, of: string, start: number, stop: number): string =>
  `%${name} = slice {"axis":1,"start":${start},"stop":${stop}}(%${of})`;
const heads = (name: string, of: string, count: number, width: number): string =>
  `%${name} = reshape {"shape":["rows(T)",${count},${width}]}(%${of})`;
const first = (name: string, of: string): string => `%${name} = permute {"order":[1,0,2]}(%${of})`;
const result = (name: string, shape = "[B, T, 4] packed T 0 1"): string => `result "${name}" = %${name} ${shape}`;
const POSITIONS =
  `%positions = positions {"axis":"T"}(%starts)\n%table = rope_table ` +
  `{"positions":64,"width":4,"theta":100,"frequencies":null,"scale":1}()`;
const rotated = (name: string, of: string): string =>
  `${heads(`${name}h`, of, 2, 4)}\n${first(`${name}p`, `${name}h`)}\n%${name} = rope(%${name}p, %positions, %table)`;
const HEADS = "[2, rows(T), 4]";
const CACHE = `%cstarts = starts {"axis":"C"}()\nstarts C = %cstarts\n%count = state {"name":"count","dtype":"u32","shape":["B"]}()
%place = append {"axis":"T"}(%count, %starts, %cstarts)\n%added = counts(%starts)\n%counted = add(%count, %added)\nstate "count" u32[B] = zeros next %counted`;
const cache = (name: string, rows: string): string =>
  `%${name} = state {"name":"${name}","dtype":"f32","shape":["rows(C)",2,4]}()\n%n${name} = set {"dim":0}(%${name}, %place, %${rows})
state "${name}" f32[rows(C), 2, 4] = zeros next %n${name}`;
const AXES = "axis C = sequence <= 64 input";
const ROUTE = `%score = sum {"axes":[1],"keep":false}(%x)\n%top = top {"axis":"K"}(%score, %starts, %starts)
%index = pick {"result":0}(%top)\n%kstarts = pick {"result":1}(%top)\nstarts K = %kstarts`;

/** Body, target and axes of a graph, by what its kernels show. */
const GRAPHS: Readonly<Record<string, readonly [body: string, target?: Target, axes?: string]>> = {
  "a product alone": [`${product("y", "x", 4)}\n${result("y")}`],
  "a prologue and pointwise": [
    `${weight("g", 4)}\n%a = mul(%x, %g)\n${product("p", "a", 4)}\n${weight("b", 4)}\n%s = add(%p, %b)\n%t = ` +
      `tanh(%s)\n%y = add(%t, %x)\n${result("y")}`,
  ],
  "a pair of columns": [
    `${product("p", "x", 8)}\n${slice("gate", "p", 0, 4)}\n${slice("up", "p", 4, 8)}\n%g = silu(%gate)\n%y = ` +
      `mul(%g, %up)\n${result("y")}`,
  ],
  "rotary heads": [
    `${POSITIONS}\n${product("p", "x", 16)}\n${slice("q", "p", 0, 8)}\n${slice("k", "p", 8, 16)}\n${rotated("r", "q")}
%e = exp(%r)\n%z = sin(%k)\n${result("e", HEADS)}\n${result("z", "[B, T, 8] packed T 0 1")}`,
  ],
  "cache writes": [
    `${POSITIONS}\n${CACHE}\n${product("p", "x", 16)}\n${slice("k", "p", 0, 8)}\n${slice("v", "p", 8, 16)}\n${rotated("r", "k")}\n${first("back", "r")}
${cache("keys", "back")}\n${heads("vh", "v", 2, 4)}\n${cache("values", "vh")}`,
    SUBGROUPS,
    AXES,
  ],
  "row sums": [
    `${product("p", "x", 64)}\n%q = mul(%p, %p)\n%s = sum {"axes":[1],"keep":true}(%q)\n%r = rsqrt(%s)\n%y = ` +
      `mul(%p, %r)\n${result("y", "[B, T, 64] packed T 0 1")}`,
    SUBGROUPS,
  ],
  "a scatter": [
    `${ROUTE}\n%rows = take {"dim":0}(%x, %index)\n%stream = exp(%x)\n${product("p", "rows", 4)}\n%t = ` +
      `tanh(%p)\n%y = put {"dim":0}(%stream, %index, %t)\n${result("y")}`,
    SUBGROUPS,
    "axis K = sequence top of T; k = 2",
  ],
  "a choice with rows in pages": [
    `%score = sum {"axes":[1],"keep":false}(%x)\n%half = constant {"value":0.1,"dtype":"f32","shape":[]}()
%above = above {"axis":"K"}(%score, %half, %starts)\n%index = pick {"result":0}(%above)\n%kstarts = pick {"result":1}(%above)\nstarts K = %kstarts
%count = state {"name":"count","dtype":"u32","shape":["B"]}()\n%held = state {"name":"held","dtype":"u32","shape":["T.pool"]}()
%table = state {"name":"table","dtype":"u32","shape":["B",12]}()\nstate "table" u32[B, 12] = zeros next %table
%place = paged_append {"axis":"K","page":4}(%count, %kstarts, %table)\n%added = counts(%kstarts)\n%counted = add(%count, %added)
%positions = positions {"axis":"T"}(%starts)\n%own = take {"dim":0}(%positions, %index)\n%nheld = set {"dim":0}(%held, %place, %own)
state "count" u32[B] = zeros next %counted\nstate "held" u32[T.pool] = zeros next %nheld
${result("own", "[B, K] packed K 0 1")}`,
    { ...SUBGROUPS, limits: { ...DEFAULT_LIMITS, storageBuffersPerStage: 16 } },
    "axis T.pool = free\naxis K = sequence above of T; expected = 1/2",
  ],
  "gates of a choice": [
    `${product("p", "x", 8)}\n%s = softmax {"axis":1}(%p)\n%i = top_entries {"k":2,"choice":"C"}(%s)
%t = take_entries(%s, %i)\n%m = sum {"axes":[1],"keep":true}(%t)\n%g = div(%t, %m)
${result("i", "[B, T, 2] packed T 0 1")}\n${result("g", "[B, T, 2] packed T 0 1")}`,
  ],
  // What the score's other reader needs is stored; what is computed later than the choice does not join it.
  "a choice among what others read": [
    `${product("p", "x", 8)}\n%s = sigmoid(%p)\n%q = softmax {"axis":1}(%s)\n%i = top_entries {"k":2,"choice":"C"}(%q)
%t = take_entries(%s, %i)\n${product("late", "q", 2, 8)}\n%g = mul(%t, %late)
${result("i", "[B, T, 2] packed T 0 1")}\n${result("g", "[B, T, 2] packed T 0 1")}`,
  ],
  // Router and experts each compute the norm where they load it; nothing stores it.
  "a norm before a mixture": [
    `%q = powi {"exponent":2}(%x)\n%s = sum {"axes":[1],"keep":true}(%q)\n%r = rsqrt(%s)\n%n = mul(%x, %r)
${product("p", "n", 3)}\n%i = top_entries {"k":2,"choice":"C"}(%p)\n%sorted = sort_entries {"groups":3}(%i)
%own = pick {"result":1}(%sorted)\n%place = pick {"result":2}(%sorted)\n%gstarts = pick {"result":3}(%sorted)
%rows = entry_rows(%n, %own, %place)\n${[0, 1, 2].map((e) => weight(`e${e}`, 4, 4)).join("\n")}
%all = concat {"axis":0}(%e0, %e1, %e2)\n%stack = reshape {"shape":[3,4,4]}(%all)
%each = grouped_matmul {"transposed":true}(%rows, %stack, %gstarts)\n%y = sum_entries(%each, %place, %own)
${result("y")}`,
  ],
  // 16babd5: a store of a product's first columns was mistaken for a store of all columns.
  "the first columns of a wider product": [`${product("p", "x", 8)}\n${slice("y", "p", 0, 4)}\n${result("y")}`],
  // 16babd5: slices that overlap cannot stand in one memory.
  "slices that overlap": [
    `${product("p", "x", 8)}\n${slice("a", "p", 0, 6)}\n${slice("b", "p", 2, 8)}\n%ea = exp(%a)\n%sa = sum {"axes":[1],"keep":false}(%ea)\n%eb = exp(%b)
%sb = sum {"axes":[1],"keep":false}(%eb)\n${result("sa", "[B, T] packed T 0 1")}\n${result("sb", "[B, T] packed T 0 1")}`,
  ],
  // 16babd5: two rotations of one product ended in an invariant.
  "two rotations of one value": [
    `${POSITIONS}\n${product("p", "x", 8)}\n${rotated("a", "p")}\n${rotated("b", "p")}\n%ea = exp(%a)\n%eb = ` +
      `exp(%b)\n${result("ea", HEADS)}\n${result("eb", HEADS)}`,
  ],
  // dec7580: a fusion of too many buffers dropped the sum with a bias, and kept the rotation behind it.
  "a rotation behind a sum that is given up": [
    `${POSITIONS}\n${product("p", "x", 8)}\n${weight("b", 8)}\n%k = add(%p, %b)\n${rotated("r", "k")}\n%e = ` +
      `exp(%r)\n${result("e", HEADS)}`,
    few(5),
  ],
  // db30397: two values of one slice were both to be set in caches.
  "two values of one slice for two caches": [
    `${CACHE}\n${product("p", "x", 16)}\n${slice("q", "p", 0, 8)}\n${slice("k", "p", 8, 16)}\n%z = exp(%q)\n%one = relu(%k)\n%two = sin(%k)
${heads("h1", "one", 2, 4)}\n${heads("h2", "two", 2, 4)}\n${cache("ca", "h1")}\n${cache("cb", "h2")}\n${result("z", "[B, T, 8] packed T 0 1")}`,
    SUBGROUPS,
    AXES,
  ],
  // db30397: columns that were rotated and summed were wrong.
  "a value of a slice summed, another rotated": [
    `${POSITIONS}\n${product("p", "x", 8)}\n%one = relu(%p)\n%two = sin(%p)\n${rotated("r", "one")}\n%e = exp(%r)\n${result("e", HEADS)}
%s = sum {"axes":[1],"keep":false}(%two)\n%t = exp(%s)\n${result("t", "[B, T] packed T 0 1")}`,
    SUBGROUPS,
  ],
  // The first sum is needed whole, which makes room for the second, which is so, too.
  "sums that are read whole one after the other": [
    `${product("p", "x", 64)}\n${ROUTE}\n%q = mul(%p, %p)\n%s = sum {"axes":[1],"keep":true}(%q)\n%e = exp(%p)
%t = sum {"axes":[1],"keep":true}(%e)\n%rows = take {"dim":0}(%x, %index)\n%r = sum {"axes":[1],"keep":true}(%rows)
%ys = set {"dim":0}(%s, %index, %r)\n%yt = set {"dim":0}(%t, %index, %r)\n${result("ys", "[B, T, 1] packed T 0 1")}
${result("yt", "[B, T, 1] packed T 0 1")}\n${result("p", "[B, T, 64] packed T 0 1")}`,
    few(4),
    "axis K = sequence top of T; k = 2",
  ],
};

describe("the kernels of", () => {
  it.each(Object.entries(GRAPHS))("%s", async (name, [body, target = PORTABLE, axes = ""]) => {
    const text = printed(fuse(graphOf(body, { axes }), target));
    await expect(text).toMatchFileSnapshot(`golden/${name.replaceAll(" ", "-")}.txt`);
    // The graph above the kernels says all that they follow from.
    const graph = parseGraph(text.slice(0, text.indexOf("\n\nkernel ") + 1), ops);
    expect(printed(fuse(graph, target))).toBe(text);
  });
});

const printed = (fused: KernelGraph): string => `${printGraph(fused.graph, { place: null })}\n${printKernels(fused)}`;
