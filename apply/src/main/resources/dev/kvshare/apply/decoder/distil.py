
  # Appended to decoder.py, whose letters and arguments hold here too: the gradient of the divergence from a reference, and
  # steps along it. Called by Distillation.java. Methods that are called with autograd get nothing but tensors: ints and
  # floats travel in tensors as well. Tensors that were made without autograd cannot be kept for a gradient, copies can.

  # A copy in another type, of the leading rows alone unless rows is 0; rows, dtype int64 [1].
  def leading_copy(self: __torch__.Ops, x: Tensor, rows: Tensor, dtype: Tensor) -> Tensor:
    y = self.plain(x)
    if int(rows) > 0:
      y = torch.narrow(y, 0, 0, int(rows))
    return torch.to(torch.clone(y), int(dtype))

  # int64 [N] -> N ints
  def to_ints(self: __torch__.Ops, x: Tensor) -> List[int]:
    y = annotate(List[int], [])
    for i in range(torch.size(x, 0)):
      _0 = torch.append(y, int(torch.select(x, 0, i)))
    return y

  # float64 [N] -> N floats
  def to_floats(self: __torch__.Ops, x: Tensor) -> List[float]:
    y = annotate(List[float], [])
    for i in range(torch.size(x, 0)):
      _0 = torch.append(y, float(torch.select(x, 0, i)))
    return y

  # int64 [M, N] -> M times N ints
  def to_int_rows(self: __torch__.Ops, x: Tensor) -> List[List[int]]:
    y = annotate(List[List[int]], [])
    for i in range(torch.size(x, 0)):
      _0 = torch.append(y, self.to_ints(torch.select(x, 0, i)))
    return y

  # float64 [M, N] -> M times N floats
  def to_float_rows(self: __torch__.Ops, x: Tensor) -> List[List[float]]:
    y = annotate(List[List[float]], [])
    for i in range(torch.size(x, 0)):
      _0 = torch.append(y, self.to_floats(torch.select(x, 0, i)))
    return y

  # What of each list of tensors counts: a list cannot be without any, so one that is to be has an empty one.
  def filled(self: __torch__.Ops, tensors: List[Tensor], rows: int) -> List[Tensor]:
    y = annotate(List[Tensor], [])
    for i in range(torch.len(tensors)):
      if torch.numel(tensors[i]) > 0:
        _0 = torch.append(y, torch.clone(torch.to(torch.narrow(tensors[i], 0, 0, rows), 6)))
    return y

  # Next-token distributions of hidden [N, E] against those of reference [N, E]: the sum of the divergence, float64 [],
  # and its derivative by hidden; some tokens at a time.
  def divergence_slope(self: __torch__.Ops, reference: Tensor, hidden: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float], at_once: int) -> Tuple[Tensor, Tensor]:
    sum = torch.zeros([], dtype=7, device=hidden.device)
    slopes = annotate(List[Tensor], [])
    tokens = torch.size(hidden, 0)
    low = 0
    while low < tokens:
      count = min(at_once, tokens - low)
      expected = torch.log_softmax(self.head(torch.narrow(reference, 0, low, count), model, model_ints, model_floats), -1)
      part = torch.requires_grad_(torch.detach(torch.narrow(hidden, 0, low, count)))
      actual = torch.log_softmax(self.head(part, model, model_ints, model_floats), -1)
      apart = torch.sum(torch.mul(torch.exp(expected), torch.sub(expected, actual)))
      slope = torch.autograd.grad([apart], [part])[0]
      if torch.__isnot__(slope, None):
        _0 = torch.append(slopes, unchecked_cast(Tensor, slope))
      sum = torch.add(sum, torch.detach(apart))
      low = low + count
    return (sum, torch.cat(slopes))

  # Adds the derivative of scale * (sum of the divergence at all tokens) to gradients; gives that sum, float64 [].
  #   x          [B, T, E] before the first of n layers; reference [B, T, E] behind the last as it should be
  #   weights    of the n layers one after another; in place of some stand trained ones, float32
  #   lower      one empty tensor, then keys and values [B, Hkv, T, D] of layers below that are read
  #   numbers    int64: ints [n, 19], kinds, sources [n] (of lower: -1 for the first), places of the trained weights among
  #              all, those of them that are matrices [..., 1], model_ints, options: type of products, tokens at once
  #   fractions  float64: floats [n, 4], model_floats, scale [1]
  def distil(self: __torch__.Ops, x: Tensor, reference: Tensor, weights: List[Tensor], trained: List[Tensor], gradients: List[Tensor], lower: List[Tensor], model: List[Tensor], cosines: List[Tensor], sines: List[Tensor], numbers: List[Tensor], fractions: List[Tensor]) -> Tensor:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    ints = self.to_int_rows(numbers[0])
    sources = self.to_ints(numbers[2])
    places = self.to_ints(numbers[3])
    options = self.to_ints(numbers[5])
    floats = self.to_float_rows(fractions[0])
    batch, tokens, hidden_size, = torch.size(x)
    layers = torch.len(ints)
    roles = torch.floordiv(torch.len(weights), layers)
    used = annotate(List[Tensor], [])
    for i in range(torch.len(weights)):
      _0 = torch.append(used, weights[i])
    leaves = annotate(List[Tensor], [])
    for i in range(torch.len(trained)):
      leaf = torch.requires_grad_(torch.detach(trained[i]))
      _1 = torch.append(leaves, leaf)
      if torch.dim(leaf) > 1:
        _2 = torch._set_item(used, places[i], torch.to(leaf, options[0]))
      else:
        _3 = torch._set_item(used, places[i], leaf)
    by_layer = annotate(List[List[Tensor]], [])
    keys = annotate(List[Tensor], [])
    values = annotate(List[Tensor], [])
    owns = annotate(List[int], [])
    for i in range(layers):
      own = annotate(List[Tensor], [])
      for j in range(roles):
        _4 = torch.append(own, used[i * roles + j])
      _5 = torch.append(by_layer, own)
      source = sources[i]
      if source < 0:
        key = torch.clone(torch.to(lower[-2 * source - 1], 6))
        value = torch.clone(torch.to(lower[-2 * source], 6))
      elif source == i:
        key = torch.zeros([batch, ints[i][3], tokens, ints[i][4]], dtype=6, device=x.device)
        value = torch.zeros_like(key)
      else:
        key = keys[source]
        value = values[source]
      _6 = torch.append(keys, key)
      _7 = torch.append(values, value)
      _8 = torch.append(owns, int(source == i))
    first = torch.zeros([0], dtype=4, device=x.device)
    stream = torch.clone(torch.to(x, 6))
    hidden = self.layers(stream, 0, layers, 0, first, by_layer, ints, floats, self.to_int_rows(numbers[1]), keys, values, owns, self.filled(cosines, tokens), self.filled(sines, tokens))
    wanted = torch.reshape(torch.clone(torch.to(reference, 6)), [-1, hidden_size])
    sum, slope, = self.divergence_slope(wanted, torch.reshape(torch.detach(hidden), [-1, hidden_size]), model, self.to_ints(numbers[4]), self.to_floats(fractions[1]), options[1])
    slope = torch.mul(torch.reshape(slope, torch.size(hidden)), float(fractions[2]))
    found = torch.autograd.grad([hidden], leaves, annotate(List[Optional[Tensor]], [slope]), None, False, True)
    for i in range(torch.len(found)):
      gradient = found[i]
      if torch.__isnot__(gradient, None):
        _9 = torch.add_(gradients[i], unchecked_cast(Tensor, gradient))
    torch.set_grad_enabled(before)
    return sum

  # One step of Adam (arXiv 1412.6980, algorithm 1) after the gradient was cut to a length of 1; makes the gradient zero.
  # Gives its length before, float64 [].
  #   means, squares  running averages of the gradient and of its square; step counts from 1
  def adam(self: __torch__.Ops, trained: List[Tensor], gradients: List[Tensor], means: List[Tensor], squares: List[Tensor], rate: float, step: int) -> Tensor:
    length = torch.zeros([], dtype=7, device=gradients[0].device)
    for i in range(torch.len(gradients)):
      length = torch.add(length, torch.to(torch.square(torch.linalg_vector_norm(gradients[i])), 7))
    length = torch.sqrt(length)
    factor = 1. / max(1., float(length))
    first = 1. - torch.pow(0.9, step)
    second = 1. - torch.pow(0.98, step)
    for i in range(torch.len(gradients)):
      gradient = torch.mul_(gradients[i], factor)
      _0 = torch.lerp_(means[i], gradient, 0.1)
      _1 = torch.addcmul_(torch.mul_(squares[i], 0.98), gradient, gradient, value=0.02)
      size = torch.add_(torch.sqrt(torch.div(squares[i], second)), 1e-8)
      _2 = torch.addcdiv_(trained[i], means[i], size, value=-rate / first)
      _3 = torch.zero_(gradients[i])
    return length
