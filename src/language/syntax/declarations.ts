// Builds imports, constants, blocks and their members.
import type * as cst from "../../../grammar/cst.js";
import { DTYPES, PARAM_KINDS } from "../../../grammar/tokens.js";
import type { DType } from "../../ground/base/dtype.js";
import type {
  Block,
  Const,
  DimExpr,
  File,
  Fn,
  Import,
  Input,
  Member,
  MemberIf,
  NamesEntry,
  Param,
  ParamKind,
  Result,
  StoredIndex,
  StoredKey,
  TypeExpr,
  Weight,
} from "./ast.js";
import { Incomplete, type Builder } from "./builder.js";
import { chain, choice, expression, index } from "./expressions.js";
import { stringLiteral } from "./literals.js";
import { body, ifChain } from "./statements.js";

/** `length` is the length of the source text. */
export function fileOf(b: Builder, node: cst.FileCstNode, length: number): Omit<File, "allows"> {
  const all = node.children.declaration ?? [];
  const imports = b.buildAll(
    all.flatMap((d) => d.children.importDeclaration ?? []),
    (i) => importOf(b, i),
  );
  const declarations = b.buildAll(all, (d): (Const | Block)[] => {
    const { constDeclaration, blockDeclaration } = d.children;
    return [
      ...(constDeclaration ?? []).map((c) => constant(b, c)),
      ...(blockDeclaration ?? []).map((x) => block(b, x)),
    ];
  });
  return { kind: "file", file: b.file, imports, declarations, span: b.span(0, length) };
}

function importOf(b: Builder, node: cst.ImportDeclarationCstNode): Import {
  const { Identifier, StringLiteral } = node.children;
  const from = stringLiteral(b, b.need(StringLiteral?.[0]));
  return {
    kind: "import",
    names: (Identifier ?? []).map((n) => b.name(n)),
    from: from.value,
    fromSpan: from.span,
    span: b.nodeSpan(node),
  };
}

function constant(b: Builder, node: cst.ConstDeclarationCstNode): Const {
  const { Identifier, expression: values } = node.children;
  const span = b.nodeSpan(node);
  return {
    kind: "const",
    name: b.name(Identifier?.[0]),
    value: expression(b, values?.[0]),
    doc: b.doc(span.start),
    span,
  };
}

function block(b: Builder, node: cst.BlockDeclarationCstNode): Block {
  const { Model, Identifier, parameter: parameters, members: bodies } = node.children;
  const params = b.buildAll(parameters, (p) => parameter(b, p));
  const inner = members(b, bodies?.[0]);
  const span = b.nodeSpan(node);
  return {
    kind: "block",
    model: Model !== undefined,
    name: b.name(Identifier?.[0]),
    params,
    members: inner,
    doc: b.doc(span.start),
    span,
  };
}

function parameter(b: Builder, node: cst.ParameterCstNode): Param {
  const { Live, Identifier, parameterKind: kinds, expression: values } = node.children;
  const type = b.need(kinds?.[0]);
  const span = b.nodeSpan(node);
  return {
    name: b.name(Identifier?.[0]),
    type: kindOf(b, type),
    typeSpan: b.nodeSpan(type),
    live: Live !== undefined,
    default: values ? expression(b, values[0]) : null,
    doc: b.doc(span.start),
    span,
  };
}

function kindOf(b: Builder, node: cst.ParameterKindCstNode): ParamKind {
  const { Block, Identifier, parameterKind } = node.children;
  if (Block) return { kind: "block" };
  if (!Identifier) return { kind: "list", of: kindOf(b, b.need(parameterKind?.[0])) };
  const { text, span } = b.name(Identifier[0]);
  const kind = PARAM_KINDS.find((k) => k === text);
  if (kind !== undefined) return { kind };
  b.report("unknown-kind", { name: text }, span);
  throw new Incomplete();
}

function members(b: Builder, node: cst.MembersCstNode | undefined): readonly Member[] {
  return b.buildAll(b.need(node).children.member, (m) => member(b, m));
}

function member(b: Builder, node: cst.MemberCstNode): Member {
  const { weightMember, subBlock, functionMember, memberIf, namesMember } = node.children;
  if (weightMember) return weight(b, weightMember[0]!);
  if (subBlock) {
    const { Identifier, expression: values } = subBlock[0]!.children;
    const span = b.nodeSpan(subBlock[0]!);
    return {
      kind: "sub-block",
      name: b.name(Identifier?.[0]),
      value: expression(b, values?.[0]),
      doc: b.doc(span.start),
      span,
    };
  }
  if (functionMember) return fn(b, functionMember[0]!);
  if (memberIf) return conditional(b, memberIf[0]!);
  const names = b.need(namesMember?.[0]);
  return {
    kind: "names",
    entries: b.buildAll(names.children.namesEntry, (e) => namesEntry(b, e)),
    span: b.nodeSpan(names),
  };
}

function weight(b: Builder, node: cst.WeightMemberCstNode): Weight {
  const { State, Identifier, tensorType: types, expression: values } = node.children;
  const span = b.nodeSpan(node);
  return {
    kind: State ? "state" : "weight",
    name: b.name(Identifier?.[0]),
    type: tensorType(b, types?.[0]),
    init: values ? expression(b, values[0]) : null,
    doc: b.doc(span.start),
    span,
  };
}

const conditional = (b: Builder, node: cst.MemberIfCstNode): MemberIf =>
  ifChain(
    b,
    node,
    () => b.need(node.children.members).map((x) => members(b, x)),
    (parts): MemberIf => ({ kind: "member-if", ...parts }),
  );

function fn(b: Builder, node: cst.FunctionMemberCstNode): Fn {
  const { Identifier, functionInput, results: declared, body: bodies } = node.children;
  const inner = body(b, bodies?.[0]);
  const inputs = b.buildAll(functionInput, (i) => input(b, i));
  const span = b.nodeSpan(node);
  return {
    kind: "function",
    name: b.name(Identifier?.[0]),
    inputs,
    results: declared ? results(b, declared[0]!) : [],
    body: inner,
    doc: b.doc(span.start),
    span,
  };
}

function input(b: Builder, node: cst.FunctionInputCstNode): Input {
  const { Identifier, tensorType: types } = node.children;
  return { name: b.name(Identifier?.[0]), type: tensorType(b, types?.[0]), span: b.nodeSpan(node) };
}

function results(b: Builder, node: cst.ResultsCstNode): readonly Result[] {
  const results = b.need(node.children.result).map((r): Result => {
    const { Identifier, tensorType: types } = r.children;
    return { name: Identifier ? b.name(Identifier[0]) : null, type: tensorType(b, types?.[0]) };
  });
  const unnamed = results.length > 1 ? results.find((r) => r.name === null) : undefined;
  if (unnamed) b.report("unnamed-result", {}, unnamed.type.span);
  return results;
}

function tensorType(b: Builder, node: cst.TensorTypeCstNode | undefined): TypeExpr {
  const { Identifier, dimension: dims } = b.need(node).children;
  const { text, span } = b.name(Identifier?.[0]);
  const dtype: DType | undefined = DTYPES.find((d) => d === text);
  if (dtype === undefined) {
    b.report("unknown-dtype", { name: text }, span);
    throw new Incomplete();
  }
  return { dtype, dims: (dims ?? []).map((d) => dimension(b, d)), span: b.nodeSpan(b.need(node)) };
}

function dimension(b: Builder, node: cst.DimensionCstNode): DimExpr {
  const { Ellipsis, If, LessEqual, expression: conditions, choice: rest, size: sides } = node.children;
  const span = b.nodeSpan(node);
  if (Ellipsis) return { kind: "rest", span };
  if (If)
    return {
      kind: "dim",
      value: choice(b, If[0]!, expression(b, conditions?.[0]), b.need(rest?.[0])),
      bound: null,
      span,
    };
  const value = chain(b, sides?.[0]);
  return { kind: "dim", value, bound: LessEqual ? chain(b, sides?.[1]) : null, span };
}

function namesEntry(b: Builder, node: cst.NamesEntryCstNode): NamesEntry {
  const { Ignore, StringLiteral, storedKey: keys } = node.children;
  const span = b.nodeSpan(node);
  const first = stringLiteral(b, b.need(StringLiteral?.[0]));
  return Ignore
    ? { kind: "ignore", pattern: first, span }
    : { kind: "map", from: first, to: b.need(keys).map((key) => storedKey(b, key)), span };
}

function storedKey(b: Builder, node: cst.StoredKeyCstNode): StoredKey {
  const { StringLiteral, LBracket, storedIndex: indices, Identifier } = node.children;
  const mark = Identifier ? b.name(Identifier[0]) : null;
  if (mark !== null && mark.text !== "T") b.report("not-transposed", { found: mark.text }, mark.span);
  return {
    key: stringLiteral(b, b.need(StringLiteral[0])),
    indices: LBracket ? b.need(indices).map((i) => storedIndex(b, i)) : null,
    transposed: mark !== null,
    span: b.nodeSpan(node),
  };
}

function storedIndex(b: Builder, node: cst.StoredIndexCstNode): StoredIndex {
  const { Placeholder, index: indices } = node.children;
  if (!Placeholder) return index(b, b.need(indices?.[0]));
  const { image } = Placeholder[0]!;
  return { kind: "segment", name: image.slice(1, -1), span: b.tokenSpan(Placeholder[0]!) };
}
