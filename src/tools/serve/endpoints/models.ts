// `/v1/models`: the one model there is; `/props`: facts about it and its chats, as clients of llama.cpp's server ask
// for them.
import type { Served } from "../requests/options.js";
import { expectModel } from "../requests/plan.js";

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

export const props = ({ context, name, info, fingerprint, chat, defaults }: Served): Response => {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = defaults.sampling;
  return Response.json({
    default_generation_settings: {
      n_ctx: context ?? 0, // llama.cpp's word for "as the model has it"
      params: {
        n_predict: defaults.maxTokens ?? -1,
        temperature,
        top_k: topK,
        top_p: topP,
        min_p: minP,
        repeat_penalty: repetitionPenalty,
      },
    },
    model_alias: name,
    model_path: name, // where it is stored is the server's own matter
    chat_template: chat?.text ?? "",
    bos_token: info.bos_token ?? "",
    eos_token: info.eos_token ?? "",
    modalities: { vision: false, audio: false },
    build_info: fingerprint,
    is_sleeping: false,
  });
};
