// Formats declarations, members and statements: one item per line, with the `:` and `=` of neighbours aligned.
import type { CstNode } from "chevrotain";
import type * as cst from "../../../../grammar/cst.js";
import type { IToken } from "../../../../grammar/tokens.js";
import { firstToken, type Tokens } from "./comments.js";
import { blankLine, group, hardline, indent, line, type Doc } from "./doc.js";
import { bracketed, choice, expression, range, storedKey, tensorType } from "./expressions.js";

/** An item of a body, and the position of its `:` or `=` for alignment with its neighbours. */
interface Row {
  readonly node: CstNode;
  /** Prints the item with `padding` blanks before its `:` or `=`. */
  readonly print: (padding: number) => Doc;
  /** The kind of items it is aligned with, and the columns before its `:` or `=`; null if it is not aligned. */
  readonly aligned: { readonly with: string; readonly width: number; readonly step: number } | null;
}

const plain = (node: CstNode, doc: Doc): Row => ({ node, print: () => doc, aligned: null });

export function file(k: Tokens, node: cst.FileCstNode): Doc {
  const docs: Doc[] = [];
  const declarations = node.children.declaration ?? [];
  declarations.forEach((d, i) => {
    const before = declarations[i - 1];
    // A blank line separates blocks from their neighbours.
    const apart =
      before && (d.children.blockDeclaration || before.children.blockDeclaration || k.separates(firstToken(d)));
    if (before) docs.push(apart ? blankLine : hardline);
    docs.push(declaration(k, d));
  });
  if (k.hasAbove(null))
    docs.push(declarations.length > 0 ? (k.separates(null) ? blankLine : hardline) : "", k.ending(null));
  return docs;
}

function declaration(k: Tokens, { children }: cst.DeclarationCstNode): Doc {
  if (children.importDeclaration) {
    const {
      Import,
      LBrace,
      RBrace,
      From,
      Identifier = [],
      Comma,
      StringLiteral,
    } = children.importDeclaration[0]!.children;
    // `list` takes nodes: wrap each name in a node.
    const items = Identifier.map((name) => ({
      node: { name: "name", children: { Identifier: [name] } },
      doc: k.print(name),
    }));
    return [
      k.print(Import[0]!),
      " ",
      bracketed(k, LBrace[0]!, items, Comma, RBrace[0]!, line),
      " ",
      k.print(From[0]!),
      " ",
      k.print(StringLiteral[0]!),
    ];
  }
  if (children.constDeclaration) {
    const { Const, Identifier, Equal, expression: values } = children.constDeclaration[0]!.children;
    return [
      k.print(Const[0]!),
      " ",
      k.print(Identifier[0]!),
      " ",
      k.print(Equal[0]!),
      " ",
      expression(k, values[0]!, "outside"),
    ];
  }
  const {
    Block,
    Model,
    Identifier,
    LParen,
    RParen,
    Comma,
    parameter: parameters = [],
    members: bodies,
  } = children.blockDeclaration![0]!.children;
  const items = parameters.map((p) => ({ node: p, doc: parameter(k, p) }));
  return [
    k.print((Block ?? Model)![0]!),
    " ",
    k.print(Identifier[0]!),
    bracketed(k, LParen[0]!, items, Comma, RParen[0]!),
    " ",
    group(members(k, bodies[0]!)),
  ];
}

function parameter(k: Tokens, { children }: cst.ParameterCstNode): Doc {
  const { Live, Identifier, Colon, parameterKind, Equal, expression: values } = children;
  return [
    Live ? [k.print(Live[0]!), " "] : "",
    k.print(Identifier[0]!),
    k.print(Colon[0]!),
    " ",
    kind(k, parameterKind[0]!),
    Equal ? [" ", k.print(Equal[0]!), " ", expression(k, values![0]!, "inside")] : "",
  ];
}

function kind(k: Tokens, { children }: cst.ParameterKindCstNode): Doc {
  if (children.LBracket)
    return [k.print(children.LBracket[0]!), kind(k, children.parameterKind![0]!), k.print(children.RBracket![0]!)];
  return k.print((children.Block ?? children.Identifier)![0]!);
}

/**
 * Prints a body in braces: on one line if it has a single item, the author wrote it on one line, and the enclosing
 * group fits.
 */
function braces(k: Tokens, open: IToken, rows: readonly Row[], close: IToken): Doc {
  if (rows.length === 0) {
    const empty = !k.hasAbove(close);
    return [k.print(open), empty ? " " : indent([hardline, k.ending(close)]), empty ? "" : hardline, k.bare(close)];
  }
  const first = firstToken(rows[0]!.node);
  const oneLine =
    rows.length === 1 &&
    !k.beginsLine(first) &&
    !k.beginsLine(close) &&
    !k.between(open.startOffset, close.startOffset);
  const edge = oneLine ? line : hardline;
  const last = k.hasAbove(close) ? [k.separates(close) ? blankLine : hardline, k.ending(close)] : "";
  return [k.print(open), indent([edge, aligned(k, rows), last]), edge, k.bare(close)];
}

/**
 * Prints rows one below the other. Aligns the signs of neighbouring rows of the same kind with no blank line or comment
 * between them.
 */
function aligned(k: Tokens, rows: readonly Row[]): Doc {
  const docs: Doc[] = [];
  for (let start = 0; start < rows.length;) {
    let end = start + 1;
    while (
      end < rows.length &&
      rows[end]!.aligned &&
      rows[end]!.aligned?.with === rows[start]!.aligned?.with &&
      !isApart(k, rows[end]!)
    )
      end++;
    const run = rows.slice(start, end);
    const widest = run.reduce((most, r) => Math.max(most, r.aligned?.width ?? 0), 0);
    for (const row of run) {
      if (docs.length > 0) docs.push(k.separates(firstToken(row.node)) ? blankLine : hardline);
      const step = row.aligned?.step ?? 1;
      docs.push(row.print(run.length > 1 && row.aligned ? Math.ceil(widest / step) * step - row.aligned.width : 0));
    }
    start = end;
  }
  return docs;
}

const isApart = (k: Tokens, { node }: Row): boolean => k.separates(firstToken(node)) || k.hasAbove(firstToken(node));

const padded = (padding: number): string => " ".repeat(padding);

// ── members

function members(k: Tokens, { children }: cst.MembersCstNode): Doc {
  return braces(
    k,
    children.LBrace[0]!,
    (children.member ?? []).map((m) => member(k, m)),
    children.RBrace[0]!,
  );
}

function member(k: Tokens, node: cst.MemberCstNode): Row {
  const { weightMember, subBlock, functionMember, memberIf, namesMember } = node.children;
  if (weightMember) {
    const {
      Weight,
      State,
      Identifier,
      Colon,
      tensorType: types,
      Equal,
      expression: values,
    } = weightMember[0]!.children;
    const word = (Weight ?? State)![0]!;
    const start = Equal ? [" ", k.print(Equal[0]!), " ", expression(k, values![0]!, "outside")] : "";
    return {
      node,
      aligned: { with: Weight ? "weight" : "state", width: Identifier[0]!.image.length, step: 1 },
      print: (padding) => [
        k.print(word),
        " ",
        k.print(Identifier[0]!),
        k.print(Colon[0]!),
        padded(padding + 1),
        tensorType(k, types[0]!),
        start,
      ],
    };
  }
  if (subBlock) {
    const { Identifier, Colon, expression: values } = subBlock[0]!.children;
    return {
      node,
      aligned: { with: "sub-block", width: Identifier[0]!.image.length, step: 1 },
      print: (padding) => [
        k.print(Identifier[0]!),
        k.print(Colon[0]!),
        padded(padding + 1),
        expression(k, values[0]!, "outside"),
      ],
    };
  }
  if (functionMember) return plain(node, fn(k, functionMember[0]!));
  if (memberIf) {
    const { If, Else = [], expression: conditions, members: bodies } = memberIf[0]!.children;
    return plain(
      node,
      branches(
        k,
        If,
        Else,
        conditions,
        bodies.map((b) => members(k, b)),
      ),
    );
  }
  const { Names, LBrace, RBrace, namesEntry: entries = [] } = namesMember![0]!.children;
  return plain(
    node,
    group([
      k.print(Names[0]!),
      " ",
      braces(
        k,
        LBrace[0]!,
        entries.map((e) => entry(k, e)),
        RBrace[0]!,
      ),
    ]),
  );
}

/** The `=` of entries are aligned at a multiple of four columns from their start. */
function entry(k: Tokens, node: cst.NamesEntryCstNode): Row {
  const { Ignore, StringLiteral, Equal, Or = [], storedKey: keys = [] } = node.children;
  if (Ignore) return plain(node, [k.print(Ignore[0]!), " ", k.print(StringLiteral![0]!)]);
  const [from] = StringLiteral!;
  const values = keys.map((key, i): Doc =>
    i === 0 ? storedKey(k, key) : [" ", k.print(Or[i - 1]!), line, storedKey(k, key)],
  );
  return {
    node,
    aligned: { with: "entry", width: from!.image.length + 1, step: 4 },
    print: (padding) => [k.print(from!), padded(padding + 1), k.print(Equal![0]!), " ", group(indent(values))],
  };
}

function fn(k: Tokens, { children }: cst.FunctionMemberCstNode): Doc {
  const {
    Identifier,
    LParen,
    RParen,
    Comma,
    functionInput: inputs = [],
    Arrow,
    results: declared,
    body: bodies,
  } = children;
  const items = inputs.map((i) => ({
    node: i,
    doc: typed(k, i.children.Identifier[0]!, i.children.Colon[0]!, i.children.tensorType[0]!),
  }));
  return [
    k.print(Identifier[0]!),
    bracketed(k, LParen[0]!, items, Comma, RParen[0]!),
    Arrow ? [" ", k.print(Arrow[0]!), " ", results(k, declared![0]!)] : "",
    " ",
    group(body(k, bodies[0]!)),
  ];
}

function results(k: Tokens, { children }: cst.ResultsCstNode): Doc {
  const items = children.result!.map((r) => {
    const { Identifier, Colon, tensorType: types } = r.children;
    return { node: r, doc: Identifier ? typed(k, Identifier[0]!, Colon![0]!, types[0]!) : tensorType(k, types[0]!) };
  });
  return children.LParen
    ? bracketed(k, children.LParen[0]!, items, children.Comma, children.RParen![0]!)
    : items[0]!.doc;
}

const typed = (k: Tokens, name: IToken, colon: IToken, type: cst.TensorTypeCstNode): Doc => [
  k.print(name),
  k.print(colon),
  " ",
  tensorType(k, type),
];

// ── statements

function body(k: Tokens, { children }: cst.BodyCstNode): Doc {
  return braces(
    k,
    children.LBrace[0]!,
    (children.statement ?? []).map((s) => statement(k, s)),
    children.RBrace[0]!,
  );
}

function statement(k: Tokens, node: cst.StatementCstNode): Row {
  const { forStatement, ifStatement, lossStatement, observeStatement, updateStatement, bindingOrValue } = node.children;
  if (forStatement) {
    const { For, Identifier, In, expression: lists, body: bodies } = forStatement[0]!.children;
    return plain(node, [
      k.print(For[0]!),
      " ",
      k.print(Identifier[0]!),
      " ",
      k.print(In[0]!),
      " ",
      expression(k, lists[0]!, "outside"),
      " ",
      group(body(k, bodies[0]!)),
    ]);
  }
  if (ifStatement) {
    const { If, Else = [], expression: conditions, choice: rest, body: bodies = [] } = ifStatement[0]!.children;
    if (rest) return plain(node, choice(k, If[0]!, conditions[0]!, rest[0]!, "outside"));
    return plain(
      node,
      branches(
        k,
        If,
        Else,
        conditions,
        bodies.map((b) => body(k, b)),
      ),
    );
  }
  if (lossStatement) {
    const { Loss, Identifier, Equal, expression: values } = lossStatement[0]!.children;
    return plain(node, named(k, Loss[0]!, Identifier[0]!, Equal[0]!, values[0]!));
  }
  if (updateStatement) {
    const { Update, Identifier, Equal, expression: values } = updateStatement[0]!.children;
    return plain(node, named(k, Update[0]!, Identifier[0]!, Equal[0]!, values[0]!));
  }
  if (observeStatement) {
    const { Observe, Identifier } = observeStatement[0]!.children;
    return plain(node, [k.print(Observe[0]!), " ", k.print(Identifier[0]!)]);
  }
  const { chain: sides, DotDot, Equal, expression: values } = bindingOrValue![0]!.children;
  const left = range(k, sides, DotDot);
  if (!Equal) return plain(node, left);
  const right = expression(k, values![0]!, "outside");
  const print = (padding: number): Doc => [left, padded(padding + 1), k.print(Equal[0]!), " ", right];
  const name = sides[0]!.children.term[0]!.children.Identifier?.[0];
  return { node, print, aligned: name ? { with: "assign", width: name.image.length, step: 1 } : null };
}

/** `loss name = e`, `update name = e`. */
const named = (k: Tokens, word: IToken, name: IToken, equal: IToken, value: cst.ExpressionCstNode): Doc => [
  k.print(word),
  " ",
  k.print(name),
  " ",
  k.print(equal),
  " ",
  expression(k, value, "outside"),
];

/** Formats `if c { } else if d { } else { }`: all branches on one line, or none. */
function branches(
  k: Tokens,
  ifs: readonly IToken[],
  elses: readonly IToken[],
  conditions: readonly cst.ExpressionCstNode[],
  bodies: readonly Doc[],
): Doc {
  return group(
    bodies.map((inner, i): Doc => {
      const otherwise = i === 0 ? "" : [" ", k.print(elses[i - 1]!), " "];
      const head = ifs[i];
      return head
        ? [otherwise, k.print(head), " ", expression(k, conditions[i]!, "outside"), " ", inner]
        : [otherwise, inner];
    }),
  );
}
