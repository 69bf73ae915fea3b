// What the library says of its options, in the words of the command line: a fault names the option that was given.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import { InputError, LimitError } from "../../../runtime/device/errors.js";
import { TrainError } from "../../train/errors.js";
import { TRAIN_OPTIONS } from "../../train/options.js";
import { EXIT, UserError } from "./exit.js";

/** Options that say how large a run is. */
const SIZES = ["--batch", "--length", "--at"];

/** The same fault, or one that says it as the command's options have it. */
export function spoken(fault: unknown, command: CommandUnknownOpts): unknown {
  if (fault instanceof InputError) {
    const option = command.options.find((o) => o.attributeName() === fault.input);
    return option?.long && fault.message.startsWith(`${fault.input} `)
      ? new UserError(
          fault.message.replace(fault.input!, () => option.long!),
          fault.hint,
          fault.exit,
        )
      : fault;
  }
  if (fault instanceof TrainError && fault.code === "bad-option") {
    const [name = ""] = fault.message.split(" ", 1);
    const flag = TRAIN_OPTIONS.find(([setting]) => setting === name)?.[1].flag.split(" ")[0];
    const option = command.options.find((o) => o.long === flag || o.attributeName() === name);
    return option?.long
      ? new UserError(`${option.long}${fault.message.slice(name.length)}`, fault.hint, EXIT.usage)
      : fault;
  }
  if (!(fault instanceof LimitError) || fault.hint === null) return fault;
  const sizes = SIZES.filter((name) => command.options.some(({ long }) => long === name));
  const hint = fault.sizes
    ? sizes.length > 0
      ? `give smaller sizes: ${sizes.join(", ")}`
      : "give fewer or shorter inputs"
    : "compile it for this device: give its source, or use `modc compile --device best`";
  return new UserError(fault.message, hint, fault.exit, fault.code);
}
