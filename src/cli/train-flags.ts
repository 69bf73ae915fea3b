// The options of `modc train`, as the command line gives them.
import type { LearningRateKind } from "../train/schedule.js";
import type { DeviceFlags } from "./device.js";
import type { ModelFlags } from "./frontend.js";
import type { TuningsFlags } from "./tunings.js";

export interface TrainFlags extends Pick<ModelFlags, "set" | "model">, DeviceFlags, TuningsFlags {
  readonly data?: string;
  readonly output: string;
  readonly tokenizer?: string;
  readonly field?: string;
  readonly weights?: string;
  readonly resume?: string | true;
  readonly steps?: string;
  readonly batch?: string;
  readonly accumulate?: string;
  readonly length?: string;
  readonly seed?: string;
  readonly validation?: string;
  readonly optimizer?: "adamw" | "sgd";
  readonly lr?: string;
  readonly schedule?: LearningRateKind;
  readonly warmup?: string;
  readonly minLr?: string;
  readonly decay?: string;
  readonly weightDecay?: string;
  readonly beta1?: string;
  readonly beta2?: string;
  readonly eps?: string;
  readonly momentum?: string;
  readonly clip?: string;
  readonly recompute?: string;
  readonly memory?: string;
  readonly live?: readonly string[];
  readonly liveSchedule?: readonly string[];
  readonly only?: string;
  readonly validateEvery?: string;
  readonly windows?: string;
  readonly checkpointEvery?: string;
  readonly keep?: string;
  readonly json?: boolean;
}
