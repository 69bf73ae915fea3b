// Diagnostics of reading source text and parsing it.

export const syntaxCodes = {
} as const;
