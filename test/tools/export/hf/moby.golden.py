class ModcMobyForCausalLM(CausalLM):
    """A byte-level decoder in which every second layer is a Mixture-of-Depths layer.

    Exported with vocab = 256, dim = 128, heads = 4, depth = 6, context = 256, capacity = 12.5%.

    Source: moby.mod:4.
    """

    config_class = ModcMobyConfig

    def __init__(self, config: ModcMobyConfig) -> None:
        super().__init__(config)
        self.embed = Embedding(vocab=config.vocab, dim=config.dim)
        self.layers = nn.ModuleList([
            MoD(
                dim=config.dim,
                capacity=mt.ratio(config.capacity),
                head_dim=config.head_dim,
                hidden=config.hidden,
                guess_hidden=config.guess_hidden,
            ) if i % 2 == 1
            else Residual(dim=config.dim, head_dim=config.head_dim, hidden=config.hidden)
            for i in range(config.depth)
        ])
        self.norm = RMSNorm(dim=config.dim, eps=1e-5)
        mt.name_paths(self)
        self.post_init()

    def compute(
        self,
        tokens: Tensor,
        targets: Tensor | None = None,
        lengths: Tensor | None = None,
        causal: bool = False,
        caches: mt.Caches | None = None,
        observed: dict | None = None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Logits, and with targets the losses by name.

        - lengths: how many tokens each sequence has, i64[B]; all, if not given. Tokens beyond are
        padding.
        - causal: whether each choice of tokens is made from the token alone, as when generating.
        - caches: of the tokens before these; by the causal rule.
        - observed: a dict that is filled with what the source observes, by path.
        """
        run = mt.Run(
            causal=causal,
            training=self.training and targets is not None,
            objective=targets is not None,
            observed=observed,
        )
        axis = mt.rows(tokens, lengths, caches, most=self.config.context)
        losses: dict[str, Tensor] = {}
        x = self.embed(tokens)
        for i, layer in enumerate(self.layers):
            x, more = layer(x, axis, run)
            losses.update(mt.below(f"layers.{i}", more))
        # norm(x) @ transpose(embed.table)
        logits = self.norm(x) @ self.embed.table.T
        if run.objective:
            # loss next_token = cross_entropy(forward(tokens), targets)
            losses["next_token"] = mt.cross_entropy(logits, targets, axis)
            return logits, losses
        return logits, {}


ModcMobyForCausalLM.register_for_auto_class("AutoModelForCausalLM")  # its code is saved with it
