// Sums over rows that a route updates, set by the product that makes those rows in what another product left: on a
// device, each graph held against the reference.
import { describe, expect, it } from "vitest";
import { isOp } from "../../../src/compiler/ir/graph.js";
import { PORTABLE, type Target } from "../../../src/runtime/program/target.js";
import { fuse } from "../../../src/compiler/schedule/fusion/kernel-graph.js";
import { schedule } from "../../../src/compiler/schedule/schedule.js";
import { expectReference, type Setting } from "./against-reference.js";
import { graphOf } from "./graphs.js";

const MESA: Target = {
  device: "mesa-software",
  subgroups: [8, 8],
  f16: true,
  limits: { ...PORTABLE.limits, storageBuffersPerStage: 16 },
};
const SETTINGS: readonly Setting[] = [{ lengths: [1] }, { lengths: [3, 0, 17, 5] }];
const AXES = { axes: "axis K = sequence above of T; expected = 1/2\naxis L = sequence above of T; expected = 1/2" };

const weight = (name: string, shape: readonly number[]): string =>
  `%${name} = weight {"path":"${name}","dtype":"f32","shape":[${shape.join()}]}()`;
const squares = (of: string, to: string): string =>
  `%${to}q = powi {"exponent":2}(%${of})\n%${to} = sum {"axes":[1],"keep":true}(%${to}q)`;
const weighted = (of: string, to: string): string =>
  `%${to}m = mul(%${of}, %gain)\n%${to} = sum {"axes":[1],"keep":true}(%${to}m)`;
const set = (x: string, index: string, rows: string, to: string): string =>
  `%${to} = set {"dim":0}(%${x}, %${index}, %${rows})`;
/** Whatever reads a sum for all rows, element by element. */
const shown = (sum: string, to: string): string =>
  `%${to} = tanh(%${sum})\nresult "${to}" = %${to} [B, T, 1] packed T 0 1`;

/** A stream of 64 columns, and two choices of rows. */
const HEAD = `${weight("w", [4, 64])}\n${weight("gain", [64])}\n%p = matmul {"transposed":false}(%x, %w)
%score = sum {"axes":[1],"keep":false}(%x)\n%half = constant {"value":0.1,"dtype":"f32","shape":[]}()\n%less = neg(%score)
%above = above {"axis":"K"}(%score, %half, %starts)\n%i = pick {"result":0}(%above)\n%ks = pick {"result":1}(%above)\nstarts K = %ks
%below = above {"axis":"L"}(%less, %half, %starts)\n%j = pick {"result":0}(%below)\n%ls = pick {"result":1}(%below)\nstarts L = %ls`;
/** New rows, computed by products that read other rows than the store writes. */
const rows = (
  of: string,
  at: string,
  to: string,
): string => `${weight(`${to}w`, [4, 64])}\n${weight(`${to}v`, [64, 64])}
%${to}x = take {"dim":0}(%x, %${at})\n%${to}h = matmul {"transposed":false}(%${to}x, %${to}w)\n%${to}t = take {"dim":0}(%${of}, %${at})
%${to}g = tanh(%${to}h)\n%${to}u = matmul {"transposed":false}(%${to}g, %${to}v)\n%${to} = add(%${to}t, %${to}u)`;
const ROWS = rows("p", "i", "n");
/** Rows computed without the stored stream. */
const fresh = (at: string, to: string): string =>
  `${weight(`${to}w`, [4, 64])}\n%${to}x = take {"dim":0}(%x, %${at})\n%${to}h = matmul {"transposed":false}(%` +
  `${to}x, %${to}w)\n%${to} = tanh(%${to}h)`;
const STREAM = `${set("p", "i", "n", "y")}\n%ey = tanh(%y)\nresult "y" = %ey [B, T, 64] packed T 0 1`;

const GRAPHS: Readonly<Record<string, string>> = {
  "as a norm's":
    `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n` +
    shown("z", "ez"),
  "several of them": `${HEAD}\n${squares("p", "s")}\n${weighted("p", "a")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n${weighted("n", "b")}
${set("s", "i", "r", "z")}\n${set("a", "i", "b", "c")}\n${shown("z", "ez")}\n${shown("c", "ec")}`,
  "read by the chosen rows as well": `${HEAD}\n${squares("p", "s")}\n${weight("v", [64, 64])}\n%t = take {"dim":0}(%p, %i)\n%ts = take {"dim":0}(%s, %i)\n%d = div(%t, %ts)
%h = matmul {"transposed":false}(%d, %v)\n%g = tanh(%h)\n${weight("v2", [64, 64])}\n%u = matmul {"transposed":false}(%g, %v2)\n%n = add(%t, %u)
${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "whose old values are read later": `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}
%f = sub(%z, %s)\n${shown("f", "ef")}`,
  "whose old values the caller reads":
    `${HEAD}\n${squares("p", "s")}\nresult "s" = %s [B, T, 1] packed T 0 1\n${ROWS}\n${STREAM}\n` +
    `${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "that the caller reads":
    `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\nresult ` +
    `"z" = %z [B, T, 1] packed T 0 1`,
  "of rows that are read elsewhere":
    `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n%en = exp(%n)\nresult "n" = %en [B, K, 64] packed K 0 1\n` +
    `${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "of rows that are not scattered": `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "in those of rows that no product makes": `${HEAD}\n%wide = concat {"axis":1}(%x, %x, %x, %x, %x, %x, %x, %x, %x, %x, %x, %x, %x, %x, %x, %x)\n${squares("wide", "s")}\n${ROWS}\n${STREAM}
${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "in those of rows of another width": `${HEAD}\n${weight("o", [4, 160])}\n%q = matmul {"transposed":false}(%x, %o)\n%eq = tanh(%q)\nresult "q" = %eq [B, T, 160] packed T 0 1
${squares("q", "s")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "after others of them were": `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n%tj = take {"dim":0}(%s, %j)\n%all = put {"dim":0}(%s, %j, %tj)
${set("all", "i", "r", "z")}\n${shown("z", "ez")}`,
  "twice over": `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${set("p", "i", "n", "y")}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}
${rows("y", "j", "m")}\n${set("y", "j", "m", "y2")}
%ey = tanh(%y2)\nresult "y" = %ey [B, T, 64] packed T 0 1\n${squares("m", "r2")}\n${set("z", "j", "r2", "z2")}\n${shown("z2", "ez")}`,
  "of a stream whose old rows are read later":
    `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n%old = exp(%p)\nresult "old" = %old [B, T, 64] packed T 0 ` +
    `1\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "of rows that are added, not replaced": `${HEAD}\n${squares("p", "s")}\n${ROWS}\n%y = put {"dim":0}(%p, %i, %n)\n%ey = tanh(%y)\nresult "y" = %ey [B, T, 64] packed T 0 1
${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "of a product that waits for a copy": `${weight("w", [4, 64])}\n%xr = reshape {"shape":["rows(T)",2,2]}(%x)\n%xp = permute {"order":[0,2,1]}(%xr)\n%xf = reshape {"shape":["rows(T)",4]}(%xp)
${HEAD.replace('matmul {"transposed":false}(%x, %w)', 'matmul {"transposed":false}(%xf, %w)').replace(weight("w", [4, 64]), "")}
${squares("p", "s")}\n${fresh("i", "n")}\n${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "of a product that waits for a bias": `${HEAD.replace("%p = ", `${weight("o", [8, 8])}\n%op = permute {"order":[1,0]}(%o)\n%of = reshape {"shape":[64]}(%op)\n%p0 = `).replace("%score", "%p = add(%p0, %of)\n%score")}
${squares("p", "s")}\n${fresh("i", "n")}\n${STREAM}\n${squares("n", "r")}\n${set("s", "i", "r", "z")}\n${shown("z", "ez")}`,
  "added to what there is":
    `${HEAD}\n${squares("p", "s")}\n${ROWS}\n${STREAM}\n${squares("n", "r")}\n%z = put {"dim":0}(%s, %i, %r)\n` +
    shown("z", "ez"),
};

describe("sums over rows that a route updates", () => {
  for (const [name, body] of Object.entries(GRAPHS))
    it(`${name}, are what the reference says`, { tags: "long" }, async () => {
      for (const setting of SETTINGS) await expectReference(graphOf(body, AXES), setting);
    });

  it("are partitioned a second time if a separate kernel sets them, since it reads the old sums whole", () => {
    const again = Object.entries(GRAPHS).flatMap(([name, body]) =>
      fuse(graphOf(body, AXES), MESA).partition.whole.size > 0 ? [name] : [],
    );
    expect(again).toEqual([
      "that the caller reads",
      "of rows that are not scattered",
      "in those of rows of another width",
      "twice over",
    ]);
  });

  it("are set by the kernel that makes the rows, which needs no copy", () => {
    const { steps } = schedule(graphOf(GRAPHS["read by the chosen rows as well"]!, AXES), MESA);
    expect(steps.filter((s) => s.kind === "copy")).toEqual([]);
    const setting = steps.filter((s) => s.nodes.some((n) => isOp(n, "set")));
    expect(new Set(setting.map((s) => s.nodes[0]!.op))).toEqual(new Set(["matmul"]));
    expect(setting.every((s) => s.nodes.filter((n) => isOp(n, "set")).length === 2)).toBe(true);
  });
});
