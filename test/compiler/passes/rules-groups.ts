// For each rule on entries in groups, nodes at which it fires and nodes, much alike, at which it must not.
import type { RuleCase } from "./rules.js";

/** The rows of %x twice, in two groups. */
const sorted = `%f = positions {"axis":"T"}(%s)
%g = reshape {"shape":["rows(T)",1]}(%f)
%e = sort_entries {"groups":2}(%g)
%o = pick {"result":1}(%e)
%p = pick {"result":2}(%e)
%n = pick {"result":3}(%e)
%z = entry_rows(%x, %o, %p)`;
/** A stack of two weights. */
const stack = (
  name: string,
  columns: number,
): string => `%${name}0 = weight {"path":"${name}0","dtype":"f32","shape":[${columns},4]}()
%${name}1 = weight {"path":"${name}1","dtype":"f32","shape":[${columns},4]}()
%${name}2 = concat {"axis":0}(%${name}0, %${name}1)
%${name} = reshape {"shape":[2,${columns},4]}(%${name}2)`;

/** Two entries of each row, sorted, and read entry by entry. */
const entries = `%f = positions {"axis":"T"}(%s)
%g = reshape {"shape":["rows(T)",1]}(%f)
%l = broadcast {"shape":["rows(T)",2]}(%g)
%e = sort_entries {"groups":2}(%l)
%u = pick {"result":0}(%e)
%o = pick {"result":1}(%e)
%p = pick {"result":2}(%e)
%z = entry_rows(%x, %o, %p)
%v = reshape {"shape":["2*rows(T)"]}(%p)
%w = reshape {"shape":["2*rows(T)",1]}(%u)
%1 = neg(%z)
%2 = entry_rows(%1, %v, %w)
%3 = reshape {"shape":["rows(T)",2,4]}(%2)
%q = slice {"axis":1,"start":0,"stop":2}(%x)`;

export const groupCases: readonly RuleCase[] = [
  {
    rule: "sum-of-entries",
    fires: `${entries}
%4 = reshape {"shape":["rows(T)",2,1]}(%q)
%5 = mul(%3, %4)
%6 = sum {"axes":[1],"keep":false}(%5)`,
    spares: [
      // over something else than entries
      `${entries}
%4 = sum {"axes":[2],"keep":false}(%3)`,
      // a sum over entries plus another value
      `${entries}
%4 = reshape {"shape":["rows(T)",2,1]}(%q)
%5 = add(%3, %4)
%6 = sum {"axes":[1],"keep":false}(%5)`,
    ],
  },
  {
    rule: "added-entries",
    pass: "fuse-routing",
    fires: `${sorted}
%1 = neg(%z)
%2 = sum_entries(%1, %p, %o)
%3 = add(%x, %2)`,
    spares: [
      `${sorted}
%1 = neg(%z)
%2 = sum_entries(%1, %p, %o)
%3 = add(%x, %2)
%4 = mul(%3, %2)`,
    ],
  },
  {
    rule: "merge-stacks",
    pass: "merge-products",
    fires: `${sorted}
${stack("u", 16)}
${stack("v", 32)}
%0 = neg(%z)
%1 = grouped_matmul {"transposed":true}(%z, %u, %n)
%2 = grouped_matmul {"transposed":true}(%0, %v, %n)
%3 = grouped_matmul {"transposed":true}(%0, %u, %n)
%4 = grouped_matmul {"transposed":true}(%z, %v, %n)
%5 = concat {"axis":1}(%1, %4)
%6 = concat {"axis":1}(%3, %2)
%7 = mul(%5, %6)
%8 = sum_entries(%7, %p, %o)`,
    spares: [
      // other rows
      `${sorted}
${stack("u", 16)}
${stack("v", 16)}
%0 = neg(%z)
%1 = grouped_matmul {"transposed":true}(%z, %u, %n)
%2 = grouped_matmul {"transposed":true}(%0, %v, %n)
%3 = add(%1, %2)
%4 = sum_entries(%3, %p, %o)`,
      // a stack that is read by other rows too
      `${sorted}
${stack("u", 16)}
${stack("v", 16)}
%0 = neg(%z)
%1 = grouped_matmul {"transposed":true}(%z, %u, %n)
%2 = grouped_matmul {"transposed":true}(%0, %u, %n)
%3 = grouped_matmul {"transposed":true}(%z, %v, %n)
%4 = add(%1, %2)
%5 = add(%4, %3)
%6 = sum_entries(%5, %p, %o)`,
      // a stack that another node reads too
      `${sorted}
${stack("u", 16)}
${stack("v", 16)}
%1 = grouped_matmul {"transposed":true}(%z, %u, %n)
%2 = grouped_matmul {"transposed":false}(%1, %u, %n)
%3 = grouped_matmul {"transposed":true}(%z, %v, %n)
%4 = grouped_matmul {"transposed":false}(%3, %v, %n)
%5 = add(%2, %4)
%6 = sum_entries(%5, %p, %o)`,
      // matrices too large to bind together
      `${sorted}
${stack("u", 4_194_304)}
${stack("v", 4_194_320)}
%1 = grouped_matmul {"transposed":true}(%z, %u, %n)
%2 = grouped_matmul {"transposed":true}(%z, %v, %n)
%3 = concat {"axis":1}(%1, %2)
%4 = sum_entries(%3, %p, %o)`,
      // a stack that is read twice
      `${sorted}
${stack("u", 16)}
%0 = neg(%z)
%1 = grouped_matmul {"transposed":true}(%z, %u, %n)
%2 = grouped_matmul {"transposed":true}(%0, %u, %n)
%3 = add(%1, %2)
%4 = sum_entries(%3, %p, %o)`,
    ],
  },
];
