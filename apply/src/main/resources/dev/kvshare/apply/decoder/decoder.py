# The decoder: TorchScript source, packed into an archive by ScriptModule.java and called by ScriptCalls.java and
# LayerParts.java. The method product stands in product_onednn.py and product_plain.py, of which one is appended.
#
# Letters: B batch, T new tokens, S positions visible to attention, E hidden size, V vocabulary, Hq query heads,
# Hkv key/value heads, G = Hq / Hkv, D head size, R rotated dimensions, F intermediate size, X experts, L layers.
#
# Unlike Python's, the parser of TorchScript ranks "and" and "or" alike: where both stand, brackets do.
#
# A layer is a list of tensors, one of ints and one of floats, unpacked at the head of the methods; Java fills them in
# ModelWeights.java and ScriptNumbers.java. A tensor that a layer does not have is an empty one. Arguments that several methods share:
#   start         positions that the cache holds already
#   first         [B] int64, the first real position of each row of a padded batch; empty when nothing is padded
#   kinds         the distinct kinds of attention: [window (0: all), soft cap or not, Hkv, own token hidden or not, sinks:
#                 first tokens seen besides the window]. Of a layer with sinks the ints say window 0: its mask does it all
#   keys, values  for each layer the cache that it reads, [B, Hkv, capacity, D]: that of its source where it shares
#   weights       of a layer that keeps no keys and values of its own, qkv has the rows of the queries alone
#   owns          for each layer 1 if it writes that cache, 2 + r if it writes the cache that layer r reads, else 0
#   cosines, sines  for each kind of rotary embedding a table [P, R]; the first half of each row of sines is negated
class Ops(Module):
  __parameters__ = []
  __buffers__ = []
  training : bool

  # [..., E] -> [..., E]; kind 0 root mean square, 1 layer norm, 2 layer norm without bias
  def norm(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Tensor, kind: int, epsilon: float) -> Tensor:
    if kind == 0:
      y = torch.rms_norm(x, torch.size(weight), weight, epsilon)
    elif kind == 1:
      y = torch.layer_norm(x, torch.size(weight), weight, bias, epsilon)
    else:
      y = torch.layer_norm(x, torch.size(weight), weight, None, epsilon)
    return y

  # [..., in] -> [..., out]
  def linear(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Tensor, biased: int) -> Tensor:
    if weight.dtype == 1:
      y = self.int8_product(x, weight, bias, biased)
    elif biased != 0:
      y = self.product(x, weight, bias)
    else:
      y = self.product(x, weight, None)
    return y

  # An int8 weight [out, in] is one int8 tensor [R, in]: out rows of integers, then for each of them the exponent e of its
  # scale, then the fractions f, in as few rows as hold these; a scale is (1 + f / 128) 2^e, a bfloat16 number. R tells out.
  def int8_rows(self: __torch__.Ops, weight: Tensor) -> int:
    return torch.size(weight, 0) * torch.size(weight, 1) // (torch.size(weight, 1) + 2)

  # The scales of an int8 weight: float32 [out]
  def int8_scales(self: __torch__.Ops, weight: Tensor) -> Tensor:
    rows = self.int8_rows(weight)
    tail = torch.to(torch.flatten(torch.narrow(weight, 0, rows, torch.size(weight, 0) - rows)), 6)
    fraction = torch.add(torch.div(torch.narrow(tail, 0, rows, rows), 128.0), 1.0)
    return torch.mul(fraction, torch.exp2(torch.narrow(tail, 0, 0, rows)))

  # [out, in] -> int8. The scale is rounded before the integers are, so that rounding it costs nothing.
  def int8_weight(self: __torch__.Ops, weight: Tensor) -> Tensor:
    wide = torch.to(weight, 6)
    wanted = torch.div(torch.clamp_min(torch.amax(torch.abs(wide), [1]), 1e-30), 127.0)
    exponent = torch.floor(torch.log2(wanted))
    fraction = torch.sub(torch.div(wanted, torch.exp2(exponent)), 1.0)
    fraction = torch.clamp(torch.ceil(torch.mul(fraction, 128.0)), 0, 127)
    scales = torch.mul(torch.add(torch.div(fraction, 128.0), 1.0), torch.exp2(exponent))
    numbers = torch.clamp(torch.round(torch.div(wide, torch.unsqueeze(scales, 1))), -127, 127)
    return torch.to(self.int8_joined(numbers, exponent, fraction), 1)

  def int8_joined(self: __torch__.Ops, numbers: Tensor, exponent: Tensor, fraction: Tensor) -> Tensor:
    rows = torch.size(numbers, 0)
    columns = torch.size(numbers, 1)
    more = (2 * rows + columns - 1) // columns
    tail = torch.constant_pad_nd(torch.cat([exponent, fraction]), [0, more * columns - 2 * rows], 0)
    return torch.cat([numbers, torch.reshape(tail, [more, columns])])

  # The tensors of a layer or model as they are passed to every call. Each product's weight stands before its bias: behind
  # an int8 weight stands bfloat16 [1, out], its scales, or [2, out], its scales and its bias.
  def passed(self: __torch__.Ops, tensors: List[Tensor]) -> List[Tensor]:
    y = annotate(List[Tensor], [])
    int8 = False
    for i in range(torch.len(tensors)):
      tensor = tensors[i]
      if int8:
        scales = self.int8_scales(tensors[i - 1])
        rows = [scales]
        if torch.numel(tensor) > 0:
          rows = [scales, torch.to(tensor, 6)]
        tensor = torch.to(torch.stack(rows), 15)
      int8 = tensors[i].dtype == 1
      _0 = torch.append(y, tensor)
    return y

  # x [B, ...] -> [N, ...], the rows with the numbers int64 [N]
  def select_rows(self: __torch__.Ops, x: Tensor, rows: Tensor) -> Tensor:
    return torch.index_select(x, 0, rows)

  # Other tensors in a list that stays the same: all calls that were given it see them.
  def replace(self: __torch__.Ops, target: List[Tensor], tensors: List[Tensor]) -> None:
    for i in range(torch.len(target)):
      _0 = torch._set_item(target, i, tensors[i])

  def clear_list(self: __torch__.Ops, target: List[Tensor], absent: Tensor) -> None:
    for i in range(torch.len(target)):
      _0 = torch._set_item(target, i, absent)

  # [..., in] -> [..., out]. The kernel that reads the integers as they are is fast for few rows and bfloat16 alone (with
  # float32 rows it falls to 1 GB/s); for more rows the integers, which are exact in bfloat16, are widened first.
  def int8_product(self: __torch__.Ops, x: Tensor, weight: Tensor, scales: Tensor, biased: int) -> Tensor:
    rows = torch.size(scales, 1)
    numbers = torch.narrow(weight, 0, 0, rows)
    scale = torch.contiguous(torch.select(scales, 0, 0))
    inputs = torch.reshape(torch.to(x, 15), [-1, torch.size(x, -1)])
    if torch.size(inputs, 0) <= 32:
      y = torch._weight_int8pack_mm(inputs, numbers, scale)
    else:
      y = torch.mul(torch.linear(inputs, torch.to(numbers, 15)), scale)
    if biased != 0:
      y = torch.add(y, torch.select(scales, 0, 1))
    sizes = torch.size(x)
    _0 = torch._set_item(sizes, -1, rows)
    return torch.to(torch.reshape(y, sizes), x.dtype)

  # 0 silu, 1 gelu, 2 gelu by tanh, 3 relu
  def activate(self: __torch__.Ops, x: Tensor, activation: int) -> Tensor:
    if activation == 0:
      y = torch.silu(x)
    elif activation == 1:
      y = torch.gelu(x)
    elif activation == 2:
      y = torch.gelu(x, approximate="tanh")
    else:
      y = torch.relu(x)
    return y

  # Norm of queries or keys: x [B, T, H, D]; weight [D] (kind 1), [H, D] (2) or [H * D] (3).
  def head_norm(self: __torch__.Ops, x: Tensor, weight: Tensor, kind: int, epsilon: float) -> Tensor:
    if kind == 1:
      y = torch.rms_norm(x, torch.size(weight), weight, epsilon)
    elif kind == 2:
      y = torch.mul(torch.layer_norm(x, [torch.size(x, 3)], None, None, epsilon), weight)
    else:
      y = torch.reshape(torch.rms_norm(torch.flatten(x, 2, 3), torch.size(weight), weight, epsilon), torch.size(x))
    return y

  # Rotates the leading R of D dimensions, halves against each other: x [B, T, H, D], tables [1 or B, T, 1, R].
  def rotate(self: __torch__.Ops, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    rotated = torch.size(cosine, 3)
    rest = torch.size(x, 3) - rotated
    if rest == 0:
      y = torch.addcmul(torch.mul(x, cosine), torch.roll(x, [rotated // 2], [3]), sine)
    else:
      head = torch.narrow(x, 3, 0, rotated)
      turned = torch.addcmul(torch.mul(head, cosine), torch.roll(head, [rotated // 2], [3]), sine)
      y = torch.cat([turned, torch.narrow(x, 3, rotated, rest)], 3)
    return y

  # The rows of a rotary table at the new positions: [1 or B, T, 1, R].
  def rows(self: __torch__.Ops, table: Tensor, start: int, tokens: int, first: Tensor) -> Tensor:
    if torch.numel(first) == 0:
      y = torch.unsqueeze(torch.unsqueeze(torch.narrow(table, 0, start, tokens), 1), 0)
    else:
      y = torch.unsqueeze(torch.embedding(table, self.positions(start, tokens, first)), 2)
    return y

  # The position of each new token in its own row; padding counts as position 0: [B, T].
  def positions(self: __torch__.Ops, start: int, tokens: int, first: Tensor) -> Tensor:
    columns = torch.arange(start, start + tokens, dtype=4, device=first.device)
    return torch.clamp_min(torch.sub(torch.unsqueeze(columns, 0), torch.unsqueeze(first, 1)), 0)

  # The first cached position that any of the new tokens sees.
  def lowest(self: __torch__.Ops, start: int, window: int) -> int:
    low = 0
    if window > 0:
      low = max(0, start + 1 - window)
    return low

  # What is added to the scores of one kind of attention, [1 or B*Hkv, 1, T, S] ([1 or B, 1, 1, S] for T = 1); empty
  # where a plain causal mask or none does. A padding position sees itself, so that no row is without any key; where a
  # token does not see itself, so does one that sees no other, and attend() takes away what it got from there.
  def mask(self: __torch__.Ops, x: Tensor, start: int, kind: List[int], first: Tensor) -> Tensor:
    window, capped, kv_heads, own_hidden, sinks, = kind
    tokens = torch.size(x, 1)
    low = 0
    if sinks == 0:
      low = self.lowest(start, window)
    end = start + tokens
    padded = torch.numel(first) > 0
    plain = start == 0 and capped == 0 and own_hidden == 0 and (window == 0 or end <= window)
    if not padded and (plain or (tokens == 1 and (sinks == 0 or end <= window + sinks))):
      y = torch.empty([0], dtype=x.dtype, device=x.device)
    else:
      queries = torch.unsqueeze(torch.arange(start, end, dtype=4, device=x.device), 1)
      columns = torch.unsqueeze(torch.arange(low, end, dtype=4, device=x.device), 0)
      own = torch.eq(columns, queries)
      hidden = torch.gt(columns, queries)
      if own_hidden != 0:
        hidden = torch.logical_or(hidden, own)
      hidden = torch.unsqueeze(hidden, 0)
      if window > 0:
        behind = torch.unsqueeze(torch.le(columns, torch.sub(queries, window)), 0)
        if sinks > 0:
          begin = torch.zeros([1, 1, 1], dtype=4, device=x.device)
          if padded:
            begin = torch.reshape(first, [-1, 1, 1])
          behind = torch.logical_and(behind, torch.ge(columns, torch.add(begin, sinks)))
        hidden = torch.logical_or(hidden, behind)
      if padded:
        padding = torch.lt(columns, torch.unsqueeze(torch.unsqueeze(first, 1), 2))
        hidden = torch.logical_or(hidden, torch.logical_and(padding, torch.logical_not(own)))
        if tokens > 1:
          hidden = torch.repeat_interleave(hidden, kv_heads, 0)
      if own_hidden != 0:
        hidden = torch.logical_and(hidden, torch.logical_not(torch.logical_and(torch.all(hidden, 2, True), own)))
      zeros = torch.zeros(torch.size(hidden), dtype=x.dtype, device=x.device)
      y = torch.unsqueeze(torch.masked_fill(zeros, hidden, float("-inf")), 1)
    return y

  # query [B, T, Hq, D]; key and value caches [B, Hkv, capacity, D] -> [B, T, Hq * D]
  # The G query heads of a key/value head are put beside each other, so that no key or value is copied: on the CPU
  # enable_gqa falls back to a kernel that is not fused and takes three times as long.
  # Where own_hidden, a token sees the ones before it only, and one without any gives zero.
  def attend(self: __torch__.Ops, query: Tensor, keys: Tensor, values: Tensor, start: int, window: int, own_hidden: int, mask: Tensor, scale: float, soft_cap: float) -> Tensor:
    batch, tokens, heads, size, = torch.size(query)
    kv_heads = torch.size(keys, 1)
    group = heads // kv_heads
    low = self.lowest(start, window)
    masked = torch.numel(mask) > 0
    seen = start + tokens - low
    if own_hidden != 0 and not masked:
      seen = seen - 1
      if seen == 0:
        return torch.zeros([batch, tokens, heads * size], dtype=query.dtype, device=query.device)
    key = torch.narrow(keys, 2, low, seen)
    value = torch.narrow(values, 2, low, seen)
    if tokens == 1:
      q = torch.reshape(query, [batch, kv_heads, group, size])
    else:
      q = torch.reshape(torch.permute(torch.reshape(query, [batch, tokens, kv_heads, group, size]), [0, 2, 3, 1, 4]), [batch * kv_heads, group, tokens, size])
      key = torch.expand(torch.unsqueeze(torch.flatten(key, 0, 1), 1), [-1, group, -1, -1])
      value = torch.expand(torch.unsqueeze(torch.flatten(value, 0, 1), 1), [-1, group, -1, -1])
    if soft_cap > 0.0:
      scores = torch.mul(torch.tanh(torch.mul(torch.matmul(q, torch.transpose(key, 2, 3)), scale / soft_cap)), soft_cap)
      if masked:
        scores = torch.add(scores, mask)
      y = torch.matmul(torch.softmax(scores, -1), value)
    elif masked:
      y = torch.scaled_dot_product_attention(q, key, value, mask, 0.0, False, scale=scale)
    else:
      y = torch.scaled_dot_product_attention(q, key, value, None, 0.0, tokens > 1, scale=scale)
    if own_hidden != 0 and masked:
      itself = torch.unsqueeze(torch.diagonal(mask, seen - tokens, 2, 3), 3)
      y = torch.masked_fill(y, torch.eq(itself, 0.0), 0.0)
    if tokens > 1:
      y = torch.transpose(torch.reshape(y, [batch, heads, tokens, size]), 1, 2)
    return torch.reshape(y, [batch, tokens, heads * size])

  # Queries, and keys and values where the weight has their rows: x [B, T, E] -> [B, T, Hq (+ 2 Hkv), D]
  def project(self: __torch__.Ops, x: Tensor, qkv: Tensor, qkv_b: Tensor, qkv_biased: int, size: int) -> Tensor:
    rows = torch.size(qkv, 0)
    bias = qkv_b
    if qkv.dtype == 1:
      rows = torch.size(qkv_b, 1)
    elif qkv_biased != 0:
      bias = torch.narrow(qkv_b, 0, 0, rows)
    return torch.reshape(self.linear(x, qkv, bias, qkv_biased), [torch.size(x, 0), torch.size(x, 1), rows // size, size])

  # Keys and values of normed x [B, T, E], without queries: [B, Hkv, T, D] each.
  def keys_and_values(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float], cosine: Tensor, sine: Tensor) -> Tuple[Tensor, Tensor]:
    norm1, norm1_b, qkv, qkv_b, q_norm, k_norm, o, o_b, post1, post1_b, norm2, norm2_b, up, up_b, down, down_b, post2, post2_b, router, = weights
    placement, norm_kind, heads, kv_heads, size, kind, window, rotary, qk_norm, qkv_biased, o_biased, up_biased, down_biased, gated, activation, experts, experts_per_token, normalised, own_hidden, = ints
    epsilon, scale, soft_cap, residual_scale, = floats
    projected = self.project(x, qkv, qkv_b, qkv_biased, size)
    key = torch.narrow(projected, 2, heads, kv_heads)
    if qk_norm != 0:
      key = self.head_norm(key, k_norm, qk_norm, epsilon)
    if rotary >= 0:
      key = self.rotate(key, cosine, sine)
    return (torch.transpose(key, 1, 2), torch.transpose(torch.narrow(projected, 2, heads + kv_heads, kv_heads), 1, 2))

  # The same into the cache.
  def store(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float], keys: Tensor, values: Tensor, start: int, cosine: Tensor, sine: Tensor) -> None:
    key, value, = self.keys_and_values(x, weights, ints, floats, cosine, sine)
    _0 = torch.copy_(torch.narrow(keys, 2, start, torch.size(x, 1)), key)
    _1 = torch.copy_(torch.narrow(values, 2, start, torch.size(x, 1)), value)

  # normed x [B, T, E] -> what the heads give [B, T, Hq * D]; writes keys and values at start where the layer owns a cache
  def heads(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float], keys: Tensor, values: Tensor, owns: int, start: int, cosine: Tensor, sine: Tensor, mask: Tensor) -> Tensor:
    norm1, norm1_b, qkv, qkv_b, q_norm, k_norm, o, o_b, post1, post1_b, norm2, norm2_b, up, up_b, down, down_b, post2, post2_b, router, = weights
    placement, norm_kind, heads, kv_heads, size, kind, window, rotary, qk_norm, qkv_biased, o_biased, up_biased, down_biased, gated, activation, experts, experts_per_token, normalised, own_hidden, = ints
    epsilon, scale, soft_cap, residual_scale, = floats
    tokens = torch.size(x, 1)
    projected = self.project(x, qkv, qkv_b, qkv_biased, size)
    if owns == 1:
      if qk_norm != 0:
        query = self.head_norm(torch.narrow(projected, 2, 0, heads), q_norm, qk_norm, epsilon)
        key = self.head_norm(torch.narrow(projected, 2, heads, kv_heads), k_norm, qk_norm, epsilon)
        if rotary >= 0:
          query = self.rotate(query, cosine, sine)
          key = self.rotate(key, cosine, sine)
      else:
        both = torch.narrow(projected, 2, 0, heads + kv_heads)
        if rotary >= 0:
          both = self.rotate(both, cosine, sine)
        query = torch.narrow(both, 2, 0, heads)
        key = torch.narrow(both, 2, heads, kv_heads)
      _0 = torch.copy_(torch.narrow(keys, 2, start, tokens), torch.transpose(key, 1, 2))
      _1 = torch.copy_(torch.narrow(values, 2, start, tokens), torch.transpose(torch.narrow(projected, 2, heads + kv_heads, kv_heads), 1, 2))
    else:
      query = torch.narrow(projected, 2, 0, heads)
      if qk_norm != 0:
        query = self.head_norm(query, q_norm, qk_norm, epsilon)
      if rotary >= 0:
        query = self.rotate(query, cosine, sine)
    return self.attend(query, keys, values, start, window, own_hidden, mask, scale, soft_cap)

  # normed x [B, T, E] -> [B, T, E]
  def attention(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float], keys: Tensor, values: Tensor, owns: int, start: int, cosine: Tensor, sine: Tensor, mask: Tensor) -> Tensor:
    y = self.heads(x, weights, ints, floats, keys, values, owns, start, cosine, sine, mask)
    return self.output(y, x, weights, ints)

  # What the heads give [B, T, Hq * D] and the input of the queries x [B, T, E] -> [B, T, E]
  def output(self: __torch__.Ops, y: Tensor, x: Tensor, weights: List[Tensor], ints: List[int]) -> Tensor:
    if torch.size(weights[6], 1) > torch.size(y, 2):
      # A policy's own-token projection: columns of the output projection for the input of the queries.
      y = torch.cat([y, x], -1)
    return self.linear(y, weights[6], weights[7], ints[10])

  # [..., E] -> [..., F] by up [F or 2F, E] (gate first)
  def inner(self: __torch__.Ops, x: Tensor, up: Tensor, up_b: Tensor, up_biased: int, gated: int, activation: int) -> Tensor:
    y = self.linear(x, up, up_b, up_biased)
    if gated != 0:
      size = torch.size(y, -1) // 2
      y = torch.mul(self.activate(torch.narrow(y, -1, 0, size), activation), torch.narrow(y, -1, size, size))
    else:
      y = self.activate(y, activation)
    return y

  # [..., E] -> [..., E] by up and down [E, F]
  def mlp(self: __torch__.Ops, x: Tensor, up: Tensor, up_b: Tensor, up_biased: int, down: Tensor, down_b: Tensor, down_biased: int, gated: int, activation: int) -> Tensor:
    return self.linear(self.inner(x, up, up_b, up_biased, gated, activation), down, down_b, down_biased)

  # Routed experts; only those that some token chose are computed. up [X * 2F, E], down [X * E, F], router [X, E].
  def routed(self: __torch__.Ops, x: Tensor, router: Tensor, up: Tensor, down: Tensor, experts: int, experts_per_token: int, normalised: int, activation: int) -> Tensor:
    hidden = torch.size(x, -1)
    tokens = torch.reshape(x, [-1, hidden])
    probability = torch.softmax(torch.linear(tokens, router), -1, dtype=6)
    share, choice, = torch.topk(probability, experts_per_token, -1)
    if normalised != 0:
      share = torch.div(share, torch.sum(share, [-1], True))
    share = torch.to(share, x.dtype)
    chosen, _0, _1, = torch._unique2(choice)
    rows = torch.size(up, 0) // experts
    y = torch.zeros_like(tokens)
    for i in range(torch.numel(chosen)):
      expert = int(torch.select(chosen, 0, i))
      where = torch.nonzero(torch.eq(choice, expert))
      token = torch.select(where, 1, 0)
      part = self.mlp(torch.index_select(tokens, 0, token), torch.narrow(up, 0, expert * rows, rows), router, 0, torch.narrow(down, 0, expert * hidden, hidden), router, 0, 1, activation)
      weight = torch.index(share, [token, torch.select(where, 1, 1)])
      y = torch.index_add(y, 0, token, torch.mul(part, torch.unsqueeze(weight, 1)))
    return torch.reshape(y, torch.size(x))

  def feed_forward(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int]) -> Tensor:
    norm1, norm1_b, qkv, qkv_b, q_norm, k_norm, o, o_b, post1, post1_b, norm2, norm2_b, up, up_b, down, down_b, post2, post2_b, router, = weights
    placement, norm_kind, heads, kv_heads, size, kind, window, rotary, qk_norm, qkv_biased, o_biased, up_biased, down_biased, gated, activation, experts, experts_per_token, normalised, own_hidden, = ints
    if experts > 0:
      y = self.routed(x, router, up, down, experts, experts_per_token, normalised, activation)
    else:
      y = self.mlp(x, up, up_b, up_biased, down, down_b, down_biased, gated, activation)
    return y

  # One layer by the placement of its norms: 0 before each part, 1 behind it, 2 both, 3 parallel parts, 4 behind the sum.
  def block(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float], keys: Tensor, values: Tensor, owns: int, start: int, cosine: Tensor, sine: Tensor, mask: Tensor) -> Tensor:
    entering = self.before_attention(x, weights, ints, floats)
    attended = self.attention(entering, weights, ints, floats, keys, values, owns, start, cosine, sine, mask)
    return self.after_attention(x, entering, attended, weights, ints, floats)

  # x [B, T, E] -> what the attention of the layer takes [B, T, E]
  def before_attention(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float]) -> Tensor:
    placement = ints[0]
    y = x
    if placement == 0 or placement == 2 or placement == 3:
      y = self.norm(x, weights[0], weights[1], ints[1], floats[0])
    return y

  # x [B, T, E], what the attention took and what it gave -> the output of the layer [B, T, E]
  def after_attention(self: __torch__.Ops, x: Tensor, entering: Tensor, attended: Tensor, weights: List[Tensor], ints: List[int], floats: List[float]) -> Tensor:
    norm1, norm1_b, qkv, qkv_b, q_norm, k_norm, o, o_b, post1, post1_b, norm2, norm2_b, up, up_b, down, down_b, post2, post2_b, router, = weights
    placement, norm_kind, heads, kv_heads, size, kind, window, rotary, qk_norm, qkv_biased, o_biased, up_biased, down_biased, gated, activation, experts, experts_per_token, normalised, own_hidden, = ints
    epsilon, scale, soft_cap, residual_scale, = floats
    if placement == 3:
      y2 = entering
      if torch.numel(norm2) > 0:
        y2 = self.norm(x, norm2, norm2_b, norm_kind, epsilon)
      x = torch.add(torch.add(x, attended), self.feed_forward(y2, weights, ints))
    else:
      y = attended
      if placement == 1 or placement == 2:
        y = self.norm(y, post1, post1_b, norm_kind, epsilon)
      x = torch.add(x, y, alpha=residual_scale)
      if placement == 4:
        x = self.norm(x, post1, post1_b, norm_kind, epsilon)
      y = x
      if placement == 0 or placement == 2:
        y = self.norm(x, norm2, norm2_b, norm_kind, epsilon)
      y = self.feed_forward(y, weights, ints)
      if placement == 1 or placement == 2:
        y = self.norm(y, post2, post2_b, norm_kind, epsilon)
      x = torch.add(x, y, alpha=residual_scale)
      if placement == 4:
        x = self.norm(x, post2, post2_b, norm_kind, epsilon)
    return x

  # ids int64 [B, T] -> [B, T, E]
  def embed(self: __torch__.Ops, ids: Tensor, start: int, first: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float]) -> Tensor:
    embedding, widen, learned, norm, norm_b, narrow, head, head_b, = model
    has_norm, norm_kind, head_biased, position_offset, = model_ints
    epsilon, embedding_scale, logit_scale, soft_cap, = model_floats
    x = torch.embedding(embedding, ids)
    if torch.numel(widen) > 0:
      x = self.product(x, widen, None)
    if embedding_scale != 1.0:
      x = torch.mul(x, embedding_scale)
    if torch.numel(learned) > 0:
      if torch.numel(first) > 0:
        # A row that ended and is fed on beside others stays at the last position.
        position = torch.clamp_max(torch.add(self.positions(start, torch.size(ids, 1), first), position_offset), torch.size(learned, 0) - 1)
        x = torch.add(x, torch.embedding(learned, position))
      else:
        x = torch.add(x, torch.narrow(learned, 0, start + position_offset, torch.size(ids, 1)))
    return x

  # Layers low to high - 1: x [B, T, E] -> [B, T, E].
  def layers(self: __torch__.Ops, x: Tensor, low: int, high: int, start: int, first: Tensor, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], kinds: List[List[int]], keys: List[Tensor], values: List[Tensor], owns: List[int], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    masks = annotate(List[Tensor], [])
    for i in range(torch.len(kinds)):
      _0 = torch.append(masks, self.mask(x, start, kinds[i], first))
    cosine = annotate(List[Tensor], [])
    sine = annotate(List[Tensor], [])
    for i in range(torch.len(cosines)):
      _1 = torch.append(cosine, self.rows(cosines[i], start, torch.size(x, 1), first))
      _2 = torch.append(sine, self.rows(sines[i], start, torch.size(x, 1), first))
    _3 = torch.append(cosine, x)  # number -1: layers without rotary embedding, which do not look at it
    _4 = torch.append(sine, x)
    for i in range(low, high):
      kind = ints[i][5]
      rotary = ints[i][7]
      if owns[i] > 1:
        _5 = self.fill(x, i, owns[i] - 2, start, first, weights, ints, floats, keys, values, cosines, sines)
      x = self.block(x, weights[i], ints[i], floats[i], keys[i], values[i], owns[i], start, cosine[rotary], sine[rotary], masks[kind])
    return x

  # The keys and values of one layer for x [B, T, E], nothing else, into the cache that layer reader reads; gives the
  # last position of x [B, 1, E].
  def fill(self: __torch__.Ops, x: Tensor, layer: int, reader: int, start: int, first: Tensor, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], keys: List[Tensor], values: List[Tensor], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    y = self.before_attention(x, weights[layer], ints[layer], floats[layer])
    rotary = ints[layer][7]
    cosine = x
    sine = x
    if rotary >= 0:
      cosine = self.rows(cosines[rotary], start, torch.size(x, 1), first)
      sine = self.rows(sines[rotary], start, torch.size(x, 1), first)
    self.store(y, weights[layer], ints[layer], floats[layer], keys[reader], values[reader], start, cosine, sine)
    return torch.contiguous(torch.narrow(x, 1, torch.size(x, 1) - 1, 1))

  def zeros_like(self: __torch__.Ops, x: Tensor) -> Tensor:
    return torch.zeros_like(x)

  # Some positions [B, n, E] into x [B, T, E].
  def put(self: __torch__.Ops, x: Tensor, some: Tensor, position: int) -> Tensor:
    return torch.copy_(torch.narrow(x, 1, position, torch.size(some, 1)), some)

  # [B, T, E] -> [B, T, E], or narrower where the head is
  def normed(self: __torch__.Ops, x: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float]) -> Tensor:
    embedding, widen, learned, norm, norm_b, narrow, head, head_b, = model
    has_norm, norm_kind, head_biased, position_offset, = model_ints
    epsilon, embedding_scale, logit_scale, soft_cap, = model_floats
    if has_norm != 0:
      x = self.norm(x, norm, norm_b, norm_kind, epsilon)
    if torch.numel(narrow) > 0:
      x = self.product(x, narrow, None)
    return x

  # [B, T, E] before the final norm -> float32 [B, T, E]
  def final_norm(self: __torch__.Ops, x: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float]) -> Tensor:
    return torch.to(self.normed(x, model, model_ints, model_floats), 6)

  # [B, T, E] before the final norm -> float32 [B, T, V]
  def head(self: __torch__.Ops, x: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float]) -> Tensor:
    embedding, widen, learned, norm, norm_b, narrow, head, head_b, = model
    has_norm, norm_kind, head_biased, position_offset, = model_ints
    epsilon, embedding_scale, logit_scale, soft_cap, = model_floats
    y = self.linear(self.normed(x, model, model_ints, model_floats), head, head_b, head_biased)
    y = torch.to(y, 6)
    if logit_scale != 1.0:
      y = torch.mul(y, logit_scale)
    if soft_cap > 0.0:
      y = torch.mul(torch.tanh(torch.div(y, soft_cap)), soft_cap)
    return y

  # The whole model: ids int64 [B, T] -> logits float32 [B, T, V].
  def forward(self: __torch__.Ops, ids: Tensor, start: int, first: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float], weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], kinds: List[List[int]], keys: List[Tensor], values: List[Tensor], owns: List[int], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    x = self.embed(ids, start, first, model, model_ints, model_floats)
    x = self.layers(x, 0, torch.len(weights), start, first, weights, ints, floats, kinds, keys, values, owns, cosines, sines)
    return self.head(x, model, model_ints, model_floats)

  # One step: ids int64 [B] -> logits float32 [B, V].
  def decode(self: __torch__.Ops, ids: Tensor, start: int, first: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float], weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], kinds: List[List[int]], keys: List[Tensor], values: List[Tensor], owns: List[int], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    logits = self.forward(torch.unsqueeze(ids, 1), start, first, model, model_ints, model_floats, weights, ints, floats, kinds, keys, values, owns, cosines, sines)
    return torch.select(logits, 1, 0)

  # One layer in parts, for whoever refits a projection: part 0 is attention, 1 the feed-forward part. Of each part
  # there is what enters its last projection (the heads' results, the inner activation), what the projection gives, and
  # the residual stream with that added.

  # What enters the output projection of a layer at the positions 0 to T - 1: x [B, T, E] -> [B, T, Hq * D]; keys and
  # values [B, Hkv, T, D] are written where owns is 1, else read. With own 1 the input of the queries stands behind what
  # the heads give: [B, T, Hq * D + E]. Queries [Hq * D, E] with a bias take the place of the layer's where they are not empty.
  def part_heads(self: __torch__.Ops, x: Tensor, layer: int, own: int, queries: Tensor, bias: Tensor, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], kinds: List[List[int]], keys: Tensor, values: Tensor, owns: int, cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    first = torch.zeros([0], dtype=4, device=x.device)
    rotary = ints[layer][7]
    tensors = weights[layer]
    if torch.numel(queries) > 0:
      tensors = torch.list(weights[layer])
      _0 = torch._set_item(tensors, 2, queries)
      _1 = torch._set_item(tensors, 3, bias)
    y = self.before_attention(x, tensors, ints[layer], floats[layer])
    cosine = x
    sine = x
    if rotary >= 0:
      cosine = self.rows(cosines[rotary], 0, torch.size(x, 1), first)
      sine = self.rows(sines[rotary], 0, torch.size(x, 1), first)
    mask = self.mask(x, 0, kinds[ints[layer][5]], first)
    entering = self.heads(y, tensors, ints[layer], floats[layer], keys, values, owns, 0, cosine, sine, mask)
    if own != 0:
      entering = torch.cat([entering, y], -1)
    return entering

  # What enters the down projection of a layer: x [B, T, E] before the layer, between [B, T, E] with attention added ->
  # [B, T, F]; where experts have several such projections what they give together, [B, T, E].
  def part_inner(self: __torch__.Ops, x: Tensor, between: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]]) -> Tensor:
    placement = ints[layer][0]
    norm_kind = ints[layer][1]
    norm2 = weights[layer][10]
    norm2_b = weights[layer][11]
    y = between
    if placement == 3:
      y = self.before_attention(x, weights[layer], ints[layer], floats[layer])
      if torch.numel(norm2) > 0:
        y = self.norm(x, norm2, norm2_b, norm_kind, floats[layer][0])
    elif placement == 0 or placement == 2:
      y = self.norm(between, norm2, norm2_b, norm_kind, floats[layer][0])
    if ints[layer][15] > 0:
      y = self.feed_forward(y, weights[layer], ints[layer])
    else:
      y = self.inner(y, weights[layer][12], weights[layer][13], ints[layer][11], ints[layer][13], ints[layer][14])
    return y

  # What a part's projection gives: entering [B, T, in] -> [B, T, E]; inputs that the layer has no columns for do not count.
  def part_project(self: __torch__.Ops, entering: Tensor, layer: int, part: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]]) -> Tensor:
    y = entering
    if part == 0:
      columns = torch.size(weights[layer][6], 1)
      if torch.size(entering, -1) > columns:
        y = torch.contiguous(torch.narrow(entering, -1, 0, columns))
      y = self.linear(y, weights[layer][6], weights[layer][7], ints[layer][10])
    elif ints[layer][15] == 0:
      y = self.linear(entering, weights[layer][14], weights[layer][15], ints[layer][12])
    return y

  # The residual stream x [B, T, E] with what a part's projection gave [B, T, E] added.
  def part_add(self: __torch__.Ops, x: Tensor, projected: Tensor, layer: int, part: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]]) -> Tensor:
    placement = ints[layer][0]
    scale = floats[layer][3]
    norm = weights[layer][8]
    norm_b = weights[layer][9]
    if part == 1:
      norm = weights[layer][16]
      norm_b = weights[layer][17]
    y = projected
    if placement == 3:
      scale = 1.0
    elif placement == 1 or placement == 2:
      y = self.norm(y, norm, norm_b, ints[layer][1], floats[layer][0])
    y = torch.add(x, y, alpha=scale)
    if placement == 4:
      y = self.norm(y, norm, norm_b, ints[layer][1], floats[layer][0])
    return y

  # What a part's projection must give so that the stream x, with it added, becomes the reference's: float32 [B, T, E].
  # expected is what the reference's own projection gave on the stream reference. Where the output passes a norm before it
  # is added (placements 1 and 2), the missing difference goes through the inverse of that norm at the expected output.
  def part_target(self: __torch__.Ops, reference: Tensor, x: Tensor, expected: Tensor, layer: int, part: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]]) -> Tensor:
    placement = ints[layer][0]
    scale = floats[layer][3]
    if placement == 3:
      scale = 1.0
    y = torch.to(expected, 6)
    missing = torch.div(torch.sub(torch.to(reference, 6), torch.to(x, 6)), scale)
    if placement == 1 or placement == 2:
      gain = weights[layer][8]
      if part == 1:
        gain = weights[layer][16]
      gain = torch.to(gain, 6)
      square = torch.mul(gain, gain)
      # 1 / gain, but bounded where the gain is near 0
      inverse = torch.div(gain, torch.add(square, torch.mul(torch.mean(square), 0.01)))
      size = torch.sqrt(torch.mean(torch.mul(y, y), [-1], True))
      missing = torch.mul(torch.mul(missing, inverse), size)
    return torch.add(y, missing)

  # What an error in a part's projection counts at each token, float32 [B, T]: 1 over the squared length of the
  # reference's stream behind the part; where the output passes a norm, that error is divided by the output's size.
  def part_weight(self: __torch__.Ops, reference: Tensor, expected: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]]) -> Tensor:
    placement = ints[layer][0]
    stream = torch.to(reference, 6)
    y = torch.to(expected, 6)
    size = torch.sum(torch.mul(stream, stream), [-1])
    if placement == 1 or placement == 2:
      size = torch.mul(size, torch.mean(torch.mul(y, y), [-1]))
    elif placement == 3:
      behind = torch.add(stream, y)
      size = torch.sum(torch.mul(behind, behind), [-1])
    else:
      behind = torch.add(stream, y, alpha=floats[layer][3])
      size = torch.sum(torch.mul(behind, behind), [-1])
    return torch.reciprocal(torch.clamp_min(size, 1e-30))

  # Next-token distributions from hidden [B, T, E] against those from reference [B, T, E], both before the final norm;
  # targets int64 [B, T], -1 where none counts. Float64 [6]: positions; sum of the divergence KL(reference || hidden);
  # positions with the same most likely token; targets; sums of the negative log-likelihood of the targets by reference and by hidden.
  # Logits are there for so many positions at a time that they take 64 MB (that is 341 of a vocabulary of 49,152).
  def divergence(self: __torch__.Ops, reference: Tensor, hidden: Tensor, targets: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float]) -> Tensor:
    size = torch.size(hidden, -1)
    expected = torch.reshape(reference, [1, -1, size])
    actual = torch.reshape(hidden, [1, -1, size])
    following = torch.reshape(targets, [1, -1])
    positions = torch.size(actual, 1)
    one = self.head(torch.narrow(actual, 1, 0, 1), model, model_ints, model_floats)
    at_once = max(1, 16777216 // torch.size(one, -1))
    sums = torch.zeros([6], dtype=7, device=hidden.device)
    low = 0
    while low < positions:
      count = min(at_once, positions - low)
      part = self.divergence_part(torch.narrow(expected, 1, low, count), torch.narrow(actual, 1, low, count), torch.narrow(following, 1, low, count), model, model_ints, model_floats)
      sums = torch.add(sums, part)
      low = low + count
    return sums

  # The same of as many positions as are given.
  def divergence_part(self: __torch__.Ops, reference: Tensor, hidden: Tensor, targets: Tensor, model: List[Tensor], model_ints: List[int], model_floats: List[float]) -> Tensor:
    expected = torch.log_softmax(self.head(reference, model, model_ints, model_floats), -1)
    actual = torch.log_softmax(self.head(hidden, model, model_ints, model_floats), -1)
    apart = torch.sum(torch.mul(torch.exp(expected), torch.sub(expected, actual)), [-1])
    same = torch.eq(torch.argmax(expected, -1), torch.argmax(actual, -1))
    counted = torch.ge(targets, 0)
    index = torch.unsqueeze(torch.clamp_min(targets, 0), -1)
    zero = torch.zeros_like(apart)
    before = torch.where(counted, torch.neg(torch.squeeze(torch.gather(expected, -1, index), -1)), zero)
    after = torch.where(counted, torch.neg(torch.squeeze(torch.gather(actual, -1, index), -1)), zero)
    sums = [torch.sum(torch.ones_like(apart), dtype=7), torch.sum(apart, dtype=7), torch.sum(same, dtype=7), torch.sum(counted, dtype=7), torch.sum(before, dtype=7), torch.sum(after, dtype=7)]
    return torch.stack(sums)

  # Memory while weights are loaded and when a cache grows.

  # A copy in another type: 6 float32, 5 float16, 15 bfloat16
  def convert(self: __torch__.Ops, x: Tensor, dtype: int) -> Tensor:
    return torch.to(self.plain(x), dtype, False, True)

  # A weight that may be packed or int8, with rows of numbers
  def plain(self: __torch__.Ops, weight: Tensor) -> Tensor:
    if ops.prim.is_mkldnn(weight):
      weight = torch.to_dense(weight)
    elif weight.dtype == 1:
      numbers = torch.to(torch.narrow(weight, 0, 0, self.int8_rows(weight)), 6)
      weight = torch.mul(numbers, torch.unsqueeze(self.int8_scales(weight), 1))
    return weight

  # The first rows of a weight, packed or int8 if it is
  def leading_rows(self: __torch__.Ops, weight: Tensor, rows: int) -> Tensor:
    if weight.dtype == 1:
      all = self.int8_rows(weight)
      tail = torch.flatten(torch.narrow(weight, 0, all, torch.size(weight, 0) - all))
      leading = self.int8_joined(torch.narrow(weight, 0, 0, rows), torch.narrow(tail, 0, 0, rows), torch.narrow(tail, 0, all, rows))
    else:
      leading = torch.narrow(self.plain(weight), 0, 0, rows)
    if ops.prim.is_mkldnn(weight):
      leading = self.pack(leading)
    return leading

  def zeros(self: __torch__.Ops, sizes: List[int], dtype: int, like: Tensor) -> Tensor:
    return torch.zeros(sizes, dtype=dtype, device=like.device)

  def empty_on_cpu(self: __torch__.Ops, sizes: List[int], dtype: int) -> Tensor:
    return torch.empty(sizes, dtype=dtype, device=torch.device("cpu"))

  def to_device(self: __torch__.Ops, x: Tensor, like: Tensor) -> Tensor:
    return torch.to(x, like.device, x.dtype)

  # Zeros in x [B, Hkv, capacity, D] at the positions from start to start + tokens - 1.
  def clear(self: __torch__.Ops, x: Tensor, start: int, tokens: int) -> Tensor:
    return torch.zero_(torch.narrow(x, 2, start, tokens))

  # [E, n] and [E, m] -> [E, n + m]
  def beside(self: __torch__.Ops, left: Tensor, right: Tensor) -> Tensor:
    return torch.cat([self.plain(left), self.plain(right)], 1)

  # source -> target of the same shape
  def assign(self: __torch__.Ops, target: Tensor, source: Tensor) -> Tensor:
    return torch.copy_(target, self.plain(source))

  # source [in, out] -> target [out, in]
  def assign_transposed(self: __torch__.Ops, target: Tensor, source: Tensor) -> Tensor:
    return torch.copy_(target, torch.transpose(source, 0, 1))

  # source [groups * (queries + 2) * D, ...]: query heads, key head and value head of each group -> target: all queries,
  # all keys, all values
  def assign_ungrouped(self: __torch__.Ops, target: Tensor, source: Tensor, groups: int, queries: int) -> Tensor:
    grouped = torch.reshape(source, [groups, queries + 2, -1])
    query = torch.flatten(torch.narrow(grouped, 1, 0, queries))
    key = torch.flatten(torch.narrow(grouped, 1, queries, 1))
    value = torch.flatten(torch.narrow(grouped, 1, queries + 1, 1))
    return torch.copy_(target, torch.reshape(torch.cat([query, key, value]), torch.size(target)))

  # Rows or columns of x from low to high - 1, a copy.
  def cut(self: __torch__.Ops, x: Tensor, axis: int, low: int, high: int) -> Tensor:
    return torch.clone(torch.narrow(x, axis, low, high - low), memory_format=0)

  # The inverse of assign_ungrouped: all queries, all keys, all values -> group by group
  def regrouped(self: __torch__.Ops, x: Tensor, groups: int, queries: int) -> Tensor:
    rows = torch.floordiv(torch.size(x, 0), queries + 2)
    query = torch.reshape(torch.narrow(x, 0, 0, rows * queries), [groups, queries, -1])
    key = torch.reshape(torch.narrow(x, 0, rows * queries, rows), [groups, 1, -1])
    value = torch.reshape(torch.narrow(x, 0, rows * (queries + 1), rows), [groups, 1, -1])
    return torch.reshape(torch.cat([query, key, value], 1), torch.size(x))
