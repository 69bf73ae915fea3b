// Diagnostics of blocks, parameters, compile-time values, weights and limits.

export const blockCodes = {
} as const;
