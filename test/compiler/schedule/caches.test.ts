// What products set in caches, and what rides on a choice: several runs on a device, of graphs that no model of today
// makes too, each held against the reference.
import { describe, it } from "vitest";
import { expectReference, type Setting } from "./against-reference.js";
import { graphOf } from "./graphs.js";

const weight = (name: string, shape: readonly number[]): string =>
  `%${name} = weight {"path":"${name}","dtype":"f32","shape":[${shape.join()}]}()`;
const state = (name: string, shape: string, dtype = "f32"): string =>
  `%${name} = state {"name":"${name}","dtype":"${dtype}","shape":[${shape}]}()`;
const CSTARTS = `%cstarts = starts {"axis":"T.capacity"}()\nstarts T.capacity = %cstarts`;
const INPUT_TABLE = `input "table" = %table [64, 4]\n%table = input {"name":"table","dtype":"f32","shape":[64,4]}()`;

describe("what a product sets in caches", () => {
  const axes = { axes: "axis T.capacity = sequence <= 64 input" };
  const FEW: Setting = { lengths: [3, 1, 2], room: 16 };
  const HEAD = `${INPUT_TABLE}\n${CSTARTS}\n${state("count", '"B"', "u32")}
%place = append {"axis":"T"}(%count, %starts, %cstarts)
%added = counts(%starts)\n%counted = add(%count, %added)\nstate "count" u32[B] = zeros next %counted
%pos = positions {"axis":"T"}(%starts)`;
  /** A matmul computes keys and queries as columns of the same result. */
  const PRODUCT = `${weight("w", [4, 16])}\n%p = matmul {"transposed":false}(%x, %w)
%q = slice {"axis":1,"start":0,"stop":8}(%p)\n%k = slice {"axis":1,"start":8,"stop":16}(%p)\n%sq = exp(%q)\nresult "sq" = %sq [B, T, 8] packed T 0 1`;
  const heads = (from: string, to: string): string => `%${to} = reshape {"shape":["rows(T)",2,4]}(%${from})`;
  const turned = (from: string, to: string): string =>
    `%${to}p = permute {"order":[1,0,2]}(%${from})\n%${to} = rope(%${to}p, %pos, %table)`;
  const set = (cache: string, rows: string): string =>
    `${state(cache, '"rows(T.capacity)",2,4')}\n%n${cache} = set {"dim":0}(%${cache}, %place, %${rows})\nstate "${cache}" ` +
    `f32[rows(T.capacity), 2, 4] = zeros next %n${cache}`;
  const result = (from: string): string =>
    `%e = tanh(%${from})\n%o = permute {"order":[1,0,2]}(%e)\nresult "o" = %o [B, T, 2, 4] packed T 0 1`;

  it.each([
    ["a slice", `${PRODUCT}\n${heads("k", "r")}\n${set("ca", "r")}`],
    [
      "a slice, turned",
      `${PRODUCT}\n${heads("k", "r")}\n${turned("r", "t")}\n%back = permute {"order":[1,0,2]}(%t)\n` +
        set("ca", "back"),
    ],
    [
      "two values of one slice",
      `${PRODUCT}\n%one = relu(%k)\n%two = sin(%k)\n${heads("one", "r")}\n${heads("two", "s")}\n${set("ca", "r")}` +
        `\n${set("cb", "s")}`,
    ],
    [
      "of two values of one slice the one, where the other is turned",
      `${PRODUCT}\n%one = relu(%k)\n%two = sin(%k)\n${heads("one", "r")}\n${heads("two", "s")}\n` +
        `${turned("r", "t")}\n${result("t")}\n${set("cb", "s")}`,
    ],
    [
      "all its columns turned, beside rows that are added to",
      `${weight("w", [4, 8])}\n%p = matmul {"transposed":false}(%x, %w)\n%one = relu(%p)\n%two = sin(%p)\n${heads("one", "r")}\n${turned("r", "t")}
%back = permute {"order":[1,0,2]}(%t)\n${set("ca", "back")}\n${state("cc", '"rows(T.capacity)",8')}\n%ncc = put {"dim":0}(%cc, %place, %two)\nstate "cc" f32[rows(T.capacity), 8] = zeros next %ncc`,
    ],
    [
      "nothing, where what is turned is summed too",
      `${weight("w", [4, 64])}\n%p = matmul {"transposed":false}(%x, %w)\n%one = relu(%p)\n%two = sin(%p)\n%r = reshape {"shape":["rows(T)",16,4]}(%one)\n${turned("r", "t")}
%e = tanh(%t)\n%o = permute {"order":[1,0,2]}(%e)\nresult "o" = %o [B, T, 16, 4] packed T 0 1
%s = sum {"axes":[1],"keep":false}(%two)\n%es = exp(%s)\nresult "s" = %es [B, T] packed T 0 1`,
    ],
  ])("%s", async (_name, body) => expectReference(graphOf(`${HEAD}\n${body}`, axes), FEW));

  it.each(["seg", "place"])("is not what another slice reads of the old rows, by %s", async (index) => {
    const g = graphOf(
      `${HEAD}\n%seg = segments {"axis":"T"}(%starts)\n${PRODUCT}\n${heads("k", "r")}\n${set("ca", "r")}
%new = take {"dim":0}(%nca, %place)\n%enew = exp(%new)\nresult "new" = %enew [B, T, 2, 4] packed T 0 1
%flat = reshape {"shape":["rows(T.capacity)",8]}(%ca)\n%old = take {"dim":0}(%flat, %${index})\n%y = add(%q, %old)\nresult "y" = %y [B, T, 8] packed T 0 1`,
      axes,
    );
    await expectReference(g, { lengths: [16, 9, 16, 16, 7, 16, 16, 16], room: 64 });
  });
});

describe("what rides on a choice", () => {
  const axes = { axes: "axis K = sequence above of T; expected = 1/2\naxis T.capacity = sequence <= 64 input" };
  const above = (
    score: string,
    threshold = "half",
    starts = "starts",
  ): string => `%half = constant {"value":0.1,"dtype":"f32","shape":[]}()
%above = above {"axis":"K"}(%${score}, %${threshold}, %${starts})\n%kindex = pick {"result":0}(%above)\n%kstarts = pick {"result":1}(%above)\nstarts K = %kstarts`;
  const RIDERS = `%kadded = counts(%kstarts)\n%kcounted = add(%kc, %kadded)\nstate "kc" u32[B] = zeros next %kcounted
%kplace = append {"axis":"K"}(%kc, %kstarts, %cstarts)\n%pos = positions {"axis":"T"}(%starts)\n%kpos = take {"dim":0}(%pos, %kindex)
%ncp = set {"dim":0}(%cp, %kplace, %kpos)\nstate "cp" u32[rows(T.capacity)] = zeros next %ncp
%kk = gather(%table, %kpos)\nresult "kk" = %kk [B, K, 4] packed K 0 1
%rows = take {"dim":0}(%x, %kindex)\n%er = exp(%rows)\nresult "rows" = %er [B, K, 4] packed K 0 1`;
  const HEAD =
    `${INPUT_TABLE}\n${CSTARTS}\n${state("kc", '"B"', "u32")}\n${state("cp", '"rows(T.capacity)"', "u32")}\n%score = sum ` +
    `{"axes":[1],"keep":false}(%x)`;
  const SETTINGS: readonly (readonly [string, Setting])[] = [
    ["of few rows", { lengths: [2, 0, 5], room: 16 }],
    ["of many", { lengths: [16, 16, 0, 16, 16, 13, 16], room: 64 }],
  ];

  for (const [size, setting] of SETTINGS)
    it.each([
      ["positions, places and counts", above("score")],
      [
        "the same, where scores are computed",
        `%minus = constant {"value":-0.3,"dtype":"f32","shape":[]}()\n%moved = add(%score, %minus)\n${above("moved")}`,
      ],
      [
        "the same, by a threshold for each row",
        `%most = reduce_max {"axes":[1],"keep":false}(%x)\n${above("score", "most")}`,
      ],
      ["the same, by a threshold that is the score", above("score", "score")],
      [
        "not what scores are computed of",
        `%there = append {"axis":"T"}(%kc, %starts, %cstarts)\n%old = take {"dim":0}(%cp, %there)\n%float = cast ` +
          `{"dtype":"f32"}(%old)\n%less = sub(%float, %score)\n${above("less")}`,
      ],
    ])(`%s, ${size}`, async (_name, choice) =>
      expectReference(graphOf(`${HEAD}\n${choice}\n${RIDERS}`, axes), setting),
    );

  it.each(SETTINGS)("positions, places in pages and counts, %s", async (_size, { lengths }) => {
    const [each, page] = [12, 4];
    const pool = page * each * 7;
    const g = graphOf(
      `${INPUT_TABLE}\n${state("kc", '"B"', "u32")}\n${state("cp", '"T.pool"', "u32")}\n${state("pages", `"B",${each}`, "u32")}
state "pages" u32[B, ${each}] = zeros next %pages\n%score = sum {"axes":[1],"keep":false}(%x)\n${above("score")}
%kadded = counts(%kstarts)\n%kcounted = add(%kc, %kadded)\nstate "kc" u32[B] = zeros next %kcounted
%kplace = paged_append {"axis":"K","page":${page}}(%kc, %kstarts, %pages)
%pos = positions {"axis":"T"}(%starts)\n%kpos = take {"dim":0}(%pos, %kindex)
%ncp = set {"dim":0}(%cp, %kplace, %kpos)\nstate "cp" u32[T.pool] = zeros next %ncp
%kk = gather(%table, %kpos)\nresult "kk" = %kk [B, K, 4] packed K 0 1`,
      { axes: "axis T.pool = free\naxis K = sequence above of T; expected = 1/2" },
    );
    // Pages are distinct, since 5 does not divide 84.
    const pages = Array.from({ length: lengths.length * each }, (_, i) => (5 * i) % (each * 7));
    await expectReference(g, { lengths, pool, states: new Map([["pages", pages]]) });
  });

  it.each([8, 300])("not rows that move within what they are taken from: %i for each sequence", async (room) => {
    const g = graphOf(
      `${INPUT_TABLE}\n${CSTARTS}\n${state("cp", '"rows(T.capacity)"', "u32")}\n${state("none", '"B"', "u32")}\nstate "none" u32[B] = zeros next %none
%pp = positions {"axis":"T.capacity"}(%cstarts)\n%fp = cast {"dtype":"f32"}(%pp)\n%score = sin(%fp)\n${above("score", "half", "cstarts")}
%kplace = append {"axis":"K"}(%none, %kstarts, %cstarts)\n%kept = take {"dim":0}(%cp, %kindex)\n%g = gather(%table, %kept)
%sg = sum {"axes":[0],"keep":false}(%g)\n%esg = mul(%sg, %sg)\nresult "sg" = %esg [4]
%moved = set {"dim":0}(%cp, %kplace, %kept)\nstate "cp" u32[rows(T.capacity)] = zeros next %moved\n%m = exp(%x)\nresult "m" = %m [B, T, 4] packed T 0 1`,
      { axes: "axis T.capacity = sequence <= 512 input\naxis K = sequence above of T.capacity; expected = 1/2" },
    );
    await expectReference(g, {
      lengths: [2, 1, 2],
      room,
      states: new Map([["cp", Array.from({ length: 3 * room }, (_, i) => i % 60)]]),
    });
  });
});
