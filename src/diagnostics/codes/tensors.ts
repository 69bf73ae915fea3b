// Diagnostics of tensors: types, shapes, operators.

export const tensorCodes = {
} as const;
