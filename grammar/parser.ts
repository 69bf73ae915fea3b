// The grammar, as a chevrotain parser without actions: it makes a concrete syntax tree and recovers from errors.
// It reads tokens as `src/syntax/layout.ts` leaves them: a separator before each item, brackets balanced, no trailing commas.
// `modc.ebnf` is the same grammar for people; a test compares them.
import { CstParser, tokenMatcher, type IParserErrorMessageProvider } from "chevrotain";
import * as t from "./tokens.js";

export interface ParserOptions {
  readonly messages?: IParserErrorMessageProvider;
  /** Whether to check the grammar itself for ambiguity, which takes time and never changes: tests do. */
  readonly validate?: boolean;
}

const PARTNERS: ReadonlyMap<t.TokenType, t.TokenType> = new Map([[t.LParen, t.RParen], [t.LBracket, t.RBracket], [t.LBrace, t.RBrace]]);
const CLOSERS: ReadonlySet<t.TokenType> = new Set(PARTNERS.values());

export class ModcParser extends CstParser {
  constructor(options: ParserOptions = {}) {
    super(t.parserTokens, {
      recoveryEnabled: true,
      maxLookahead: 2,
      nodeLocationTracking: "onlyOffset",
      skipValidations: options.validate !== true,
      ...(options.messages ? { errorMessageProvider: options.messages } : {}),
    });
    this.performSelfAnalysis();
  }

  /** A name invented by the parser would mean nothing; everything else may be inserted. */
  protected override canTokenTypeBeInsertedInRecovery(type: t.TokenType): boolean {
    return type !== t.Identifier && type !== t.StringLiteral;
  }

  // Recovery skips whole groups in brackets, never half of one: brackets are balanced, and what stands in a group of
  // something unreadable is no place to go on.

  protected override canTokenTypeBeDeletedInRecovery(): boolean {
    return !PARTNERS.has(this.LA(1).tokenType);
  }

  protected override SKIP_TOKEN(): t.IToken {
    const groupEnds = this.#groupEnd(1);
    for (let k = 1; k < groupEnds; k++) super.SKIP_TOKEN();
    return super.SKIP_TOKEN();
  }

  /** As chevrotain's own, which looks at each token, but from group to group. The name is not in its public types; the version is pinned. */
  findReSyncTokenType(): t.TokenType {
    // Marked boundary: a method of chevrotain's parser that its types leave out.
    const follow = (this as unknown as { flattenFollowSet(): readonly t.TokenType[] }).flattenFollowSet();
    for (let k = 1; ; k = this.#groupEnd(k) + 1) {
      const found = follow.find((type) => tokenMatcher(this.LA(k), type));
      if (found) return found;
    }
  }

  /** Where the group that begins with token k ends: k itself where none begins. */
  #groupEnd(k: number): number {
    let depth = 0;
    for (let i = k; ; i++) {
      const type = this.LA(i).tokenType;
      if (type === t.EOF) return i === k ? k : i - 1;
      if (PARTNERS.has(type)) depth++;
      else if (CLOSERS.has(type)) depth--;
      if (depth <= 0) return i;
    }
  }

  // ── files and declarations

  file = this.RULE("file", () => {
    this.MANY(() => {
      this.CONSUME(t.Separator);
      this.SUBRULE(this.declaration);
    });
    this.CONSUME(t.EOF);
  });

  private declaration = this.RULE("declaration", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.importDeclaration) },
      { ALT: () => this.SUBRULE(this.constDeclaration) },
      { ALT: () => this.SUBRULE(this.blockDeclaration) },
    ]);
  });

  private importDeclaration = this.RULE("importDeclaration", () => {
    this.CONSUME(t.Import);
    this.CONSUME(t.LBrace);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.CONSUME(t.Identifier) });
    this.CONSUME(t.RBrace);
    this.CONSUME(t.From);
    this.CONSUME(t.StringLiteral);
  });

  private constDeclaration = this.RULE("constDeclaration", () => {
    this.CONSUME(t.Const);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Equal);
    this.SUBRULE(this.expression);
  });

  private blockDeclaration = this.RULE("blockDeclaration", () => {
    this.OR([{ ALT: () => this.CONSUME(t.Block) }, { ALT: () => this.CONSUME(t.Model) }]);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.LParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.parameter) });
    this.CONSUME(t.RParen);
    this.SUBRULE(this.members);
  });

  private parameter = this.RULE("parameter", () => {
    this.OPTION(() => this.CONSUME(t.Live));
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.parameterKind);
    this.OPTION2(() => {
      this.CONSUME(t.Equal);
      this.SUBRULE(this.expression);
    });
  });

  private parameterKind = this.RULE("parameterKind", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Block) },
      { ALT: () => this.CONSUME(t.Identifier) },
      {
        ALT: () => {
          this.CONSUME(t.LBracket);
          this.SUBRULE(this.parameterKind);
          this.CONSUME(t.RBracket);
        },
      },
    ]);
  });

  // ── members

  private members = this.RULE("members", () => {
    this.CONSUME(t.LBrace);
    this.MANY(() => {
      this.CONSUME(t.Separator);
      this.SUBRULE(this.member);
    });
    this.CONSUME(t.RBrace);
  });

  private member = this.RULE("member", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.weightMember) },
      { ALT: () => this.SUBRULE(this.subBlock) },
      { ALT: () => this.SUBRULE(this.functionMember) },
      { ALT: () => this.SUBRULE(this.memberIf) },
      { ALT: () => this.SUBRULE(this.namesMember) },
    ]);
  });

  private weightMember = this.RULE("weightMember", () => {
    this.CONSUME(t.Weight);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.tensorType);
    this.OPTION(() => {
      this.CONSUME(t.Equal);
      this.SUBRULE(this.expression);
    });
  });

  private subBlock = this.RULE("subBlock", () => {
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.expression);
  });

  private functionMember = this.RULE("functionMember", () => {
    this.CONSUME(t.Identifier);
    this.CONSUME(t.LParen);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.functionInput) });
    this.CONSUME(t.RParen);
    this.OPTION(() => {
      this.CONSUME(t.Arrow);
      this.SUBRULE(this.results);
    });
    this.SUBRULE(this.body);
  });

  private functionInput = this.RULE("functionInput", () => {
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Colon);
    this.SUBRULE(this.tensorType);
  });

  private results = this.RULE("results", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.result) },
      {
        ALT: () => {
          this.CONSUME(t.LParen);
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE2(this.result) });
          this.CONSUME(t.RParen);
        },
      },
    ]);
  });

  private result = this.RULE("result", () => {
    this.OPTION(() => {
      this.CONSUME(t.Identifier);
      this.CONSUME(t.Colon);
    });
    this.SUBRULE(this.tensorType);
  });

  private tensorType = this.RULE("tensorType", () => {
    this.CONSUME(t.Identifier);
    this.CONSUME(t.LBracket);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.dimension) });
    this.CONSUME(t.RBracket);
  });

  private dimension = this.RULE("dimension", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Ellipsis) },
      {
        ALT: () => {
          this.SUBRULE(this.size);
          this.OPTION(() => {
            this.CONSUME(t.LessEqual);
            this.SUBRULE2(this.size);
          });
        },
      },
    ]);
  });

  private memberIf = this.RULE("memberIf", () => {
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.members);
    this.MANY(() => {
      this.CONSUME(t.Else);
      this.CONSUME2(t.If);
      this.SUBRULE2(this.expression);
      this.SUBRULE2(this.members);
    });
    this.OPTION(() => {
      this.CONSUME2(t.Else);
      this.SUBRULE3(this.members);
    });
  });

  private namesMember = this.RULE("namesMember", () => {
    this.CONSUME(t.Names);
    this.CONSUME(t.LBrace);
    this.MANY(() => {
      this.CONSUME(t.Separator);
      this.SUBRULE(this.namesEntry);
    });
    this.CONSUME(t.RBrace);
  });

  private namesEntry = this.RULE("namesEntry", () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Ignore);
          this.CONSUME(t.StringLiteral);
        },
      },
      {
        ALT: () => {
          this.CONSUME2(t.StringLiteral);
          this.CONSUME(t.Equal);
          this.AT_LEAST_ONE_SEP({ SEP: t.Or, DEF: () => this.CONSUME3(t.StringLiteral) });
        },
      },
    ]);
  });

  // ── statements

  private body = this.RULE("body", () => {
    this.CONSUME(t.LBrace);
    this.MANY(() => {
      this.CONSUME(t.Separator);
      this.SUBRULE(this.statement);
    });
    this.CONSUME(t.RBrace);
  });

  private statement = this.RULE("statement", () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.forStatement) },
      { ALT: () => this.SUBRULE(this.ifStatement) },
      { ALT: () => this.SUBRULE(this.lossStatement) },
      { ALT: () => this.SUBRULE(this.observeStatement) },
      { ALT: () => this.SUBRULE(this.bindingOrValue) },
    ]);
  });

  private forStatement = this.RULE("forStatement", () => {
    this.CONSUME(t.For);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.In);
    this.SUBRULE(this.expression);
    this.SUBRULE(this.body);
  });

  /** `if c { … }`, or the value `if c then a else b`. */
  private ifStatement = this.RULE("ifStatement", () => {
    this.CONSUME(t.If);
    this.SUBRULE(this.expression);
    this.OR([
      { ALT: () => this.SUBRULE(this.choice) },
      {
        ALT: () => {
          this.SUBRULE(this.body);
          this.MANY(() => {
            this.CONSUME(t.Else);
            this.CONSUME2(t.If);
            this.SUBRULE2(this.expression);
            this.SUBRULE2(this.body);
          });
          this.OPTION(() => {
            this.CONSUME2(t.Else);
            this.SUBRULE3(this.body);
          });
        },
      },
    ]);
  });

  private lossStatement = this.RULE("lossStatement", () => {
    this.CONSUME(t.Loss);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Equal);
    this.SUBRULE(this.expression);
  });

  private observeStatement = this.RULE("observeStatement", () => {
    this.CONSUME(t.Observe);
    this.CONSUME(t.Identifier);
  });

  private bindingOrValue = this.RULE("bindingOrValue", () => {
    this.SUBRULE(this.chain);
    this.OPTION(() => {
      this.OR([
        {
          ALT: () => {
            this.CONSUME(t.DotDot);
            this.SUBRULE2(this.chain);
          },
        },
        {
          ALT: () => {
            this.CONSUME(t.Equal);
            this.SUBRULE(this.expression);
          },
        },
      ]);
    });
  });

  // ── expressions: chains of operators are flat here; `src/syntax/expressions.ts` groups them by precedence.
  // Few rules for each level of brackets: the depth of the stack bounds the nesting that can be read.

  private expression = this.RULE("expression", () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.If);
          this.SUBRULE(this.expression);
          this.SUBRULE(this.choice);
        },
      },
      {
        ALT: () => {
          this.SUBRULE(this.chain);
          this.OPTION(() => {
            this.CONSUME(t.DotDot);
            this.SUBRULE2(this.chain);
          });
        },
      },
    ]);
  });

  /** What follows the condition: a chain of `else if` is one level, however long. */
  private choice = this.RULE("choice", () => {
    this.CONSUME(t.Then);
    this.SUBRULE(this.expression);
    this.MANY(() => {
      this.CONSUME(t.Else);
      this.CONSUME(t.If);
      this.SUBRULE2(this.expression);
      this.CONSUME2(t.Then);
      this.SUBRULE3(this.expression);
    });
    this.CONSUME2(t.Else);
    this.SUBRULE4(this.expression);
  });

  private chain = this.RULE("chain", () => {
    this.MANY(() => this.CONSUME(t.PrefixOperator));
    this.SUBRULE(this.term);
    this.MANY2(() => {
      this.CONSUME(t.BinaryOperator);
      this.MANY3(() => this.CONSUME2(t.PrefixOperator));
      this.SUBRULE2(this.term);
    });
  });

  /** A dimension or its bound: a chain without comparisons. */
  private size = this.RULE("size", () => {
    this.MANY(() => this.CONSUME(t.PrefixOperator));
    this.SUBRULE(this.term);
    this.MANY2(() => {
      this.CONSUME(t.ArithmeticOperator);
      this.MANY3(() => this.CONSUME2(t.PrefixOperator));
      this.SUBRULE2(this.term);
    });
  });

  /** Several expressions in parentheses are legal only as the names on the left of `=`. */
  private term = this.RULE("term", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.NumberLiteral) },
      { ALT: () => this.CONSUME(t.StringLiteral) },
      { ALT: () => this.CONSUME(t.True) },
      { ALT: () => this.CONSUME(t.False) },
      { ALT: () => this.CONSUME(t.None) },
      { ALT: () => this.CONSUME(t.Identifier) },
      {
        ALT: () => {
          this.CONSUME(t.LParen);
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.expression) });
          this.CONSUME(t.RParen);
        },
      },
      { ALT: () => this.SUBRULE(this.list) },
    ]);
    this.MANY(() => this.SUBRULE(this.suffix));
  });

  private list = this.RULE("list", () => {
    this.CONSUME(t.LBracket);
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.For);
          this.CONSUME(t.Identifier);
          this.CONSUME(t.In);
          this.SUBRULE(this.expression);
          this.CONSUME(t.Colon);
          this.SUBRULE2(this.expression);
        },
      },
      { ALT: () => this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE3(this.expression) }) },
    ]);
    this.CONSUME(t.RBracket);
  });

  private suffix = this.RULE("suffix", () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(t.Dot);
          this.CONSUME(t.Identifier);
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.LParen);
          this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.argument) });
          this.CONSUME(t.RParen);
        },
      },
      {
        ALT: () => {
          this.CONSUME(t.LBracket);
          this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.index) });
          this.CONSUME(t.RBracket);
        },
      },
    ]);
  });

  private argument = this.RULE("argument", () => {
    this.OPTION(() => {
      this.CONSUME(t.Identifier);
      this.CONSUME(t.Colon);
    });
    this.SUBRULE(this.expression);
  });

  private index = this.RULE("index", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Ellipsis) },
      {
        ALT: () => {
          this.CONSUME(t.Colon);
          this.OPTION(() => this.SUBRULE(this.expression));
        },
      },
      {
        ALT: () => {
          this.SUBRULE2(this.expression);
          this.OPTION2(() => {
            this.CONSUME2(t.Colon);
            this.OPTION3(() => this.SUBRULE3(this.expression));
          });
        },
      },
    ]);
  });
}
