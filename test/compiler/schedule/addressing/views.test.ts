// What a graph says of its views before any kernel is chosen: which are opaque, and which are written in their order.
import { describe, expect, it } from "vitest";
import { nodesOf } from "../../../../src/compiler/ir/graph.js";
import { viewsOf } from "../../../../src/compiler/schedule/addressing/views.js";
import { Extents } from "../../../../src/compiler/schedule/analysis/extents.js";
import { graphOf } from "../graphs.js";

const OUTPUT = "[B, T, 4] packed T 0 1";
const ROUTES = `%top = top {"axis":"K"}(%x2, %starts, %starts)
%first = pick {"result":0}(%top)
%kstarts = pick {"result":1}(%top)
starts K = %kstarts`;
const AXES = "axis K = sequence top of T; k = 2";

/** The opaque and the written views of a graph, as the operators behind each other. */
function found(body: string, axes = ""): { readonly opaque: readonly string[]; readonly written: readonly string[] } {
  const graph = graphOf(body, { axes });
  const required = new Set(graph.outputs.map((o) => o.node));
  const { opaque, written } = viewsOf(nodesOf(graph), required, new Set(), new Extents(graph.axes));
  const named = (
    nodes: Iterable<{ readonly op: string; readonly inputs: readonly { readonly op: string }[] }>,
  ): string[] => [...nodes].map((n) => `${n.op}(${n.inputs[0]!.op})`);
  return { opaque: named(opaque), written: named(written) };
}

describe("a view is opaque", () => {
  it("where dimensions are merged that do not lie behind each other", () => {
    const body =
      `%h = reshape {"shape":["rows(T)",2,2]}(%x)\n%p = permute {"order":[0,2,1]}(%h)\n%m = reshape ` +
      `{"shape":["rows(T)",4]}(%p)`;
    expect(found(`${body}\n%y = exp(%m)\nresult "y" = %y ${OUTPUT}`).opaque).toEqual(["reshape(permute)"]);
  });
  it("not where they are merged as they were split", () => {
    const body = `%h = reshape {"shape":["rows(T)",2,2]}(%x)\n%m = reshape {"shape":["rows(T)",4]}(%h)`;
    expect(found(`${body}\n%y = exp(%m)\nresult "y" = %y ${OUTPUT}`).opaque).toEqual([]);
  });
  /** Rows chosen by `depth` nested routes. */
  const throughIndices = (depth: number): readonly string[] => {
    const levels = Array.from({ length: depth }, (_, i) => ({ of: i === 0 ? "T" : `K${i - 1}`, own: `K${i}`, i }));
    const lines = levels.map(
      ({ of, own, i }) => `%top${i} = top {"axis":"${own}"}(%score${i}, %s${of}, %s${of})
%index${i} = pick {"result":0}(%top${i})\n%s${own} = pick {"result":1}(%top${i})\nstarts ${own} = %s${own}
%picked${i} = take {"dim":0}(%score${i}, %index${i})\n%score${i + 1} = exp(%picked${i})
%rows${i + 1} = take {"dim":0}(%rows${i}, %index${i})`,
    );
    const axes = levels.map(({ of, own }) => `axis ${own} = sequence top of ${of}; k = 1`).join("\n");
    return found(
      `%sT = reshape {"shape":["B + 1"]}(%starts)\n%score0 = sum {"axes":[1],"keep":false}(%x)
%rows0 = slice {"axis":1,"start":0,"stop":2}(%x)\n${lines.join("\n")}\n%y = exp(%rows${depth})
result "y" = %y [B, K${depth - 1}, 2] packed K${depth - 1} 0 1`,
      axes,
    ).opaque;
  };
  it("where an element is found through three indices, not through two", () => {
    expect(throughIndices(2)).toEqual([]);
    expect(throughIndices(3)).toEqual(["take(slice)"]);
  });
  it("where a product would look up a row for each column that it loads", () => {
    const body = `%x2 = sum {"axes":[1],"keep":false}(%x)\n${ROUTES}\n%a = take {"dim":0}(%x, %first)\n%b = exp(%a)
%t = permute {"order":[1,0]}(%a)\n%y = matmul {"transposed":false}(%t, %b)`;
    expect(found(`${body}\nresult "y" = %y [4, 4]`, AXES).opaque).toEqual(["permute(take)"]);
  });
});

describe("a permutation is written in its order", () => {
  const rope = `%h = reshape {"shape":["rows(T)",2,2]}(%x)\n%p = permute {"order":[1,0,2]}(%h)
%positions = positions {"axis":"T"}(%starts)\n%table = rope_table {"positions":64,"width":2,"theta":100,"frequencies":null,"scale":1}()
%r = rope(%p, %positions, %table)\n%back = permute {"order":[1,0,2]}(%r)\n%m = reshape {"shape":["rows(T)",4]}(%back)\n%y = exp(%m)`;
  it("where nothing else needs what it permutes row-major", () => {
    expect(found(`${rope}\nresult "y" = %y ${OUTPUT}`)).toEqual({ opaque: [], written: ["permute(rope)"] });
  });
  it("and not where something does", () => {
    const { opaque, written } = found(`${rope}\nresult "y" = %y ${OUTPUT}\nresult "r" = %r [2, rows(T), 2]`);
    expect({ opaque, written }).toEqual({ opaque: ["reshape(permute)"], written: [] });
  });
});
