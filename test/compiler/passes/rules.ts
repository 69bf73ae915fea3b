// For each rewrite rule, nodes at which it fires and nodes, much alike, at which it must not.
import { maskRules } from "./rules-masks.js";
import { groupCases } from "./rules-groups.js";

export interface RuleCase {
  readonly rule: string;
  /** The pass that makes the rewrite with the whole graph in view; without it, the rule is tried alone. */
  readonly pass?: string;
  /**
   * Node lines; the last node is the result. `%x` f32[rows(T), 4], `%y` f32[4, 6], `%s` starts of T, `%b` bool[4], `%h`
   * f16[4]; of the route K of T, made by `%t`, the index `%i` and the starts `%k`.
   */
  readonly fires: string;
  readonly spares?: readonly string[];
}

const constant = (value: string, dtype = "f32", shape = ""): string =>
  `%c = constant {"value":${value},"dtype":"${dtype}","shape":[${shape}]}()`;

const zeros = constant("0", "f32", '"rows(T)",4');
const mask = `%r = route_mask {"axis":"T"}(%i, %s)\n%m = reshape {"shape":["rows(T)",1]}(%r)`;
/** Another route of T. */
const other = `%e = span {"axis":"S"}(%s)\n%j = pick {"result":0}(%e)\n%q = pick {"result":1}(%e)\nstarts S = %q`;

export const ruleCases: readonly RuleCase[] = [
  ...groupCases,
  ...maskRules,
  { rule: "reshape-of-reshape", fires: `%1 = reshape {"shape":[24]}(%y)\n%2 = reshape {"shape":[3,8]}(%1)` },
  {
    rule: "reshape-to-itself",
    fires: `%1 = neg(%y)\n%2 = reshape {"shape":[4,6]}(%1)`,
    spares: [`%1 = neg(%y)\n%2 = reshape {"shape":[6,4]}(%1)`],
  },
  { rule: "reshape-of-constant", fires: `${constant("2", "f32", "4,6")}\n%1 = reshape {"shape":[24]}(%c)` },
  {
    rule: "broadcast-to-itself",
    fires: `%1 = neg(%y)\n%2 = broadcast {"shape":[4,6]}(%1)`,
    spares: [`%1 = neg(%y)\n%2 = broadcast {"shape":[2,4,6]}(%1)`],
  },
  {
    rule: "broadcast-of-broadcast",
    fires: `%1 = broadcast {"shape":[2,4,6]}(%y)\n%2 = broadcast {"shape":[3,2,4,6]}(%1)`,
  },
  { rule: "broadcast-of-constant", fires: `${constant("2")}\n%1 = broadcast {"shape":[4]}(%c)` },
  {
    rule: "scaled-broadcast",
    fires: `${constant("2")}\n%1 = sum {"axes":[1],"keep":true}(%y)\n%2 = broadcast {"shape":[4,6]}(%1)\n%3 = mul(%2, %c)`,
    spares: [
      `${constant("2", "f32", "4,6")}\n%1 = sum {"axes":[1],"keep":true}(%y)\n%2 = broadcast {"shape":[4,6]}(%1)\n%3 = mul(%2, %c)`,
    ],
  },
  {
    rule: "permute-of-contract",
    fires: `%1 = contract(%y, %y)\n%2 = neg(%y)\n%3 = contract(%y, %2)\n%4 = add(%1, %3)\n%5 = permute {"order":[1,0]}(%4)`,
    spares: [`%1 = contract(%y, %y)\n%2 = neg(%1)\n%3 = add(%1, %2)\n%4 = permute {"order":[1,0]}(%3)`],
  },
  {
    rule: "broadcast-of-operand",
    fires: `%1 = sum {"axes":[1],"keep":true}(%y)\n%2 = broadcast {"shape":[4,6]}(%1)\n%3 = mul(%2, %y)`,
    spares: [`%1 = sum {"axes":[1],"keep":true}(%y)\n%2 = broadcast {"shape":[4,6]}(%1)\n%3 = mul(%2, %1)`],
  },
  { rule: "permute-identity", fires: `%1 = permute {"order":[0,1]}(%y)\n%2 = neg(%1)` },
  {
    rule: "permute-of-permute",
    fires: `%1 = reshape {"shape":[2,2,6]}(%y)\n%2 = permute {"order":[1,2,0]}(%1)\n%3 = permute {"order":[2,1,0]}(%2)`,
  },
  {
    rule: "permute-of-ones",
    fires: `%1 = reshape {"shape":[4,1,6]}(%y)\n%2 = permute {"order":[1,0,2]}(%1)`,
    spares: [`%1 = reshape {"shape":[4,1,6]}(%y)\n%2 = permute {"order":[1,2,0]}(%1)`],
  },
  {
    rule: "matmul-of-transposed",
    fires: `%1 = permute {"order":[1,0]}(%y)\n%2 = matmul {"transposed":true}(%x, %1)`,
    spares: [`%1 = permute {"order":[1,0]}(%y)\n%2 = matmul {"transposed":false}(%1, %y)`],
  },
  {
    rule: "matmul-of-turned-vector",
    fires: `%1 = slice {"axis":0,"start":0,"stop":1}(%y)\n%2 = reshape {"shape":[6,1]}(%1)\n%3 = matmul {"transposed":false}(%y, %2)`,
    spares: [`%1 = reshape {"shape":[6,4]}(%y)\n%2 = matmul {"transposed":false}(%y, %1)`],
  },
  {
    rule: "times-one",
    fires: `${constant("1")}\n%1 = mul(%c, %y)`,
    spares: [`${constant("1", "f32", "2,4,6")}\n%1 = mul(%c, %y)`, `${constant("2")}\n%1 = mul(%c, %y)`],
  },
  {
    rule: "divided-by-one",
    fires: `${constant("1")}\n%1 = div(%y, %c)`,
    spares: [`${constant("1")}\n%1 = div(%c, %y)`],
  },
  { rule: "plus-zero", fires: `${constant('"-0"')}\n%1 = add(%y, %c)`, spares: [`${constant("0")}\n%1 = add(%y, %c)`] },
  {
    rule: "minus-zero",
    fires: `${constant("0")}\n%1 = sub(%y, %c)`,
    spares: [`${constant('"-0"')}\n%1 = sub(%y, %c)`, `${constant("0")}\n%1 = sub(%c, %y)`],
  },
  { rule: "power-of-one", fires: `%1 = powi {"exponent":1}(%y)`, spares: [`%1 = powi {"exponent":2}(%y)`] },
  { rule: "negated-twice", fires: `%1 = neg(%y)\n%2 = neg(%1)` },
  { rule: "not-not", fires: `%1 = not(%b)\n%2 = not(%1)` },
  {
    rule: "where-constant",
    fires: `${constant("0", "bool")}\n%1 = neg(%y)\n%2 = where(%c, %y, %1)`,
    spares: [`${constant("1", "bool")}\n%1 = sum {"axes":[0],"keep":false}(%y)\n%2 = where(%c, %1, %y)`],
  },
  { rule: "cast-to-itself", fires: `%1 = cast {"dtype":"f32"}(%y)`, spares: [`%1 = cast {"dtype":"f16"}(%y)`] },
  {
    rule: "cast-of-exact-cast",
    fires: `%1 = cast {"dtype":"f32"}(%h)\n%2 = cast {"dtype":"i32"}(%1)`,
    spares: [`%1 = cast {"dtype":"f16"}(%y)\n%2 = cast {"dtype":"f32"}(%1)`],
  },
  { rule: "stop-gradient", fires: `%1 = neg(%y)\n%2 = stop_gradient(%1)` },
  { rule: "straight", fires: `%1 = neg(%y)\n%2 = straight(%1, %y)` },
  {
    rule: "slice-of-all",
    fires: `%1 = slice {"axis":1,"start":0,"stop":6}(%y)`,
    spares: [`%1 = slice {"axis":1,"start":0,"stop":5}(%y)`],
  },
  {
    rule: "slice-of-slice",
    fires: `%1 = slice {"axis":1,"start":1,"stop":6}(%y)\n%2 = slice {"axis":1,"start":2,"stop":4}(%1)`,
    spares: [`%1 = slice {"axis":1,"start":1,"stop":6}(%y)\n%2 = slice {"axis":0,"start":2,"stop":4}(%1)`],
  },
  { rule: "concat-of-one", fires: `%1 = concat {"axis":1}(%y)`, spares: [`%1 = concat {"axis":1}(%y, %y)`] },
  {
    rule: "pack-of-unpack",
    fires: `%1 = unpack {"dim":0,"axis":"T"}(%x, %s)\n%2 = pack {"dim":0,"axis":"T"}(%1, %s)`,
    spares: [`%1 = unpack {"dim":0,"axis":"T"}(%x, %s)\n%2 = neg(%1)\n%3 = pack {"dim":0,"axis":"T"}(%2, %s)`],
  },
  {
    rule: "mask-of-unpack",
    fires: `%1 = unpack {"dim":0,"axis":"T"}(%x, %s)\n%2 = mask {"dim":1,"fill":0}(%1, %s)`,
    spares: [`%1 = unpack {"dim":0,"axis":"T"}(%x, %s)\n%2 = mask {"dim":1,"fill":-1}(%1, %s)`],
  },
  {
    rule: "mask-of-mask",
    fires: `%1 = unpack {"dim":0,"axis":"T"}(%x, %s)\n%2 = mask {"dim":1,"fill":-1}(%1, %s)\n%3 = mask {"dim":1,"fill":-1}(%2, %s)`,
  },
  {
    rule: "fold-constants",
    fires: `${constant("3")}\n%1 = neg(%c)\n%2 = mul(%1, %c)\n%3 = add(%y, %2)`,
    spares: [`${constant("0")}\n%1 = log(%c)`],
  },
  // --- rows of routes
  {
    rule: "add-of-put",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = tanh(%1)\n%3 = put {"dim":0}(%c, %i, %2)\n%4 = add(%3, %x)`,
    spares: [
      `${constant("1", "f32", '"rows(T)",4')}\n%1 = take {"dim":0}(%x, %i)\n%3 = put {"dim":0}(%c, %i, %1)\n%4 = add(%x, %3)`,
    ],
  },
  {
    rule: "add-of-set",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%3 = set {"dim":0}(%c, %i, %1)\n%4 = add(%x, %3)`,
  },
  {
    rule: "set-of-sum",
    fires: `%1 = take {"dim":0}(%x, %i)\n%2 = tanh(%1)\n%3 = add(%2, %1)\n%4 = set {"dim":0}(%x, %i, %3)`,
    spares: [`%1 = take {"dim":0}(%x, %i)\n%2 = mul(%1, %1)\n%4 = set {"dim":0}(%x, %i, %2)`],
  },
  {
    rule: "take-of-put",
    fires: `%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%x, %i, %1)\n%3 = take {"dim":0}(%2, %i)`,
    spares: [`${other}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%x, %i, %1)\n%3 = take {"dim":0}(%2, %j)`],
  },
  {
    rule: "take-of-set",
    fires: `%1 = take {"dim":0}(%x, %i)\n%4 = tanh(%1)\n%2 = set {"dim":0}(%x, %i, %4)\n%3 = take {"dim":0}(%2, %i)`,
  },
  {
    rule: "set-of-put",
    fires: `%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%x, %i, %1)\n%4 = tanh(%1)\n%3 = set {"dim":0}(%2, %i, %4)`,
  },
  {
    rule: "set-of-set",
    fires: `%1 = take {"dim":0}(%x, %i)\n%2 = set {"dim":0}(%x, %i, %1)\n%4 = tanh(%1)\n%3 = set {"dim":0}(%2, %i, %4)`,
  },
  {
    rule: "where-of-mask",
    fires: `${mask}\n%1 = tanh(%x)\n%2 = where(%m, %1, %x)`,
    spares: [`${constant("0.5")}\n%1 = gt(%x, %c)\n%2 = where(%1, %c, %x)`],
  },
  {
    rule: "add-of-masked",
    fires: `${mask}\n${constant("2")}\n%1 = tanh(%x)\n%2 = cast {"dtype":"f32"}(%m)\n%3 = mul(%2, %c)\n%4 = mul(%1, %3)\n%5 = add(%4, %x)`,
    spares: [`${mask}\n%1 = tanh(%x)\n%2 = cast {"dtype":"f32"}(%m)\n%3 = add(%1, %2)\n%4 = add(%3, %x)`],
  },
  {
    rule: "chosen-rows-only",
    pass: "skip-branch",
    fires: `%w = weight {"path":"w","dtype":"f32","shape":[6,4]}()
%1 = sum {"axes":[1],"keep":true}(%x)
%2 = mul(%x, %1)
%3 = matmul {"transposed":true}(%2, %w)
%4 = reshape {"shape":["rows(T)",2,3]}(%3)
%5 = permute {"order":[1,0,2]}(%4)
%6 = softmax {"axis":2}(%5)
%7 = take {"dim":1}(%6, %i)`,
    spares: [
      `%1 = tanh(%x)\n%2 = take {"dim":0}(%1, %i)\n%3 = put {"dim":0}(%1, %i, %2)`,
      `%1 = sum {"axes":[0],"keep":true}(%x)\n%2 = add(%x, %1)`,
    ],
  },
  {
    rule: "put-of-put",
    pass: "skip-branch",
    fires: `%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%x, %i, %1)\n%4 = tanh(%1)\n%3 = put {"dim":0}(%2, %i, %4)`,
  },
  // --- routing
  {
    rule: "score-as-row-sum",
    fires: `%w = weight {"path":"w","dtype":"f32","shape":[1,4]}()\n%1 = matmul {"transposed":true}(%x, %w)`,
    spares: [`%w = weight {"path":"w","dtype":"f32","shape":[2,4]}()\n%1 = matmul {"transposed":true}(%x, %w)`],
  },
  {
    rule: "score-by-vector-as-row-sum",
    fires: `%w = weight {"path":"w","dtype":"f32","shape":[4]}()\n%1 = reshape {"shape":[4,1]}(%w)\n%2 = matmul {"transposed":false}(%x, %1)`,
    spares: [
      `%w = weight {"path":"w","dtype":"f32","shape":[8]}()\n%1 = reshape {"shape":[4,2]}(%w)\n%2 = matmul {"transposed":false}(%x, %1)`,
    ],
  },
  {
    rule: "positions-with-choice",
    fires: `%1 = positions {"axis":"T"}(%s)\n%2 = take {"dim":0}(%1, %i)`,
    spares: [`%1 = segments {"axis":"T"}(%s)\n%2 = take {"dim":0}(%1, %i)`],
  },
  { rule: "starts-of-top-on-host", fires: `%1 = take {"dim":0}(%x, %i)\n%2 = unpack {"dim":0,"axis":"K"}(%1, %k)` },
  {
    rule: "starts-of-span-on-host",
    fires: `%e = span {"axis":"S"}(%s)\n%1 = pick {"result":1}(%e)\nstarts S = %1\n%2 = counts(%1)`,
  },
  {
    rule: "starts-of-join-on-host",
    fires: `%e = join {"axis":"J"}(%s, %s)\n%1 = pick {"result":0}(%e)\nstarts J = %1\n%2 = counts(%1)`,
  },
  {
    rule: "statistics-before-gather",
    pass: "fuse-routing",
    fires: `%w = weight {"path":"w","dtype":"f32","shape":[1,4]}()
%1 = matmul {"transposed":true}(%x, %w)
%2 = reshape {"shape":["rows(T)"]}(%1)
%e = top {"axis":"K"}(%2, %s, %s)
%f = pick {"result":0}(%e)
%g = pick {"result":1}(%e)
starts K = %g
%3 = take {"dim":0}(%x, %f)
%4 = powi {"exponent":2}(%3)
%5 = sum {"axes":[1],"keep":true}(%4)
%6 = mul(%3, %5)`,
    spares: [
      `%3 = take {"dim":0}(%x, %i)\n%4 = powi {"exponent":2}(%3)\n%5 = sum {"axes":[1],"keep":true}(%4)\n%6 = mul(%3, %5)`,
    ],
  },
  // --- products
  {
    rule: "merge-products",
    pass: "merge-products",
    fires: `%u = weight {"path":"layer.attn.q","dtype":"f32","shape":[16,4]}()
%v = weight {"path":"layer.attn.k","dtype":"f32","shape":[32,4]}()
%1 = matmul {"transposed":true}(%x, %u)
%2 = matmul {"transposed":true}(%x, %v)
%3 = concat {"axis":1}(%1, %2)`,
    spares: [
      `%u = weight {"path":"u","dtype":"f32","shape":[16,4]}()
%v = weight {"path":"v","dtype":"f32","shape":[4,16]}()
%1 = matmul {"transposed":true}(%x, %u)
%2 = matmul {"transposed":false}(%x, %v)
%3 = add(%1, %2)`,
      `%u = weight {"path":"u","dtype":"f32","shape":[16,4]}()
%v = weight {"path":"v","dtype":"f32","shape":[16,4]}()
%1 = neg(%x)
%2 = matmul {"transposed":true}(%x, %u)
%3 = matmul {"transposed":true}(%1, %v)
%4 = add(%2, %3)`,
    ],
  },
  {
    rule: "linear-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = matmul {"transposed":false}(%2, %y)`,
    spares: [
      `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = exp(%2)`,
      `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = div(%x, %2)`,
      `${constant("1", "f32", '"rows(T)",4')}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = neg(%2)`,
      `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = concat {"axis":1}(%2, %x)`,
    ],
  },
  {
    rule: "take-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = neg(%1)\n%3 = put {"dim":0}(%c, %i, %2)\n%4 = take {"dim":0}(%3, %i)`,
    spares: [
      `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%3 = put {"dim":0}(%c, %i, %1)\n${other}\n%4 = take {"dim":0}(%3, %j)`,
    ],
  },
  {
    rule: "put-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = neg(%1)\n%4 = put {"dim":0}(%2, %i, %3)`,
    spares: [
      `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n${other}\n%3 = take {"dim":0}(%x, %j)\n%4 = put {"dim":0}(%2, %j, %3)`,
    ],
  },
  {
    rule: "sub-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = sub(%x, %2)`,
    spares: [`${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = sub(%2, %x)`],
  },
  {
    rule: "contract-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = contract(%x, %2)`,
    spares: [`%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%x, %i, %1)\n%3 = contract(%x, %2)`],
  },
  {
    rule: "gather-grad-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = positions {"axis":"T"}(%s)\n%4 = gather_grad {"rows":5}(%3, %2)`,
    spares: [`%1 = positions {"axis":"T"}(%s)\n%2 = gather_grad {"rows":5}(%1, %x)`],
  },
  {
    rule: "same-attention",
    pass: "cse",
    fires: `%1 = reshape {"shape":[1,"rows(T)",4]}(%x)\n%2 = positions {"axis":"T"}(%s)\n${["attention", "attention_kept"].map((op, i) => `%${3 + i} = ${op} {"causal":true,"window":0,"scale":1}(%1, %1, %1, %s, %s, %2, %2)`).join("\n")}\n%5 = pick {"result":1}(%4)\n%6 = reshape {"shape":[1,"rows(T)",1]}(%5)\n%7 = mul(%3, %6)`,
    spares: [
      `%1 = reshape {"shape":[1,"rows(T)",4]}(%x)\n%2 = positions {"axis":"T"}(%s)\n%3 = attention {"causal":true,"window":0,"scale":1}(%1, %1, %1, %s, %s, %2, %2)\n%4 = attention_kept {"causal":true,"window":0,"scale":2}(%1, %1, %1, %s, %s, %2, %2)\n%5 = pick {"result":1}(%4)\n%6 = reshape {"shape":[1,"rows(T)",1]}(%5)\n%7 = mul(%3, %6)`,
    ],
  },
  {
    rule: "sum-of-scattered",
    fires: `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = sum {"axes":[0],"keep":true}(%2)`,
    spares: [
      `${zeros}\n%1 = take {"dim":0}(%x, %i)\n%2 = put {"dim":0}(%c, %i, %1)\n%3 = sum {"axes":[1],"keep":true}(%2)`,
    ],
  },
];

const SOURCES: readonly { readonly id: string; readonly head: string; readonly node: string }[] = [
  {
    id: "%x",
    head: 'input "x" = %x [B, T, 4] packed T 0 1',
    node: 'input {"name":"x","dtype":"f32","shape":["rows(T)",4]}()',
  },
  { id: "%y", head: 'input "y" = %y [4, 6]', node: 'input {"name":"y","dtype":"f32","shape":[4,6]}()' },
  { id: "%b", head: 'input "b" = %b [4]', node: 'input {"name":"b","dtype":"bool","shape":[4]}()' },
  { id: "%h", head: 'input "h" = %h [4]', node: 'input {"name":"h","dtype":"f16","shape":[4]}()' },
  { id: "%s", head: "starts T = %s", node: 'starts {"axis":"T"}()' },
];

const ROUTE: typeof SOURCES = [
  {
    id: "%p",
    head: 'input "p" = %p [B, T] packed T 0 1',
    node: 'input {"name":"p","dtype":"f32","shape":["rows(T)"]}()',
  },
  { id: "%t", head: "", node: 'top {"axis":"K"}(%p, %s, %s)' },
  { id: "%i", head: "", node: 'pick {"result":0}(%t)' },
  { id: "%k", head: "", node: 'pick {"result":1}(%t)' },
];

/** A whole graph around node lines, with the sources they read. */
export function graphOf(lines: string): string {
  const routed = /%[ik]\b/.test(lines);
  const used = [
    ...SOURCES.filter(({ id }) => lines.includes(id) || (id === "%s" && (routed || lines.includes("%x")))),
    ...(routed ? ROUTE : []),
  ];
  const result = /%\w+(?= = [^\n]*$)/.exec(lines)?.[0] ?? "";
  const text = [
    'graph "rules"',
    "axis B = batch",
    "axis T = sequence <= 8 input",
    "axis K = sequence <= 2 top of T; k = 2",
    "axis S = sequence <= 8 span of T; start = 1; stop = end",
    "axis A = sequence <= 8 above of T; expected = 1",
    "axis R = sequence <= 8 rest of T; taken = K",
    "axis J = sequence <= 16 join of T; T",
    ...used.flatMap(({ id, head }) => (id === "%s" || head === "" ? [] : [head])),
    ...used.map(({ id, node }) => `${id} = ${node}`),
    lines,
    ...used.filter(({ id }) => id === "%s").map(({ head }) => head),
    ...(routed ? ["starts K = %k"] : []),
    `result "output" = ${result} []`,
  ].join("\n");
  // IR text numbers its nodes.
  return text.replace(/%([a-z])/g, (_, letter: string) => `%${100 + letter.charCodeAt(0)}`);
}
