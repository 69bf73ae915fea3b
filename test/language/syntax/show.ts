// Syntax trees as short text, and without their spans, for tests to compare.
import type {
  Declaration,
  DimExpr,
  Expr,
  File,
  Index,
  Member,
  ParamKind,
  Stmt,
  StoredKey,
  TypeExpr,
} from "../../../src/language/syntax/ast.js";
import { printRational } from "../../../src/ground/numerics/rational.js";

/** `(+ a (* b 2))`: every operator with its operands in parentheses. */
export function showExpr(e: Expr): string {
  switch (e.kind) {
    case "number":
      return e.form === "int" ? printRational(e.value) : `${e.form}:${printRational(e.value)}`;
    case "string":
      return JSON.stringify(e.value);
    case "bool":
      return String(e.value);
    case "none":
      return "None";
    case "name":
      return e.name;
    case "unary":
      return `(${e.op} ${showExpr(e.operand)})`;
    case "binary":
      return `(${e.op} ${showExpr(e.left)} ${showExpr(e.right)})`;
    case "if":
      return `(if ${showExpr(e.condition)} ${showExpr(e.then)} ${showExpr(e.else)})`;
    case "list":
      return `[${e.items.map(showExpr).join(" ")}]`;
    case "comprehension":
      return `[for ${e.name.text} ${showExpr(e.list)} ${showExpr(e.body)}]`;
    case "range":
      return `(.. ${showExpr(e.from)} ${showExpr(e.to)})`;
    case "call":
      return (
        `${showExpr(e.callee)}(` +
        `${e.args.map((a) => (a.name ? `${a.name.text}:` : "") + showExpr(a.value)).join(" ")})`
      );
    case "member":
      return `${showExpr(e.object)}.${e.name.text}`;
    case "index":
      return `${showExpr(e.object)}{${e.indices.map(showIndex).join(" ")}}`;
    default:
      return e satisfies never;
  }
}

function showKey({ key, indices, transposed }: StoredKey): string {
  const shown = indices?.map((i) => (i.kind === "segment" ? `{${i.name}}` : showIndex(i)));
  return `${key.value}${shown ? `[${shown.join(", ")}]` : ""}${transposed ? "^T" : ""}`;
}

function showIndex(i: Index): string {
  switch (i.kind) {
    case "at":
      return showExpr(i.value);
    case "slice":
      return `${i.start ? showExpr(i.start) : ""}:${i.stop ? showExpr(i.stop) : ""}${i.step ? `:${showExpr(i.step)}` : ""}`;
    case "new-axis":
      return "new";
    case "rest":
      return "...";
    default:
      return i satisfies never;
  }
}

const showDim = (d: DimExpr): string =>
  d.kind === "rest" ? "..." : showExpr(d.value) + (d.bound ? `<=${showExpr(d.bound)}` : "");
export const showType = (t: TypeExpr): string => `${t.dtype}[${t.dims.map(showDim).join(" ")}]`;

export function showStmt(s: Stmt): string {
  switch (s.kind) {
    case "assign":
      return `${s.targets.map((t) => t.text).join(",")} = ${showExpr(s.value)}`;
    case "for":
      return `for ${s.name.text} ${showExpr(s.list)} {${s.body.map(showStmt).join("; ")}}`;
    case "if":
      return `if ${showExpr(s.condition)} {${s.then.map(showStmt).join("; ")}} {${s.else.map(showStmt).join("; ")}}`;
    case "loss":
      return `loss ${s.name.text} ${showExpr(s.value)}`;
    case "update":
      return `update ${s.name.text} ${showExpr(s.value)}`;
    case "observe":
      return `observe ${s.name.text}`;
    case "expr":
      return showExpr(s.value);
    default:
      return s satisfies never;
  }
}

const showDoc = (doc: string | null): string => (doc === null ? "" : `/${doc}/ `);
const showKind = (k: ParamKind): string => (k.kind === "list" ? `[${showKind(k.of)}]` : k.kind);

export function showMember(m: Member): string {
  switch (m.kind) {
    case "sub-block":
      return `${showDoc(m.doc)}${m.name.text}: ${showExpr(m.value)}`;
    case "weight":
    case "state":
      return `${showDoc(m.doc)}${m.kind} ${m.name.text}: ${showType(m.type)}${m.init ? ` = ${showExpr(m.init)}` : ""}`;
    case "member-if":
      return `if ${showExpr(m.condition)} {${m.then.map(showMember).join("; ")}} {${m.else.map(showMember).join("; ")}}`;
    case "function": {
      const inputs = m.inputs.map((i) => `${i.name.text}: ${showType(i.type)}`).join(", ");
      const results = m.results.map((r) => `${r.name ? `${r.name.text}: ` : ""}${showType(r.type)}`).join(", ");
      return `${showDoc(m.doc)}${m.name.text}(${inputs}) -> (${results}) {${m.body.map(showStmt).join("; ")}}`;
    }
    case "names":
      return `names {${m.entries.map((e) => (e.kind === "map" ? `${e.from.value} = ${e.to.map(showKey).join(" or ")}` : `ignore ${e.pattern.value}`)).join("; ")}}`;
    default:
      return m satisfies never;
  }
}

export function showDeclaration(d: Declaration): string {
  if (d.kind === "const") return `${showDoc(d.doc)}const ${d.name.text} = ${showExpr(d.value)}`;
  const params = d.params.map(
    (p) =>
      `${showDoc(p.doc)}${p.live ? "live " : ""}${p.name.text}: ${showKind(p.type)}` +
      (p.default ? ` = ${showExpr(p.default)}` : ""),
  );
  return (
    `${showDoc(d.doc)}${d.model ? "model" : "block"} ${d.name.text}(${params.join(", ")}) {` +
    `${d.members.map(showMember).join("; ")}}`
  );
}

/** Everything a file says, a line a declaration; imports first. */
export function showFile(file: File): string {
  const imports = file.imports.map((i) => `import ${i.names.map((n) => n.text).join(", ")} from ${i.from}`);
  return [...imports, ...file.declarations.map(showDeclaration)].join("\n");
}

/** A copy without spans. */
export function withoutSpans(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSpans);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !/^(span|opSpan|typeSpan|fromSpan)$/.test(key))
      .map(([key, v]) => [key, withoutSpans(v)]),
  );
}
