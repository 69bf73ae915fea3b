// Forms of texts, such as JSON schemas and grammars, and the tokens that they allow.
export { compileForm, Constraints, type Form } from "./constraints.js";
export { ConstraintError } from "./errors.js";
