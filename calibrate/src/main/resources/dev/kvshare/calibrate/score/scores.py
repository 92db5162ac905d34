
  # Loaded behind decoder.py and gradients.py: gradients of the log-likelihood of tokens that the model itself predicts; called
  # by LayerScores.java. Letters as in decoder.py.

  # hidden [B, T, E] behind the last layer, drawn float32 [B, T] uniform in [0, 1) -> the gradient by hidden of the sum of the
  # log-likelihoods of a next token at each position, drawn from the model's own prediction: float32 [B, T, E]. Logits are
  # there for so many positions at a time that they take 64 MB.
  def score_head(self: __torch__.Ops, hidden: Tensor, drawn: Tensor, model: List[Tensor], numbers: Tensor) -> List[Tensor]:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    ints = self.gradient_ints(numbers, 0, 4)
    floats = self.gradient_floats(numbers, 4, 8)
    size = torch.size(hidden, 2)
    rows = torch.reshape(torch.clone(torch.to(hidden, 6)), [-1, size])
    uniform = torch.reshape(drawn, [-1, 1])
    slopes = annotate(List[Tensor], [])
    at_once = max(1, 16777216 // torch.size(model[6], 0))
    low = 0
    while low < torch.size(rows, 0):
      count = min(at_once, torch.size(rows, 0) - low)
      leaf = torch.requires_grad_(torch.detach(torch.narrow(rows, 0, low, count)))
      logs = torch.log_softmax(self.head(leaf, model, ints, floats), -1)
      sums = torch.cumsum(torch.exp(torch.detach(logs)), -1)
      below = torch.mul(torch.narrow(uniform, 0, low, count), torch.narrow(sums, 1, torch.size(sums, 1) - 1, 1))
      token = torch.clamp_max(torch.searchsorted(sums, torch.clone(below), right=True), torch.size(sums, 1) - 1)
      slope = torch.autograd.grad([torch.sum(torch.gather(logs, -1, token))], [leaf])[0]
      if torch.__isnot__(slope, None):
        _0 = torch.append(slopes, unchecked_cast(Tensor, slope))
      low = low + count
    torch.set_grad_enabled(before)
    return [torch.reshape(torch.cat(slopes), torch.size(hidden))]

  # x [B, T, E] before a layer, slope float32 [B, T, E] by what it gives -> gradients, float32: by x [B, T, E]; by what its heads
  # give [B, T, Hq * D]; by what its attention gives behind the output projection [B, T, E].
  def score_layer(self: __torch__.Ops, x: Tensor, slope: Tensor, weights: List[Tensor], turns: List[Tensor], numbers: Tensor) -> List[Tensor]:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    ints = self.gradient_ints(numbers, 0, 19)
    floats = self.gradient_floats(numbers, 19, 23)
    leaf = torch.requires_grad_(torch.clone(torch.to(x, 6)))
    cosine = leaf
    sine = leaf
    if ints[7] >= 0:
      cosine = torch.unsqueeze(torch.unsqueeze(turns[0], 1), 0)
      sine = torch.unsqueeze(torch.unsqueeze(turns[1], 1), 0)
    mask = self.mask(torch.detach(leaf), 0, [ints[6], int(floats[2] > 0.0), ints[3], ints[18], 0], torch.zeros([0], dtype=4, device=x.device))
    keys = torch.zeros([torch.size(x, 0), ints[3], torch.size(x, 1), ints[4]], dtype=6, device=x.device)
    entering = self.before_attention(leaf, weights, ints, floats)
    heads = self.heads(entering, weights, ints, floats, keys, torch.zeros_like(keys), 1, 0, cosine, sine, mask)
    attended = self.output(heads, entering, weights, ints)
    behind = self.after_attention(leaf, entering, attended, weights, ints, floats)
    found = torch.autograd.grad([behind], [leaf, heads, attended], annotate(List[Optional[Tensor]], [slope]))
    y = annotate(List[Tensor], [])
    for i in range(torch.len(found)):
      gradient = found[i]
      if torch.__isnot__(gradient, None):
        _0 = torch.append(y, unchecked_cast(Tensor, gradient))
    torch.set_grad_enabled(before)
    return y

  # (g d)^2 / 2 at each of the tokens, d = given - wanted in any type [.., N], the gradient g float32 [.., N]: float32 [..]
  def score_tokens(self: __torch__.Ops, gradient: Tensor, given: Tensor, wanted: Tensor) -> List[Tensor]:
    apart = torch.sub(torch.to(torch.narrow(given, -1, 0, torch.size(wanted, -1)), 6), torch.to(wanted, 6))
    along = torch.sum(torch.mul(gradient, apart), [-1])
    return [torch.mul(torch.mul(along, along), 0.5)]
