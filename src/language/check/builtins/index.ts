// Every built-in function on tensors, by family, in the order of the reference.
import type { Builtin } from "../model/context.js";
import { attention, position, rope } from "./attention.js";
import { elementwise } from "./elementwise.js";
import { mass } from "./mass.js";
import { tensor } from "./literal.js";
import { losses } from "./losses.js";
import { concat, split } from "./parts.js";
import { rearrange, transpose, zeros } from "./rearrange.js";
import { recurrences } from "./recurrences.js";
import { reductions } from "./reductions.js";
import { above, put, take, those, top } from "./routing.js";
import { received } from "./received.js";
import { rows, sequence } from "./sequences.js";

/** Families with a title, as documentation lists them. */
export const families: ReadonlyMap<string, ReadonlyMap<string, Builtin>> = new Map<
  string,
  ReadonlyMap<string, Builtin>
>([
  ["Element by element", elementwise],
  ["Reductions", reductions],
  [
    "Shapes",
    new Map([
      ["rearrange", rearrange],
      ["transpose", transpose],
      ["concat", concat],
      ["split", split],
      ["zeros", zeros],
      ["tensor", tensor],
    ]),
  ],
  [
    "Sequences",
    new Map([
      ["attention", attention],
      ["mass", mass],
      ["received", received],
      ["rope", rope],
      ["position", position],
      ["sequence", sequence],
      ["rows", rows],
    ]),
  ],
  ["Recurrences", recurrences],
  [
    "Routing",
    new Map([
      ["top", top],
      ["above", above],
      ["those", those],
      ["take", take],
      ["put", put],
    ]),
  ],
  ["Training and chance", losses],
]);

/** Built-in functions by name. */
export const builtins: ReadonlyMap<string, Builtin> = new Map([...families.values()].flatMap((family) => [...family]));
