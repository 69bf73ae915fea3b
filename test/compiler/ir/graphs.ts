// Graphs for tests of the IR: a valid graph that uses most features, and small graphs from lines of text.
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { parseGraph } from "../../../src/compiler/ir/parse.js";
import { ops } from "../../../src/compiler/ops/index.js";

/**
 * A sound graph that uses most of what the IR can say: a routed block, a live parameter, random values, a slice joined
 * on, and a state.
 */
export const SOUND = `
graph "Sound \\"quoted\\""
axis B = batch <= 8
axis T = sequence <= 64 input
axis K = sequence top of T; k = ceil(live(capacity)*T)
axis A = sequence above of T; expected = 1/8
axis S = sequence span of T; start = -2; stop = end
axis J = sequence join of S; T
axis N = free <= 3
live "capacity" ratio = 1/8
input "x" = %0 [B, T, 4] packed T 0 1
input "names" = %40 [N] below 31
// a comment of its own
%0 = input {"name":"x","dtype":"f32","shape":["rows(T)",4]}() : f32[rows(T), 4]
%40 = input {"name":"names","dtype":"u32","shape":["N"]}()
%1 = weight {"path":"router.weight","dtype":"f32","shape":[1,4]}() : f32[1, 4]  // router sound.mod@10-20
%2 = matmul {"transposed":true}(%0, %1) : f32[rows(T), 1]  // . my file.mod@30-40
%3 = reshape {"shape":["rows(T)"]}(%2) : f32[rows(T)]
%4 = starts {"axis":"T"}() : u32[B + 1]
%5 = top {"axis":"K"}(%3, %4, %4) : u32[rows(K)] u32[B + 1] u32[rows(K)]  // layers.1.inner shown elsewhere
%6 = pick {"result":0}(%5) : u32[rows(K)]
%7 = pick {"result":1}(%5) : u32[B + 1]
%8 = take {"dim":0}(%0, %6) : f32[rows(K), 4]
%9 = live {"name":"capacity"}() : f32[]
%10 = mul(%8, %9) : f32[rows(K), 4]
%11 = put {"dim":0}(%0, %6, %10) : f32[rows(T), 4]
%12 = constant {"value":"-Infinity","dtype":"f32","shape":[]}() : f32[]
%13 = above {"axis":"A"}(%3, %12, %4) : u32[rows(A)] u32[B + 1]
%14 = pick {"result":0}(%13) : u32[rows(A)]
%15 = pick {"result":1}(%13) : u32[B + 1]
%16 = route_mask {"axis":"T"}(%14, %4) : bool[rows(T)]
%17 = span {"axis":"S"}(%4) : u32[rows(S)] u32[B + 1]
%18 = pick {"result":1}(%17) : u32[B + 1]
%19 = join {"axis":"J"}(%18, %4) : u32[B + 1] u32[rows(S)] u32[rows(T)]
%20 = pick {"result":0}(%19) : u32[B + 1]
%21 = positions {"axis":"J"}(%20) : u32[rows(J)]
%22 = seed() : u32[]
%23 = random_uniform {"shape":["rows(J)",3],"dim":0,"stream":7}(%22, %21) : f32[rows(J), 3]
%24 = sum {"axes":[0,1],"keep":false}(%23) : f32[]
%25 = state {"name":"total","dtype":"f32","shape":[]}() : f32[]
%26 = add(%25, %24) : f32[]
%27 = size {"size":"rows(T) + 3","dtype":"f32"}() : f32[]
%28 = div(%26, %27)
state "total" f32[] = zeros next %26
starts T = %4
starts K = %7
starts A = %15
starts S = %18
starts J = %20
result "output" = %11 [B, T, 4] packed T 0 1
loss "loss" = %28 []
observe "layers.1.chosen.mask" = %16 [B, T] packed T 0 1
`;

/** A graph of text lines behind a head with axes and one input of rows. */
export const rowsGraph = (...lines: readonly string[]): Graph =>
  parseGraph(
    [
      'graph "g"',
      "axis B = batch",
      "axis T = sequence input",
      'input "x" = %0 [B, T] packed T 0 1',
      '%0 = input {"name":"x","dtype":"f32","shape":["rows(T)"]}()',
      '%1 = starts {"axis":"T"}()',
      "starts T = %1",
      ...lines,
    ].join("\n"),
    ops,
  );
