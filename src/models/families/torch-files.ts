// Weights that PyTorch pickled, which modc does not read: how they are recognised, and what to do with them.

export const isTorchFile = (name: string): boolean => /\.(?:bin|pth?|ckpt)$/i.test(name);

/** How weights in a file of PyTorch become safetensors. */
export const torchHint = (file: string): string =>
  "store its weights as safetensors, which hold no code, in a folder with config.json: in Python, " +
  `safetensors.torch.save_file(torch.load("${file.split(/[/\\]/).at(-1)!}", weights_only=True), "model.safetensors")`;
