// Made by scripts/grammar.mjs from grammar/parser.ts; do not edit. The types of the concrete syntax tree.
import type { CstNode, IToken } from "chevrotain";

export interface ExpressionCstNode extends CstNode {
  name: "expression";
  children: ExpressionCstChildren;
}

export type ExpressionCstChildren = {
  If?: IToken[];
  expression?: ExpressionCstNode[];
  choice?: ChoiceCstNode[];
  chain?: (ChainCstNode)[];
  DotDot?: IToken[];
};

export interface ChoiceCstNode extends CstNode {
  name: "choice";
  children: ChoiceCstChildren;
}

export type ChoiceCstChildren = {
  Then: (IToken)[];
  expression: (ExpressionCstNode)[];
  Else: (IToken)[];
  If?: IToken[];
};

export interface ChainCstNode extends CstNode {
  name: "chain";
  children: ChainCstChildren;
}

export type ChainCstChildren = {
  PrefixOperator?: (IToken)[];
  term: (TermCstNode)[];
  BinaryOperator?: IToken[];
};

export interface SizeCstNode extends CstNode {
  name: "size";
  children: SizeCstChildren;
}

export type SizeCstChildren = {
  PrefixOperator?: (IToken)[];
  term: (TermCstNode)[];
  ArithmeticOperator?: IToken[];
};

export interface TermCstNode extends CstNode {
  name: "term";
  children: TermCstChildren;
}

export type TermCstChildren = {
  NumberLiteral?: IToken[];
  StringLiteral?: IToken[];
  True?: IToken[];
  False?: IToken[];
  None?: IToken[];
  Identifier?: IToken[];
  LParen?: IToken[];
  expression?: ExpressionCstNode[];
  Comma?: IToken[];
  RParen?: IToken[];
  list?: ListCstNode[];
  suffix?: SuffixCstNode[];
};

export interface ListCstNode extends CstNode {
  name: "list";
  children: ListCstChildren;
}

export type ListCstChildren = {
  LBracket: IToken[];
  For?: IToken[];
  Identifier?: IToken[];
  In?: IToken[];
  expression?: (ExpressionCstNode)[];
  Colon?: IToken[];
  Comma?: IToken[];
  RBracket: IToken[];
};

export interface SuffixCstNode extends CstNode {
  name: "suffix";
  children: SuffixCstChildren;
}

export type SuffixCstChildren = {
  Dot?: IToken[];
  Identifier?: IToken[];
  LParen?: IToken[];
  argument?: ArgumentCstNode[];
  Comma?: (IToken)[];
  RParen?: IToken[];
  LBracket?: IToken[];
  index?: IndexCstNode[];
  RBracket?: IToken[];
};

export interface ArgumentCstNode extends CstNode {
  name: "argument";
  children: ArgumentCstChildren;
}

export type ArgumentCstChildren = {
  Identifier?: IToken[];
  Colon?: IToken[];
  expression: ExpressionCstNode[];
};

export interface IndexCstNode extends CstNode {
  name: "index";
  children: IndexCstChildren;
}

export type IndexCstChildren = {
  Ellipsis?: IToken[];
  sliceEnd?: (SliceEndCstNode)[];
  expression?: ExpressionCstNode[];
};

export interface SliceEndCstNode extends CstNode {
  name: "sliceEnd";
  children: SliceEndCstChildren;
}

export type SliceEndCstChildren = {
  Colon: (IToken)[];
  expression?: (ExpressionCstNode)[];
};

export interface TensorTypeCstNode extends CstNode {
  name: "tensorType";
  children: TensorTypeCstChildren;
}

export type TensorTypeCstChildren = {
  Identifier: IToken[];
  LBracket: IToken[];
  dimension?: DimensionCstNode[];
  Comma?: IToken[];
  RBracket: IToken[];
};

export interface DimensionCstNode extends CstNode {
  name: "dimension";
  children: DimensionCstChildren;
}

export type DimensionCstChildren = {
  Ellipsis?: IToken[];
  If?: IToken[];
  expression?: ExpressionCstNode[];
  choice?: ChoiceCstNode[];
  size?: (SizeCstNode)[];
  LessEqual?: IToken[];
};

export interface FileCstNode extends CstNode {
  name: "file";
  children: FileCstChildren;
}

export type FileCstChildren = {
  Separator?: IToken[];
  declaration?: DeclarationCstNode[];
  EOF: IToken[];
};

export interface DeclarationCstNode extends CstNode {
  name: "declaration";
  children: DeclarationCstChildren;
}

export type DeclarationCstChildren = {
  importDeclaration?: ImportDeclarationCstNode[];
  constDeclaration?: ConstDeclarationCstNode[];
  blockDeclaration?: BlockDeclarationCstNode[];
};

export interface ImportDeclarationCstNode extends CstNode {
  name: "importDeclaration";
  children: ImportDeclarationCstChildren;
}

export type ImportDeclarationCstChildren = {
  Import: IToken[];
  LBrace: IToken[];
  Identifier?: IToken[];
  Comma?: IToken[];
  RBrace: IToken[];
  From: IToken[];
  StringLiteral: IToken[];
};

export interface ConstDeclarationCstNode extends CstNode {
  name: "constDeclaration";
  children: ConstDeclarationCstChildren;
}

export type ConstDeclarationCstChildren = {
  Const: IToken[];
  Identifier: IToken[];
  Equal: IToken[];
  expression: ExpressionCstNode[];
};

export interface BlockDeclarationCstNode extends CstNode {
  name: "blockDeclaration";
  children: BlockDeclarationCstChildren;
}

export type BlockDeclarationCstChildren = {
  Block?: IToken[];
  Model?: IToken[];
  Identifier: IToken[];
  LParen: IToken[];
  parameter?: ParameterCstNode[];
  Comma?: IToken[];
  RParen: IToken[];
  members: MembersCstNode[];
};

export interface ParameterCstNode extends CstNode {
  name: "parameter";
  children: ParameterCstChildren;
}

export type ParameterCstChildren = {
  Live?: IToken[];
  Identifier: IToken[];
  Colon: IToken[];
  parameterKind: ParameterKindCstNode[];
  Equal?: IToken[];
  expression?: ExpressionCstNode[];
};

export interface ParameterKindCstNode extends CstNode {
  name: "parameterKind";
  children: ParameterKindCstChildren;
}

export type ParameterKindCstChildren = {
  Block?: IToken[];
  Identifier?: IToken[];
  LBracket?: IToken[];
  parameterKind?: ParameterKindCstNode[];
  RBracket?: IToken[];
};

export interface MembersCstNode extends CstNode {
  name: "members";
  children: MembersCstChildren;
}

export type MembersCstChildren = {
  LBrace: IToken[];
  Separator?: IToken[];
  member?: MemberCstNode[];
  RBrace: IToken[];
};

export interface MemberCstNode extends CstNode {
  name: "member";
  children: MemberCstChildren;
}

export type MemberCstChildren = {
  weightMember?: WeightMemberCstNode[];
  subBlock?: SubBlockCstNode[];
  functionMember?: FunctionMemberCstNode[];
  memberIf?: MemberIfCstNode[];
  namesMember?: NamesMemberCstNode[];
};

export interface WeightMemberCstNode extends CstNode {
  name: "weightMember";
  children: WeightMemberCstChildren;
}

export type WeightMemberCstChildren = {
  Weight?: IToken[];
  State?: IToken[];
  Identifier: IToken[];
  Colon: IToken[];
  tensorType: TensorTypeCstNode[];
  Equal?: IToken[];
  expression?: ExpressionCstNode[];
};

export interface SubBlockCstNode extends CstNode {
  name: "subBlock";
  children: SubBlockCstChildren;
}

export type SubBlockCstChildren = {
  Identifier: IToken[];
  Colon: IToken[];
  expression: ExpressionCstNode[];
};

export interface FunctionMemberCstNode extends CstNode {
  name: "functionMember";
  children: FunctionMemberCstChildren;
}

export type FunctionMemberCstChildren = {
  Identifier: IToken[];
  LParen: IToken[];
  functionInput?: FunctionInputCstNode[];
  Comma?: IToken[];
  RParen: IToken[];
  Arrow?: IToken[];
  results?: ResultsCstNode[];
  body: BodyCstNode[];
};

export interface FunctionInputCstNode extends CstNode {
  name: "functionInput";
  children: FunctionInputCstChildren;
}

export type FunctionInputCstChildren = {
  Identifier: IToken[];
  Colon: IToken[];
  tensorType: TensorTypeCstNode[];
};

export interface ResultsCstNode extends CstNode {
  name: "results";
  children: ResultsCstChildren;
}

export type ResultsCstChildren = {
  result?: (ResultCstNode)[];
  LParen?: IToken[];
  Comma?: IToken[];
  RParen?: IToken[];
};

export interface ResultCstNode extends CstNode {
  name: "result";
  children: ResultCstChildren;
}

export type ResultCstChildren = {
  Identifier?: IToken[];
  Colon?: IToken[];
  tensorType: TensorTypeCstNode[];
};

export interface MemberIfCstNode extends CstNode {
  name: "memberIf";
  children: MemberIfCstChildren;
}

export type MemberIfCstChildren = {
  If: (IToken)[];
  expression: (ExpressionCstNode)[];
  members: (MembersCstNode)[];
  Else?: (IToken)[];
};

export interface NamesMemberCstNode extends CstNode {
  name: "namesMember";
  children: NamesMemberCstChildren;
}

export type NamesMemberCstChildren = {
  Names: IToken[];
  LBrace: IToken[];
  Separator?: IToken[];
  namesEntry?: NamesEntryCstNode[];
  RBrace: IToken[];
};

export interface NamesEntryCstNode extends CstNode {
  name: "namesEntry";
  children: NamesEntryCstChildren;
}

export type NamesEntryCstChildren = {
  Ignore?: IToken[];
  StringLiteral?: (IToken)[];
  Equal?: IToken[];
  storedKey?: StoredKeyCstNode[];
  Or?: IToken[];
};

export interface StoredKeyCstNode extends CstNode {
  name: "storedKey";
  children: StoredKeyCstChildren;
}

export type StoredKeyCstChildren = {
  StringLiteral: IToken[];
  LBracket?: IToken[];
  storedIndex?: StoredIndexCstNode[];
  Comma?: IToken[];
  RBracket?: IToken[];
  Caret?: IToken[];
  Identifier?: IToken[];
};

export interface StoredIndexCstNode extends CstNode {
  name: "storedIndex";
  children: StoredIndexCstChildren;
}

export type StoredIndexCstChildren = {
  Placeholder?: IToken[];
  index?: IndexCstNode[];
};

export interface BodyCstNode extends CstNode {
  name: "body";
  children: BodyCstChildren;
}

export type BodyCstChildren = {
  LBrace: IToken[];
  Separator?: IToken[];
  statement?: StatementCstNode[];
  RBrace: IToken[];
};

export interface StatementCstNode extends CstNode {
  name: "statement";
  children: StatementCstChildren;
}

export type StatementCstChildren = {
  forStatement?: ForStatementCstNode[];
  ifStatement?: IfStatementCstNode[];
  lossStatement?: LossStatementCstNode[];
  observeStatement?: ObserveStatementCstNode[];
  updateStatement?: UpdateStatementCstNode[];
  bindingOrValue?: BindingOrValueCstNode[];
};

export interface ForStatementCstNode extends CstNode {
  name: "forStatement";
  children: ForStatementCstChildren;
}

export type ForStatementCstChildren = {
  For: IToken[];
  Identifier: IToken[];
  In: IToken[];
  expression: ExpressionCstNode[];
  body: BodyCstNode[];
};

export interface IfStatementCstNode extends CstNode {
  name: "ifStatement";
  children: IfStatementCstChildren;
}

export type IfStatementCstChildren = {
  If: (IToken)[];
  expression: (ExpressionCstNode)[];
  choice?: ChoiceCstNode[];
  body?: (BodyCstNode)[];
  Else?: (IToken)[];
};

export interface LossStatementCstNode extends CstNode {
  name: "lossStatement";
  children: LossStatementCstChildren;
}

export type LossStatementCstChildren = {
  Loss: IToken[];
  Identifier: IToken[];
  Equal: IToken[];
  expression: ExpressionCstNode[];
};

export interface ObserveStatementCstNode extends CstNode {
  name: "observeStatement";
  children: ObserveStatementCstChildren;
}

export type ObserveStatementCstChildren = {
  Observe: IToken[];
  Identifier: IToken[];
};

export interface UpdateStatementCstNode extends CstNode {
  name: "updateStatement";
  children: UpdateStatementCstChildren;
}

export type UpdateStatementCstChildren = {
  Update: IToken[];
  Identifier: IToken[];
  Equal: IToken[];
  expression: ExpressionCstNode[];
};

export interface BindingOrValueCstNode extends CstNode {
  name: "bindingOrValue";
  children: BindingOrValueCstChildren;
}

export type BindingOrValueCstChildren = {
  chain: (ChainCstNode)[];
  DotDot?: IToken[];
  Equal?: IToken[];
  expression?: ExpressionCstNode[];
};
