// `/v1/models`: the one model there is.
import type { Served } from "../options.js";
import { expectModel } from "../plan.js";

export const models = (served: Served): Response => Response.json({ object: "list", data: [modelOf(served)] });

/** Throws RequestError for another name. */
export function model(served: Served, name: string): Response {
  expectModel(served, name);
  return Response.json({ ...modelOf(served), id: name });
}

const modelOf = ({ name, created, aliases, context, engine: { model: own } }: Served): object => ({
  id: name,
  object: "model",
  created,
  owned_by: "modc",
  aliases: aliases.filter((alias) => alias !== "*"),
  max_model_len: context,
  modc: { vocabulary: own.vocabulary, live: own.live, routes: own.routes },
});
