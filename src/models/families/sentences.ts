// The files of sentence-transformers beside a model, which say how it makes an embedding of a text (Reimers and
// Gurevych 2019, arXiv 1908.10084).
import { CheckpointError } from "./description/errors.js";
import { Fields } from "./description/fields.js";
import type { Pooling, Sentences } from "./description/head.js";

/** A module by its type's last name, and the folder of its files. */
interface Listed {
  readonly type: string;
  readonly path: string;
}

const POOLINGS: ReadonlyMap<string, Pooling> = new Map([
  ["pooling_mode_cls_token", "first"],
  ["pooling_mode_lasttoken", "last"],
  ["pooling_mode_mean_tokens", "mean"],
]);

/**
 * Reads a list of modules: a model, its pooling, and whether vectors are divided by their lengths. `open`: the text of
 * the pooling's `config.json`, by the module's folder, and its name in messages. Throws CheckpointError.
 */
export function parseSentences(
  text: string,
  file: string,
  open: (path: string) => { readonly text: string; readonly file: string },
): Sentences {
  const listed = modulesOf(text, file);
  const order = listed.map(({ type }) => type).join(", ");
  const [, pooling] = listed;
  if (!["Transformer, Pooling", "Transformer, Pooling, Normalize"].includes(order) || pooling === undefined)
    throw new CheckpointError(
      "bad-config",
      `${file} lists the modules ${order}: modc reads Transformer, then Pooling, then Normalize if there is one`,
    );
  const { text: settings, file: place } = open(pooling.path);
  return { pooling: poolingOf(Fields.parse(settings, place)), unit: listed.length === 3 };
}

const modulesOf = (text: string, file: string): readonly Listed[] =>
  Fields.parseList(text, file).map((fields) => {
    const [type, path] = [fields.text("type") ?? fields.missing("type"), fields.text("path") ?? ""];
    // A folder beside the list: the file comes from others.
    if (!/^(?:\w[\w.-]*)?$/.test(path)) fields.refuse("path", "it must be a folder beside the list");
    return { type: type.split(".").at(-1)!, path };
  });

/** The way of pooling that the settings choose. Throws CheckpointError if they choose none or several. */
function poolingOf(config: Fields): Pooling {
  const modes = config.names.filter((name) => name.startsWith("pooling_mode_") && config.flag(name) === true);
  const [mode, more] = modes;
  if (mode === undefined) return config.missing("pooling_mode_…: true");
  if (more !== undefined) config.refuse(more, `${mode} is true too: modc reads one way of pooling`);
  return POOLINGS.get(mode) ?? config.refuse(mode, `modc knows ${[...POOLINGS.keys()].join(", ")}`);
}
