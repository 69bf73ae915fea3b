// Grammars of llama.cpp.
import { describe, expect, it } from "vitest";
import { compileForm, ConstraintError } from "../../../src/generation/constrain/index.js";
import { random } from "../../random.js";
import { has, machineOf, walk } from "./walks.js";

const machine = (grammar: string) => machineOf({ kind: "grammar", grammar });
const faultOf = (grammar: string): string => {
  try {
    compileForm({ kind: "grammar", grammar });
  } catch (fault) {
    if (fault instanceof ConstraintError) return fault.message;
    throw fault;
  }
  return "";
};

/** Of llama.cpp's examples: grammars/arithmetic.gbnf and grammars/list.gbnf, with the counts of its README. */
const ARITHMETIC = `root  ::= (expr "=" ws term "\\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \\t\\n]*
`;
const LIST = `# a list
root ::= item{2,}   # at least two
item ::= "- " [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ "\\n" |
  "* " (
    "a" |
    "b"
  ){1,2} "\\n"
`;

describe("a grammar", () => {
  it("has the texts of llama.cpp's examples", () => {
    const arithmetic = machine(ARITHMETIC);
    for (const text of ["1+2=3\n", "x_1 *(a +22)= y\nb=c\n"]) expect(has(arithmetic, text), text).toBe(true);
    for (const text of ["", "1+2=3", "1+=3\n", "(1+2=3\n"]) expect(has(arithmetic, text), text).toBe(false);
    const list = machine(LIST);
    for (const text of ["- é😀\n- b\n", "* ab\n* b\n- c\n"]) expect(has(list, text), text).toBe(true);
    for (const text of ["- a\n", "* \n* a\n", "- a\u2028\n- b\n", "* aba\n* a\n"])
      expect(has(list, text), text).toBe(false);
  });

  it("has texts that end, whatever is drawn", () => {
    const own = machine('root ::= "[" (root ("," root)*)? "]" | [a-z]{1,3}');
    const rng = random(1);
    for (let i = 0; i < 50; i++) {
      own.begin(own.start);
      const text = walk(own, rng, 3000);
      if (text !== null) expect(() => JSON.parse(text.replaceAll(/[a-z]+/g, "0"))).not.toThrow();
    }
  });

  it.each([
    ['start ::= "a"', "no rule root"],
    ["root ::= item", '"item"'],
    ['root ::= root "a" | "b"', 'rule "root" begins with itself'],
    ['root ::= a "x"\na ::= "y"? b\nb ::= a', "begins with itself"],
    ['root ::= "a" root', "without end"],
    ['root ::= "a\n"', "line 1"],
    ['root ::= "a"\nroot ::= "b"', "line 2 of the grammar has the rule root twice"],
    ["root ::= [b-a]", "wrong order"],
    ['root ::= ("a"', "needs a )"],
    ['root ::= "a"{3,1}', "wrong order"],
    ['root ::= "\\q"', "escape"],
    ['root := "a"', "::="],
    ["root ::= <[12]>", "token"],
    [`root ::= ${"(".repeat(300)}"a"${")".repeat(300)}`, "deep"],
    ['root ::= "a"{1,999999}', "states"],
  ])("that is none is refused: %j", (grammar, message) => {
    expect(faultOf(grammar)).toContain(message);
  });

  it("whose texts are read in ever more ways at once is given up", () => {
    const many = machine('root ::= a a a a a a a a "!"\na ::= ("x" a? | "x" b? | b)\nb ::= "x" (a | b)? b?');
    const follow = (): void => {
      many.begin(many.start);
      let place = many.start;
      for (let i = 0; i < 2000; i++) place = many.after(place, 120) ?? place;
    };
    expect(follow).toThrow(ConstraintError);
  });
});
