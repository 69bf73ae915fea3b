// Diagnostics of names, imports and files.

export const nameCodes = {
} as const;
