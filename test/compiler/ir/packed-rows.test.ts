// Operators that would take packed rows apart are refused as a graph is read.
import { describe, expect, it } from "vitest";
import { rowsGraph } from "./graphs.js";

describe("packed rows", () => {
  const rows = '%3 = input {"name":"y","dtype":"f32","shape":["rows(T)",6]}()';
  it.each<[name: string, line: string, problem: RegExp]>([
    ["are not sliced", '%4 = slice {"axis":0,"start":0,"stop":1}(%3)', /slice: dimension 0 .* holds packed rows/],
    ["are not concatenated", '%4 = concat {"axis":0}(%3, %3)', /concat: dimension 0 .* holds packed rows/],
    [
      "are not merged by a reshape with what lies before them",
      '%4 = permute {"order":[1,0]}(%3)\n%5 = reshape {"shape":["6*rows(T)"]}(%4)',
      /reshape: .* takes packed rows apart/,
    ],
    ["are not split by a reshape", '%4 = reshape {"shape":[2,"rows(T)",3]}(%3)', /reshape: .* takes packed rows apart/],
    ["are not lost by a reshape", '%4 = reshape {"shape":[36]}(%3)', /reshape: .* hold different numbers of elements/],
    ["are no classes of a softmax", '%4 = softmax {"axis":0}(%3)', /softmax: dimension 0 .* holds packed rows/],
    [
      "are no classes of an argmax",
      '%4 = argmax {"axis":0,"keep":false}(%3)',
      /argmax: dimension 0 .* holds packed rows/,
    ],
    [
      "do not meet those of another axis",
      '%4 = input {"name":"z","dtype":"f32","shape":["rows(U)",6]}()\n%5 = add(%3, %4)',
      /add: shapes .* do not broadcast/,
    ],
    ["are what take takes from", '%4 = take {"dim":1}(%3, %2)', /take: dimension 1 .* must hold packed rows/],
    [
      "are written by as many rows as the index has",
      '%4 = put {"dim":0}(%3, %2, %3)',
      /put: the rows must be \[rows\(U\), 6\]/,
    ],
    [
      "are not random without positions",
      '%4 = seed()\n%5 = random_normal {"shape":["rows(T)"],"dim":null,"stream":0}(%4)',
      /random_normal: dimension of packed rows/,
    ],
    [
      "are not read at the end of a padded axis",
      '%4 = unpack {"dim":0,"axis":"U"}(%3, %1)',
      /unpack: dimension 0 .* must be rows\(U\)/,
    ],
  ])("%s", (_name, line, problem) => {
    const head = '%2 = input {"name":"i","dtype":"u32","shape":["rows(U)"]}()';
    expect(() => rowsGraph("axis U = sequence input", head, rows, ...line.split("\n"))).toThrow(problem);
  });

  it("become several for each token by a reshape with what lies behind them", () => {
    expect(() => rowsGraph("axis U = sequence input", rows, '%4 = reshape {"shape":["6*rows(T)"]}(%3)')).not.toThrow();
  });
});
