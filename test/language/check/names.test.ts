import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { resolveImport } from "../../../src/language/check/names/files.js";
import { nearest } from "../../../src/ground/numerics/nearest.js";
import { checked, codesOf, forward, modelOf, operations, outputType, told } from "./harness.js";

describe("scope", () => {
  it("shows function bodies the member and right-hand sides the parameter of one name", () => {
    const model = modelOf(`import { Linear } from "std"
block Part(proj: int) {
  proj: Linear(proj, proj)
  forward(x: f32[..., proj]) -> f32[..., proj] { proj(x) }
}
model M() { part: Part(4)\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { part(x) } }`);
    expect(model.weights.map((w) => w.path)).toEqual(["part.proj.weight", "part.proj.bias"]);
  });

  it("hides built-in functions behind members, and members behind locals after their statement", () => {
    const model = modelOf(`block Twice() { forward(x: f32[...]) -> f32[...] { 2 * x } }
model M() {
  mean: Twice()
  q: Twice()
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    q = mean(q(x))
    q
  }
}`);
    expect(
      operations(model)
        .filter((l) => l.includes("pointwise"))
        .map((l) => l.split(":")[0]),
    ).toEqual(["q", "mean"]);
  });

  it("keeps loop and comprehension variables local, and what loops and conditions bind", () => {
    expect(codesOf(forward("  for i in 0..2 { y = x * i }\n  y"))).toEqual([]);
    expect(codesOf(forward("  for i in 0..2 { y = x * i }\n  y * i"))).toEqual(["unknown-name"]);
    expect(codesOf(forward("  i = 3\n  for i in 0..2 { y = x * i }\n  y * i"))).toEqual([]);
    expect(codesOf(forward("  a = [for j in 0..2: j]\n  x * j"))).toEqual(["unknown-name"]);
    expect(codesOf(forward("  if true { y = x }\n  y"))).toEqual([]);
  });

  it("tells a name that only a branch not taken binds", () => {
    expect(codesOf(forward("  if false { y = x }\n  y"))).toEqual(["unknown-name"]);
  });

  it("takes names of other languages as names", () => {
    const text = `model M() {
  weight constructor: f32[4]
  weight __proto__: f32[4]
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { toString = x * constructor\n hasOwnProperty = toString * __proto__\n hasOwnProperty }
}`;
    expect(modelOf(text).weights.map((w) => w.path)).toEqual(["constructor", "__proto__"]);
    expect(codesOf(forward("  toString(x)"))).toEqual(["unknown-name"]);
    expect(codesOf(forward("  x.constructor"))).toEqual(["unknown-member"]);
    expect(codesOf(forward("  x", { params: "a: int = __proto__" }))).toEqual(["unknown-name"]);
  });

  it("checks blocks that no model uses", () => {
    const { diagnostics } = checked(`block Unused(dim: int) { forward(x: f32[..., dim]) -> f32[..., dmi] { x * y } }
model M() { forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`);
    expect(diagnostics.map((d) => [d.code, d.hint])).toEqual([
      ["unknown-name", "did you mean `dim`?"],
      ["unknown-name", "declare the name before its first use, import it, or add a parameter"],
    ]);
  });

  it("hints at a capital letter for a new axis, once in a function", () => {
    const { diagnostics } = checked(`block Heads(n: int) {
  forward(q: f32[B, n, T, d], k: f32[B, n, T, d]) -> f32[B, n, T, d] { attention(q, k, k, causal: true) }
}
model M() {
  heads: Heads(2)
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    y = rearrange(x, "b t (h d) -> b h t d", h: 2)
    rearrange(heads(y, y), "b h t d -> b t (h d)")
  }
}`);
    expect(diagnostics.map((d) => [d.message, d.hint])).toEqual([
      [
        "nothing is called `d` here",
        "a new axis has a capital letter, `D`; a number is a parameter of the block, `d: int`",
      ],
    ]);
  });

  it("leaves other models alone where one is asked for", () => {
    const text = `model A() { forward(x: f32[B, T]) -> f32[B, T] { x } }
model C() { forward(x: f32[B, T]) -> f32[B, T] { nothing } }`;
    expect(codesOf(text, { model: "A" })).toEqual([]);
    expect(codesOf(text, { model: "C" })).toEqual(["unknown-name"]);
  });

  it("says why an import is refused, at the import", () => {
    const text = 'import { n } from "./link.mod"\nmodel M() { forward(x: f32[B, T]) -> f32[B, T] { x } }';
    const { diagnostics } = check(
      { file: "t.mod", text },
      { phase: "infer", read: () => ({ refused: "it is a link" }) },
    );
    expect(diagnostics.map((d) => [d.code, d.message, text.slice(d.span.start, d.span.end)])).toEqual([
      ["import-path", '"./link.mod" cannot be imported: it is a link', '"./link.mod"'],
    ]);
  });

  it("gives one message for arguments that are too many", () => {
    expect(codesOf(forward("  relu(x, x, x)"))).toEqual(["surplus-argument"]);
    expect(told(forward("  x + random_normal(2, 3, 4)"))).toContain("`like: x`");
  });

  it("tells of a choice of tokens whose scores have a dimension too many", () => {
    expect(told(forward("  take(x, above(x[..., 0:1], 0.0))"))).toContain("drop the last dimension of the score");
  });

  it("gives one message for each of three independent mistakes", () => {
    expect(codesOf(forward("  a = x * y\n  b = x @ a\n  c = rsqrt(x, 1)\n  x"))).toEqual([
      "unknown-name",
      "surplus-argument",
    ]);
    expect(
      codesOf(
        forward("  a = x + nope\n  b = proj(x, x)\n  if 3 { x = 2 * x }\n  x", { members: "  proj: Linear(4, 4)" }),
      ),
    ).toEqual(["unknown-name", "surplus-argument", "not-a-condition"]);
  });

  it("takes a capitalised name as an axis unless it stands for a value", () => {
    expect(
      outputType(modelOf(`const D = 4\nmodel M(E: int = 2) { forward(x: f32[B, D, E]) -> f32[B, D, E] { x } }`)),
    ).toBe("f32[B, 4, 2]");
    const member = `import { Linear } from "std"\nmodel M() { T: Linear(4, 4)\n forward(x: f32[B, T, 4]) -> f32[B, T, 4] { x } }`;
    expect(outputType(modelOf(member))).toBe("f32[B, T, 4]");
    expect(
      outputType(
        modelOf(`block B() { forward(x: f32[T]) -> f32[T] { x } }\nmodel M() { forward(x: f32[B]) -> f32[B] { x } }`),
      ),
    ).toBe("f32[B]");
  });
});

describe("imports", () => {
  const user =
    `import { Twice } from "./blocks/twice.mod"\nmodel M() { twice: Twice()\n forward(x: f32[B, T, 4]) -> f32[B, ` +
    "T, 4] { twice(x) } }";

  it("read files relative to the importing one", () => {
    const files = {
      "blocks/twice.mod": `import { factor } from "../factor.mod"\nblock Twice() { forward(x: f32[...]) -> f32[...] { factor * x } }`,
      "factor.mod": "const factor = 2",
    };
    const { model, sources } = checked(user, { files });
    expect(model?.instances.map((i) => i.path)).toEqual(["twice"]);
    expect(sources.map((s) => s.file)).toEqual(["test.mod", "blocks/twice.mod", "factor.mod"]);
  });

  it("do not pass on what a file imports itself", () => {
    const files = {
      "blocks/twice.mod": `import { Twice } from "./real.mod"`,
      "blocks/real.mod": `block Twice() { forward(x: f32[...]) -> f32[...] { x } }`,
    };
    expect(codesOf(user, { files })).toContain("unknown-export");
  });

  it("clash with declarations and with one another", () => {
    expect(
      codesOf(
        `import { Linear, Linear } from "std"\nblock Linear() { forward(x: f32[B]) -> f32[B] { x } }\nmodel M() ` +
          "{ forward(x: f32[B]) -> f32[B] { x } }",
      ),
    ).toEqual(["duplicate-name", "duplicate-name"]);
  });

  it("find the root file in a circle", () => {
    const files = { "a.mod": `import { M } from "./test.mod"\nconst a = 1` };
    expect(codesOf(`import { a } from "./a.mod"\nmodel M() { forward(x: f32[B]) -> f32[B] { x } }`, { files })).toEqual(
      ["import-cycle"],
    );
  });

  it("keep a folder called std apart from the library", () => {
    const files = { "std/linear.mod": "block Linear(d: int) { forward(x: f32[...]) -> f32[...] { x * nope } }" };
    const { diagnostics } = checked(
      `import { Linear } from "./std/linear.mod"\nmodel M() { l: Linear(4)\n forward(x: f32[B]) -> f32[B] { l(x) } }`,
      { files },
    );
    expect(diagnostics.map((d) => [d.code, d.span.file])).toEqual([["unknown-name", "./std/linear.mod"]]);
  });

  it("stop in a chain without end, and show the place", () => {
    const { diagnostics, sources } = check(
      { file: "f0.mod", text: 'import { a } from "./f1.mod"' },
      { phase: "infer", read: (path) => `import { a } from "./f${Number(/\d+/.exec(path)?.[0]) + 1}.mod"` },
    );
    expect(diagnostics.map((d) => d.code)).toEqual(["limit-exceeded"]);
    expect(sources.map((s) => s.file)).toContain(diagnostics[0]?.span.file);
  });

  it("resolve paths, and refuse those that leave the folder", () => {
    expect(resolveImport("a/b/c.mod", "../../d.mod")).toEqual({ kind: "file", path: "d.mod" });
    expect(resolveImport("a.mod", ".//x/./y.mod")).toEqual({ kind: "file", path: "x/y.mod" });
    for (const from of [
      "../x.mod",
      "./a/../../x.mod",
      "/x.mod",
      "//host/x.mod",
      "C:/x.mod",
      "file:./x.mod",
      ".\\x.mod",
      "x.mod",
      "./",
      "./x\u0000.mod",
      "std/linear.mod",
    ]) {
      expect(resolveImport("a.mod", from).kind, from).toBe("refused");
    }
  });
});

describe("models", () => {
  it("are chosen by name where there are several", () => {
    const text = `model A() { forward(x: f32[B]) -> f32[B] { x } }\nmodel B() { forward(x: f32[B]) -> f32[B] { 2 * x } }`;
    expect(modelOf(text, { model: "B" }).name).toBe("B");
    expect(codesOf(text, { model: "C" })).toEqual(["unknown-model"]);
    expect(codesOf(text)).toEqual(["several-models"]);
  });

  it("alone have `names`, whether a block is used or not", () => {
    expect(codesOf(`block P() { names { "a" = "b" } }\n${forward("  x")}`)).toEqual(["names-outside-model"]);
  });
});

it("suggests only names that are near", () => {
  expect(nearest("Linaer", ["Linear", "Layer"])).toBe("Linear");
  expect(nearest("softmx", ["softmax", "max"])).toBe("softmax");
  expect(nearest("MdO", ["Layer", "MoD"])).toBe("MoD");
  expect(nearest("linear", ["Linear", "layer"])).toBe("Linear");
  expect(nearest("x", ["y", "abc"])).toBe(null);
  expect(nearest("t", ["T"])).toBe("T");
  expect(nearest("frobnicate", ["concat", "rearrange"])).toBe(null);
});
