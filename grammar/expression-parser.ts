// The grammar of expressions and of tensor types. Chains of operators are flat: `src/language/syntax/expressions.ts`
// groups them by precedence.
import { RecoveringParser } from "./recovering-parser.js";
import * as t from "./tokens.js";

/** Uses few rules per level of brackets, since the parser's stack depth limits the nesting. */
export abstract class ExpressionParser extends RecoveringParser {
  protected expression = this.RULE("expression", () => {
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

  /** The rest of an `if` expression after its condition: a chain of `else if` is one level of nesting, however long. */
  protected choice = this.RULE("choice", () => {
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

  protected chain = this.RULE("chain", () => {
    this.MANY(() => this.CONSUME(t.PrefixOperator));
    this.SUBRULE(this.term);
    this.MANY2(() => {
      this.CONSUME(t.BinaryOperator);
      this.MANY3(() => this.CONSUME2(t.PrefixOperator));
      this.SUBRULE2(this.term);
    });
  });

  /** A dimension or its bound: an operator chain without comparisons. */
  protected size = this.RULE("size", () => {
    this.MANY(() => this.CONSUME(t.PrefixOperator));
    this.SUBRULE(this.term);
    this.MANY2(() => {
      this.CONSUME(t.ArithmeticOperator);
      this.MANY3(() => this.CONSUME2(t.PrefixOperator));
      this.SUBRULE2(this.term);
    });
  });

  /** Several expressions in parentheses form a list; on the left of `=`, the names to bind. */
  protected term = this.RULE("term", () => {
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

  protected list = this.RULE("list", () => {
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

  protected suffix = this.RULE("suffix", () => {
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

  protected argument = this.RULE("argument", () => {
    this.OPTION(() => {
      this.CONSUME(t.Identifier);
      this.CONSUME(t.Colon);
    });
    this.SUBRULE(this.expression);
  });

  protected index = this.RULE("index", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Ellipsis) },
      { ALT: () => this.SUBRULE(this.sliceEnd) },
      {
        ALT: () => {
          this.SUBRULE2(this.expression);
          this.OPTION2(() => this.SUBRULE2(this.sliceEnd));
        },
      },
    ]);
  });

  /** What follows the start of a slice: its end, and its step. */
  protected sliceEnd = this.RULE("sliceEnd", () => {
    this.CONSUME(t.Colon);
    this.OPTION(() => this.SUBRULE(this.expression));
    this.OPTION2(() => {
      this.CONSUME2(t.Colon);
      this.OPTION3(() => this.SUBRULE2(this.expression));
    });
  });

  // ── types of tensors

  protected tensorType = this.RULE("tensorType", () => {
    this.CONSUME(t.Identifier);
    this.CONSUME(t.LBracket);
    this.MANY_SEP({ SEP: t.Comma, DEF: () => this.SUBRULE(this.dimension) });
    this.CONSUME(t.RBracket);
  });

  protected dimension = this.RULE("dimension", () => {
    this.OR([
      { ALT: () => this.CONSUME(t.Ellipsis) },
      {
        ALT: () => {
          this.CONSUME(t.If);
          this.SUBRULE(this.expression);
          this.SUBRULE(this.choice);
        },
      },
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
}
