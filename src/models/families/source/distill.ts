// Generates the `.mod` sources that distil a dense decoder into its routed form: the teacher, and the model of both.
import { invariant } from "../../../ground/base/invariant.js";
import { formatSource } from "../../../language/syntax/format/format-source.js";
import type { DecoderConfig } from "../description/decoder.js";
import { decoderSource } from "./decoder.js";

/** The files beside the routed model. */
export const TEACHER_FILE = "teacher.mod";
export const DISTILL_FILE = "distill.mod";

/** Names of the teacher's model and of the model of both. */
const TEACHER = "Teacher";
const BOTH = "Distillation";

/** The dense decoder, as a model called `Teacher`: the routed one has the name of the family. */
export function teacherSource(config: DecoderConfig): string {
  const text = decoderSource(config);
  const declared = `model ${config.family.model}(`;
  invariant(text.split(declared).length === 2, "the text of a decoder declares one model");
  return text.replace(declared, `model ${TEACHER}(`);
}

/**
 * The model of teacher and student, with the loss of Hinton et al. 2015 (arXiv 1503.02531): share · temperature² · the
 * Kullback-Leibler divergence of the teacher's distribution from the student's, both at the temperature, and
 * (1 − share) · the cross-entropy. Generation enters the student alone.
 */
export function distillSource({ family, vocab, context }: DecoderConfig, file: string): string {
  const beside = (name: string): string => JSON.stringify(`./${name}`);
  const text = `import { ${family.model} } from ${beside(file)}
import { ${TEACHER} } from ${beside(TEACHER_FILE)}

/// Distillation of the dense model into the routed one (Hinton et al. 2015, arXiv 1503.02531). The teacher gets no
/// gradient: train with \`--only student\`. Targets of −1 do not count.
model ${BOTH}(
  context: int = ${context}, live capacity: ratio = 100%, temperature: float = 2.0, share: float = 0.9,
) {
  teacher: ${TEACHER}(context: context)
  student: ${family.model}(context: context, capacity: capacity)

  forward(tokens: u32[B, T <= context]) -> logits: f32[B, T, ${vocab}] { student(tokens) }

  /// log softmax over the last axis.
  logs(x: f32[B, T, V]) -> f32[B, T, V] {
    y = x - stop_gradient(max(x, axis: -1))[..., None]
    y - log(sum(exp(y), axis: -1))[..., None]
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    logits = student(tokens)
    given = logs(stop_gradient(teacher(tokens)) / temperature)
    divergence = sum(exp(given) * (given - logs(logits / temperature)), axis: -1)
    counted = f32(targets >= 0)
    loss teacher = share * temperature ^ 2 * sum(divergence * counted) / max(sum(counted), 1)
    loss next_token = (1 - share) * cross_entropy(logits, targets)
  }
}`;
  const formatted = formatSource(text, DISTILL_FILE).text;
  invariant(formatted !== null, "the model written for a distillation does not parse");
  return formatted;
}
