// Every operator on the device agrees with its reference evaluation, on all its samples.
import { describeOperators } from "./operators.js";

describeOperators("default");
