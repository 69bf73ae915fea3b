// Every operator agrees on a second device too: SwiftShader, with subgroups of another width and no f16.
// @module-tag long
import { describeOperators } from "./operators.js";

describeOperators("swiftshader");
