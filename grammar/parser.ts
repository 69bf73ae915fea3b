// The grammar, as a chevrotain parser without actions: it builds a concrete syntax tree and recovers from errors. Its
// tokens come from `src/language/syntax/layout.ts`: a separator before each item, balanced brackets, no trailing
// commas. `modc.ebnf` is the same grammar in EBNF; a test compares the two.
import { ExpressionParser } from "./expression-parser.js";
import type { ParserOptions } from "./recovering-parser.js";
import * as t from "./tokens.js";

export class ModcParser extends ExpressionParser {
  constructor(options: ParserOptions = {}) {
    super(options);
    this.performSelfAnalysis();
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
    this.OR([{ ALT: () => this.CONSUME(t.Weight) }, { ALT: () => this.CONSUME(t.State) }]);
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
          this.AT_LEAST_ONE_SEP({ SEP: t.Or, DEF: () => this.SUBRULE(this.storedKey) });
        },
      },
    ]);
  });

  /** A key of a checkpoint, or a part of the tensor under it, `^T` if transposed. */
  private storedKey = this.RULE("storedKey", () => {
    this.CONSUME(t.StringLiteral);
    this.OPTION(() => {
      this.CONSUME(t.LBracket);
      this.AT_LEAST_ONE_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.storedIndex) });
      this.CONSUME(t.RBracket);
    });
    this.OPTION2(() => {
      this.CONSUME(t.Caret);
      this.CONSUME(t.Identifier);
    });
  });

  private storedIndex = this.RULE("storedIndex", () => {
    this.OR([{ ALT: () => this.CONSUME(t.Placeholder) }, { ALT: () => this.SUBRULE(this.index) }]);
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
      { ALT: () => this.SUBRULE(this.updateStatement) },
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

  private updateStatement = this.RULE("updateStatement", () => {
    this.CONSUME(t.Update);
    this.CONSUME(t.Identifier);
    this.CONSUME(t.Equal);
    this.SUBRULE(this.expression);
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
}
