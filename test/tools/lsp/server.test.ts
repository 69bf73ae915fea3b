// The server without a client's process: files that are closed, settings and files on the disk that change.
import { expect, it } from "vitest";
import type { InlayHint, PublishDiagnosticsParams } from "vscode-languageserver";
import { areAlike, type Known } from "../../../src/language/editor/facts.js";
import { requests } from "../../../src/tools/lsp/requests.js";
import { LanguageServer } from "../../../src/tools/lsp/server.js";
import { axisSize } from "../../../src/ground/size/size.js";

const GOOD = "model M() {\n  forward(x: f32[B, 4]) -> f32[B, 4] { x }\n}\n";
const BAD = GOOD.replace("{ x }", "{ y }");
const IMPORTING = `import { A } from "./lib.mod"
model M() {
  a: A()
  forward(x: f32[B, 4]) -> f32[B, 4] {
    y = a(x)
    y
  }
}
`;
const IMPORTED = "block A() {\n  forward(x: f32[B, 4]) -> f32[B, 4] { x }\n}\n";

/** A server of files on a disk that nobody watches, with work that is put off until it is told to go on. */
class Served {
  readonly disk = new Map<string, string>();
  readonly published: PublishDiagnosticsParams[] = [];
  readonly #work: { readonly at: number; readonly next: () => void }[] = [];
  #now = 0;
  readonly server = new LanguageServer(
    {
      read: (uri) => this.disk.get(uri) ?? null,
      refusal: () => null,
      files: () => [],
      libraryUri: () => null,
      libraryFile: () => null,
    },
    {
      publish: (found) => void this.published.push(found),
      refreshHints: () => undefined,
      watchFiles: () => undefined,
      failed: (fault) => expect.fail(String(fault)),
    },
    {
      after: (ms, next) => {
        const one = { at: this.#now + ms, next };
        this.#work.push(one);
        return () => void (this.#work.includes(one) && this.#work.splice(this.#work.indexOf(one), 1));
      },
    },
    "",
    requests,
  );

  constructor({ refreshes = false } = {}) {
    const capabilities = { workspace: { inlayHint: { refreshSupport: refreshes } } };
    this.server.initialize({ processId: null, rootUri: null, capabilities });
  }

  /** Does the next piece of work; false: there is none. */
  goOn(): boolean {
    const [first] = this.#work.sort((a, b) => a.at - b.at);
    if (!first) return false;
    this.#work.shift();
    this.#now = first.at;
    first.next();
    return true;
  }
  settle(): void {
    while (this.goOn());
  }
  open(name: string, text: string): string {
    const uri = `file:///p/${name}`;
    this.server.opened({ textDocument: { uri, languageId: "modc", version: 1, text } });
    return uri;
  }
  close(uri: string): void {
    this.server.closed({ textDocument: { uri } });
  }
  /** The last diagnostics of a file, by their codes; null: it was never told of. */
  told(uri: string): readonly unknown[] | null {
    return this.published.findLast((p) => p.uri === uri)?.diagnostics.map((d) => d.code) ?? null;
  }
  hover(uri: string, line: number, character: number): string {
    const params = { textDocument: { uri }, position: { line, character } };
    return (this.server.answer("textDocument/hover", params) as { contents: { value: string } }).contents.value;
  }
  hints(uri: string): readonly string[] {
    const range = { start: { line: 0, character: 0 }, end: { line: 99, character: 0 } };
    const found = this.server.answer("textDocument/inlayHint", { textDocument: { uri }, range }) as InlayHint[];
    return found.map((h) => h.label as string);
  }
}

it("a file that is closed before it was checked takes no diagnostics of others with it", () => {
  const served = new Served();
  const a = served.open("a.mod", BAD);
  const b = served.open("b.mod", GOOD);
  while (!served.server.project.underWay(a)?.review) expect(served.goOn()).toBe(true);
  served.close(b);
  served.settle();
  expect(served.told(a)).toEqual(["unknown-name"]);
});

it("costs are those of the parameters that the settings give", () => {
  const served = new Served();
  const text = `block D(dim: int) {
  forward(x: f32[B, dim]) -> f32[B, dim] { x * x }
}
model M(dim: int = 8) {
  d: D(dim)
  forward(x: f32[B, dim]) -> f32[B, dim] { d(x) }
}
`;
  const uri = served.open("m.mod", text);
  const flops = (): string | undefined => served.hints(uri).find((label) => label.includes("FLOP"));
  expect(flops()).toMatch(/^8 FLOP/);
  served.server.configured({ set: { dim: 128 } });
  expect(flops()).toMatch(/^128 FLOP/);
});

it("a file that changed on the disk unwatched is found by the next request, by what it tells and by checks", () => {
  const served = new Served();
  served.disk.set("file:///p/lib.mod", IMPORTED);
  const uri = served.open("a.mod", IMPORTING);
  served.settle();
  expect(served.hints(uri)).toContain(": f32[B, 4]");
  expect(served.told(uri)).toEqual([]);
  served.disk.set("file:///p/lib.mod", IMPORTED.replace("-> f32[B, 4] { x }", "-> f32[B] { mean(x, axis: -1) }"));
  expect(served.hints(uri)).toContain(": f32[B]");
  served.settle();
  expect(served.told(uri)).not.toEqual([]);
  served.disk.delete("file:///p/lib.mod");
  served.hints(uri);
  served.settle();
  expect(served.told(uri)).toContain("import-not-found");
  served.disk.set("file:///p/lib.mod", IMPORTED);
  served.hints(uri);
  served.settle();
  expect(served.told(uri)).toEqual([]);
  expect(served.hints(uri)).toContain(": f32[B, 4]");
});

it("nothing is computed of a file after it was closed", () => {
  const served = new Served({ refreshes: true });
  const uri = served.open("m.mod", GOOD);
  served.settle();
  served.disk.set(uri, GOOD);
  served.hints(uri); // its costs are put off
  served.close(uri);
  served.settle();
  expect(served.server.project.underWay(uri)).toBeNull();
});

it("what is found in a file that is not open is sent once", () => {
  const served = new Served();
  const lib = "file:///p/lib.mod";
  served.disk.set(lib, IMPORTED.replace("{ x }", "{ y }"));
  const uri = served.open("a.mod", IMPORTING);
  const edited = (version: number): void => {
    const contentChanges = [{ text: `${"\n".repeat(version)}${IMPORTING}` }];
    served.server.edited({ textDocument: { uri, version }, contentChanges });
    served.settle();
  };
  const sent = (): number => served.published.filter((p) => p.uri === lib).length;
  served.settle();
  expect([sent(), served.told(lib)]).toEqual([1, ["unknown-name"]]);
  edited(2);
  edited(3);
  expect(sent()).toBe(1);
  served.disk.set(lib, IMPORTED);
  edited(4);
  served.hints(uri);
  served.settle();
  expect([sent(), served.told(lib)]).toEqual([2, []]);
  edited(5);
  expect(sent()).toBe(2);
});

it("lists of one length, and results of like kinds, are told apart", () => {
  const served = new Served();
  const text = `block K(ks: [int]) {
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] {
    l = ks
    x * l[0]
  }
}
model M() {
  a: K([1, 2])
  b: K([3, 4])
  forward(x: f32[B, T, 4]) -> f32[B, T, 4] { b(a(x)) }
}
`;
  const uri = served.open("m.mod", text);
  expect(served.told(uri)).toBeNull();
  served.settle();
  expect(served.told(uri)).toEqual([]);
  expect(served.hover(uri, 0, 8)).toContain("`[1, 2] | [3, 4]`");
  expect(served.hints(uri)).toContain(": [1, 2] | [3, 4]");
  const results = (axis: string): Known => {
    const known: Known = { kind: "route", type: { dtype: "u32", shape: [axisSize(axis)] }, axis };
    return { kind: "tuple", items: [{ name: "chosen", known }] };
  };
  expect([areAlike(results("K"), results("K")), areAlike(results("K"), results("K2"))]).toEqual([true, false]);
});
