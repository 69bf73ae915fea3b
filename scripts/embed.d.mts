export function embed(): void;
export function kernelCode(text: string): string;
