// For each rewrite rule, nodes at which it fires and nodes, much alike, at which it must not.

export interface RuleCase {
  readonly rule: string;
  /** Node lines; the last node is the result. `%x` f32[rows(T), 4], `%y` f32[4, 6], `%s` starts of T, `%b` bool[4], `%h` f16[4]. */
  readonly fires: string;
  readonly spares?: readonly string[];
}

const constant = (value: string, dtype = "f32", shape = ""): string => `%c = constant {"value":${value},"dtype":"${dtype}","shape":[${shape}]}()`;

export const ruleCases: readonly RuleCase[] = [
  { rule: "reshape-of-reshape", fires: `%1 = reshape {"shape":[24]}(%y)\n%2 = reshape {"shape":[3,8]}(%1)` },
  { rule: "reshape-to-itself", fires: `%1 = neg(%y)\n%2 = reshape {"shape":[4,6]}(%1)`, spares: [`%1 = neg(%y)\n%2 = reshape {"shape":[6,4]}(%1)`] },
  { rule: "reshape-of-constant", fires: `${constant("2", "f32", "4,6")}\n%1 = reshape {"shape":[24]}(%c)` },
  { rule: "broadcast-to-itself", fires: `%1 = neg(%y)\n%2 = broadcast {"shape":[4,6]}(%1)`, spares: [`%1 = neg(%y)\n%2 = broadcast {"shape":[2,4,6]}(%1)`] },
  { rule: "broadcast-of-broadcast", fires: `%1 = broadcast {"shape":[2,4,6]}(%y)\n%2 = broadcast {"shape":[3,2,4,6]}(%1)` },
  { rule: "broadcast-of-constant", fires: `${constant("2")}\n%1 = broadcast {"shape":[4]}(%c)` },
  {
    rule: "broadcast-of-operand",
    fires: `%1 = sum {"axes":[1],"keep":true}(%y)\n%2 = broadcast {"shape":[4,6]}(%1)\n%3 = mul(%2, %y)`,
    spares: [`%1 = sum {"axes":[1],"keep":true}(%y)\n%2 = broadcast {"shape":[4,6]}(%1)\n%3 = mul(%2, %1)`],
  },
  { rule: "permute-identity", fires: `%1 = permute {"order":[0,1]}(%y)\n%2 = neg(%1)` },
  { rule: "permute-of-permute", fires: `%1 = reshape {"shape":[2,2,6]}(%y)\n%2 = permute {"order":[1,2,0]}(%1)\n%3 = permute {"order":[2,1,0]}(%2)` },
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
  { rule: "divided-by-one", fires: `${constant("1")}\n%1 = div(%y, %c)`, spares: [`${constant("1")}\n%1 = div(%c, %y)`] },
  { rule: "plus-zero", fires: `${constant('"-0"')}\n%1 = add(%y, %c)`, spares: [`${constant("0")}\n%1 = add(%y, %c)`] },
  { rule: "minus-zero", fires: `${constant("0")}\n%1 = sub(%y, %c)`, spares: [`${constant('"-0"')}\n%1 = sub(%y, %c)`, `${constant("0")}\n%1 = sub(%c, %y)`] },
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
  { rule: "slice-of-all", fires: `%1 = slice {"axis":1,"start":0,"stop":6}(%y)`, spares: [`%1 = slice {"axis":1,"start":0,"stop":5}(%y)`] },
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
  { rule: "mask-of-mask", fires: `%1 = unpack {"dim":0,"axis":"T"}(%x, %s)\n%2 = mask {"dim":1,"fill":-1}(%1, %s)\n%3 = mask {"dim":1,"fill":-1}(%2, %s)` },
  { rule: "fold-constants", fires: `${constant("3")}\n%1 = neg(%c)\n%2 = mul(%1, %c)\n%3 = add(%y, %2)`, spares: [`${constant("0")}\n%1 = log(%c)`] },
];

const SOURCES: readonly { readonly id: string; readonly head: string; readonly node: string }[] = [
  { id: "%x", head: 'input "x" = %x [B, T, 4] packed T 0 1', node: 'input {"name":"x","dtype":"f32","shape":["rows(T)",4]}()' },
  { id: "%y", head: 'input "y" = %y [4, 6]', node: 'input {"name":"y","dtype":"f32","shape":[4,6]}()' },
  { id: "%b", head: 'input "b" = %b [4]', node: 'input {"name":"b","dtype":"bool","shape":[4]}()' },
  { id: "%h", head: 'input "h" = %h [4]', node: 'input {"name":"h","dtype":"f16","shape":[4]}()' },
  { id: "%s", head: "starts T = %s", node: 'starts {"axis":"T"}()' },
];

/** A whole graph around node lines, with the sources they read. */
export function graphOf(lines: string): string {
  const used = SOURCES.filter(({ id }) => lines.includes(id) || (id === "%s" && lines.includes("%x")));
  const result = /%\w+(?= = [^\n]*$)/.exec(lines)?.[0] ?? "";
  const text = [
    'graph "rules"',
    "axis B = batch",
    "axis T = sequence <= 8 input",
    ...used.filter(({ id }) => id !== "%s").map(({ head }) => head),
    ...used.map(({ id, node }) => `${id} = ${node}`),
    lines,
    ...used.filter(({ id }) => id === "%s").map(({ head }) => head),
    `result "output" = ${result} []`,
  ].join("\n");
  // IR text numbers its nodes.
  return text.replace(/%([a-z])/g, (_, letter: string) => `%${100 + letter.charCodeAt(0)}`);
}
