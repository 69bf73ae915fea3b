// Values of live parameters as a command line writes them.
import type { LiveParameter } from "../../../language/check/model.js";
import { divide, parseDecimal, parseRational, rational, type Rational } from "../../../ground/numerics/rational.js";
import { UserError } from "../terminal/exit.js";

/** The value of a live parameter, exactly. Throws UserError for a parameter that the model does not have. */
export function expectLive(declared: readonly LiveParameter[], name: string, text: string): Rational {
  if (!declared.some((l) => l.name === name))
    throw new UserError(
      `the model has no live parameter ${name}`,
      declared.length > 0 ? `it has ${declared.map((l) => l.name).join(", ")}` : null,
    );
  const percent = text.endsWith("%") ? parseDecimal(text.slice(0, -1)) : null;
  const value = percent ? divide(percent, rational(100)) : (parseDecimal(text) ?? parseRational(text));
  if (!value) throw new UserError(`--live ${name}=${text}: write a number such as 0.5, 12.5% or 1/8`);
  return value;
}
