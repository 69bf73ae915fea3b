"""The models of pytorch.test.ts in plain PyTorch, 64-bit floats: loss and gradients, then steps of an optimiser.

`answer` has the results of a case. Written from the papers and the language's
documentation, not from modc: so that both are right, or wrong in the same way twice.
"""

import math

import torch
import torch.nn.functional as F


def rms_norm(x, weight, eps=1e-5):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rope(x, positions, theta=10000.0):
    # x[B, H, T, d]: pairs (i, i + d/2) turn by position · θ^(−2i/d)
    half = x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half) * 2.0 / x.shape[-1])
    angles = positions[:, None, :, None] * frequencies
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def attention(x, positions, weights, prefix, heads, causal):
    batch, tokens, width = x.shape

    def split(name):
        return (x @ weights[f"{prefix}.{name}.weight"].T).view(batch, tokens, heads, width // heads).transpose(1, 2)

    q, k, v = rope(split("q"), positions), rope(split("k"), positions), split("v")
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
    if causal:
        scores = scores.masked_fill(positions[:, None, None, :] > positions[:, None, :, None], -math.inf)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, width)
    return mixed @ weights[f"{prefix}.o.weight"].T


def swiglu(x, weights, prefix):
    gate, up = x @ weights[f"{prefix}.gate.weight"].T, x @ weights[f"{prefix}.up.weight"].T
    return (F.silu(gate) * up) @ weights[f"{prefix}.down.weight"].T


def layer(x, positions, weights, prefix, heads, causal):
    """The update of a pre-norm layer, without the stream."""
    a = attention(rms_norm(x, weights[f"{prefix}.attn_norm.weight"]), positions, weights, f"{prefix}.attn", heads, causal)
    return a + swiglu(rms_norm(x + a, weights[f"{prefix}.mlp_norm.weight"]), weights, f"{prefix}.mlp")


def mixture_of_depths(x, positions, weights, prefix, heads, capacity, causal):
    batch, tokens, width = x.shape
    score = (x @ weights[f"{prefix}.router.weight"].T)[..., 0]
    chosen = score.topk(math.ceil(capacity * tokens)).indices.sort(-1).values
    rows = chosen[..., None].expand(-1, -1, width)
    update = layer(x.gather(1, rows), positions.gather(1, chosen), weights, f"{prefix}.inner", heads, causal)
    x_next = x.scatter_add(1, rows, update * score.gather(1, chosen)[..., None])
    hidden = F.silu(x.detach() @ weights[f"{prefix}.guess.up.weight"].T + weights[f"{prefix}.guess.up.bias"])
    likely = (hidden @ weights[f"{prefix}.guess.down.weight"].T + weights[f"{prefix}.guess.down.bias"])[..., 0]
    mask = torch.zeros_like(score).scatter(1, chosen, 1.0)
    return x_next, 0.01 * F.binary_cross_entropy_with_logits(likely, mask)


def hidden_of(case, weights, tokens, causal=True):
    """The normed stream of tokens[B, T], and the loss of the predictors."""
    positions = torch.arange(tokens.shape[1]).expand(tokens.shape)
    x = weights["embed.table"][tokens]
    extra = torch.zeros(())
    for i, kind in enumerate(case["layers"]):
        if kind == "mod":
            x, own = mixture_of_depths(x, positions, weights, f"layers.{i}", case["heads"], case["capacity"], causal)
            extra = extra + own
        else:
            x = x + layer(x, positions, weights, f"layers.{i}.inner", case["heads"], causal)
    return rms_norm(x, weights["norm.weight"]), extra


def logits_of(case, weights, tokens):
    hidden, extra = hidden_of(case, weights, tokens)
    return hidden @ weights["embed.table"].T, extra


def next_token(case, weights, tokens, targets):
    logits, extra = logits_of(case, weights, tokens)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + extra


def token_log_probabilities(logits, targets):
    """As Hugging Face's TRL selects them: log_softmax at the labels, 0 where the label does not count."""
    logs = logits.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets >= 0, logs, 0.0)


def dpo(case, weights, chosen, chosen_targets, reference_chosen, rejected, rejected_targets, reference_rejected):
    """Rafailov et al. 2023, equation 7, with beta = 0.1."""

    def gain(tokens, targets, reference):
        logits, extra = logits_of(case, weights, tokens)
        return token_log_probabilities(logits, targets).sum(-1) - reference, extra

    better, first = gain(chosen, chosen_targets, reference_chosen)
    worse, second = gain(rejected, rejected_targets, reference_rejected)
    return -F.logsigmoid(0.1 * (better - worse)).mean() + first + second


def grpo(case, weights, tokens, targets, old, advantage):
    """Shao et al. 2024, equation 3, a mean over tokens, with epsilon = 0.2 and no divergence."""
    logits, extra = logits_of(case, weights, tokens)
    counted = targets >= 0
    ratio = (token_log_probabilities(logits, targets) - old).exp()
    a = advantage[:, None]
    gain = torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)
    return -gain[counted].mean() + extra


def reward(case, weights, chosen, rejected):
    """Ouyang et al. 2022, equation 1."""

    def score(tokens):
        hidden, extra = hidden_of(case, weights, tokens)
        return hidden[:, -1] @ weights["head"], extra

    (better, first), (worse, second) = score(chosen), score(rejected)
    return -F.logsigmoid(better - worse).mean() + first + second


def classify(case, weights, tokens, labels):
    hidden, extra = hidden_of(case, weights, tokens)
    return F.cross_entropy(F.linear(hidden.mean(1), weights["head.weight"], weights.get("head.bias")), labels) + extra


def masked(case, weights, tokens, targets):
    hidden, extra = hidden_of(case, weights, tokens, causal=False)
    logits = hidden @ weights["embed.table"].T
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1) + extra


def embed(case, weights, query, positive):
    """MultipleNegativesRankingLoss of Sentence-Transformers on mean-pooled embeddings: cosines at a scale of 20."""

    def embedding(tokens):
        hidden, extra = hidden_of(case, weights, tokens)
        return hidden.mean(1), extra

    (a, first), (b, second) = embedding(query), embedding(positive)
    scores = 20.0 * F.cosine_similarity(a[:, None], b[None], dim=-1)
    return F.cross_entropy(scores, torch.arange(len(scores))) + first + second


def distill(case, weights, tokens, targets):
    """Hinton et al. 2015: the divergence at temperature 2 counts 0.9 · 2², the cross-entropy 0.1."""

    def logits(model, kinds):
        own = {path.removeprefix(model): w for path, w in weights.items() if path.startswith(model)}
        return logits_of({**case, "layers": kinds}, own, tokens)

    with torch.no_grad():
        given, _ = logits("teacher.", ["dense"] * len(case["layers"]))
    found, extra = logits("student.", case["layers"])
    pairs = (found / 2.0).log_softmax(-1), (given / 2.0).log_softmax(-1)
    divergence = F.kl_div(*pairs, log_target=True, reduction="none").sum(-1)[targets >= 0].mean()
    own = F.cross_entropy(found.flatten(0, 1), targets.flatten(), ignore_index=-1)
    return 0.9 * 4.0 * divergence + 0.1 * own + extra


OBJECTIVES = {f.__name__: f for f in (next_token, dpo, grpo, reward, classify, masked, distill, embed)}


def loss_of(case, weights):
    inputs = {name: torch.tensor(values) for name, values in case["inputs"].items()}
    return OBJECTIVES[case["objective"]](case, weights, **inputs)


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023 (arXiv 2302.06675), algorithm 2."""

    def __init__(self, params, betas):
        super().__init__(params, {"lr": 0.0, "weight_decay": 0.0, "betas": betas})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for w in group["params"]:
                m = self.state[w].setdefault("m", torch.zeros_like(w))
                update = (beta1 * m + (1 - beta1) * w.grad).sign() + group["weight_decay"] * w
                w -= group["lr"] * update
                m.mul_(beta2).add_((1 - beta2) * w.grad)


class Muon(torch.optim.Optimizer):
    """Keller Jordan's formula (github.com/KellerJordan/Muon), here in 64 bits throughout."""

    def __init__(self, params, momentum):
        super().__init__(params, {"lr": 0.0, "weight_decay": 0.0, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta = group["momentum"]
            for w in group["params"]:
                m = self.state[w].setdefault("m", torch.zeros_like(w))
                m.lerp_(w.grad, 1 - beta)
                x = w.grad.lerp(m, beta)
                tall = x.size(-2) > x.size(-1)
                x = x.mT if tall else x
                x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.mT if tall else x
                w.mul_(1 - group["lr"] * group["weight_decay"])
                w.add_(x * max(1, w.size(-2) / w.size(-1)) ** 0.5, alpha=-group["lr"])


def optimizers_of(case, weights):
    """The optimisers, each with the factor of its learning rate."""
    kind, matrices = case.get("optimizer", "adamw"), case.get("matrices", [])

    def groups(paths):
        return [{"params": [weights[p]], "weight_decay": case["decay"] if p in case["decays"] else 0.0} for p in paths]

    betas = tuple(case["betas"])
    if kind == "lion":
        return [(Lion(groups(weights), betas), 1.0)]
    if kind == "adafactor":  # eps as for 32-bit floats, which are what modc computes with
        return [(torch.optim.Adafactor(groups(weights), eps=(torch.finfo(torch.float32).eps, 1e-3)), 1.0)]
    rest = torch.optim.AdamW(groups(p for p in weights if p not in matrices), betas=betas, eps=case["eps"])
    return [(rest, 1.0)] + ([(Muon(groups(matrices), 0.95), case["muon"])] if matrices else [])


def answer(case):
    weights = {path: torch.tensor(w["data"]).view(w["shape"]).requires_grad_() for path, w in case["weights"].items()}
    optimizers = optimizers_of(case, weights)
    losses, gradients = [], None
    for rate in case["rates"]:
        for optimizer, _ in optimizers:
            optimizer.zero_grad()
        loss = loss_of(case, weights)
        loss.backward()
        losses.append(loss.item())
        if gradients is None:
            # A frozen weight has none.
            gradients = {
                path: (torch.zeros_like(w) if w.grad is None else w.grad).flatten().tolist() for path, w in weights.items()
            }
        torch.nn.utils.clip_grad_norm_(weights.values(), case["clip"])
        for optimizer, factor in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            optimizer.step()
    return {"losses": losses, "gradients": gradients, "weights": {path: w.detach().flatten().tolist() for path, w in weights.items()}}
