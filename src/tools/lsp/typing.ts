// Requests at the cursor while typing: completion, documentation, the enclosing call.
import type {
  CompletionList,
  CompletionParams,
  Hover,
  HoverParams,
  SignatureHelp,
  SignatureHelpParams,
} from "vscode-languageserver";
import { completionsAt } from "../../language/editor/completion.js";
import { hoverAt } from "../../language/editor/hover.js";
import { signatureAt } from "../../language/editor/signature.js";
import { placeOf, type Context, type Requests } from "./context.js";
import * as to from "./convert.js";

/** By method. The playground page supports only these requests. */
export const typingRequests = {
  "textDocument/completion": (context: Context, params: CompletionParams): CompletionList | null => {
    const place = placeOf(context, params);
    const completions = place && completionsAt(context.project, place.file, place.at);
    if (!completions) return null;
    const items = completions.options.map((c, i) => to.completion(place.text, completions.from, place.at, c, i));
    return { isIncomplete: false, items };
  },

  "textDocument/hover": (context: Context, params: HoverParams): Hover | null => {
    const place = placeOf(context, params);
    if (!place) return null;
    context.ensureChecked(place.file);
    const hover = hoverAt(context.project, place.file, place.at);
    return hover && to.hover(place.text, hover);
  },

  "textDocument/signatureHelp": (context: Context, params: SignatureHelpParams): SignatureHelp | null => {
    const place = placeOf(context, params);
    const help = place && signatureAt(context.project, place.file, place.at);
    return help && to.signatureHelp(help);
  },
} satisfies Requests;
