// Recognises weights pickled by PyTorch, which modc does not read, and explains the conversion.

export const isTorchFile = (name: string): boolean => /\.(?:bin|pth?|ckpt)$/i.test(name);

/** The hint that explains how to convert a PyTorch file to safetensors. */
export const torchHint = (file: string): string =>
  "store its weights as safetensors, which hold no code, in a folder with config.json: in Python, " +
  `safetensors.torch.save_file(torch.load("${file.split(/[/\\]/).at(-1)!}", weights_only=True), "model.safetensors")`;
