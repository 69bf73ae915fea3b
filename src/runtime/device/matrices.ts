// The matrix units that an adapter reports.
import { MATRIX_TYPES, type MatrixShape, type MatrixType } from "../program/target.js";

/** An adapter's report of a matrix unit, beyond WebGPU's own types. Newer versions may add element types. */
interface ReportedMatrix {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** The shapes of an adapter's matrix units with known element types. */
export function matricesOf(info: GPUAdapterInfo): readonly MatrixShape[] {
  const { subgroupMatrixConfigs } = info as { readonly subgroupMatrixConfigs?: Iterable<ReportedMatrix> };
  const known = (type: string): MatrixType | null => MATRIX_TYPES.find((t) => t === type) ?? null;
  return [...(subgroupMatrixConfigs ?? [])].flatMap(({ M, N, K, componentType, resultComponentType }) => {
    const [input, output] = [known(componentType), known(resultComponentType)];
    return input && output ? [{ m: M, n: N, k: K, input, output }] : [];
  });
}
