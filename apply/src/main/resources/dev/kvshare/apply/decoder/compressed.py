
  # Appended to decoder.py, whose letters and arguments hold here too.
  # Caches that keep some tokens only, or numbers of 8 or 4 bits (CompressedCache.java). A layer reads the state of the layer
  # that owns its cache, tensors of N slots, filled from the left. Slots are not in the order of the text once one was
  # given to another token, until the next time that tokens are dropped; where a tensor is of no use, it is an empty one:
  #   keys, values              [B, Hkv, N, D], int8 or the compute type, or uint8 [B, Hkv, N, D / 2] of 4 bits; keys after
  #                             rotation
  #   key_scales, value_scales  float32, of integers: [B, Hkv, N, 1], or of keys by channels [B, Hkv, N / group, D]
  #   open                      [B, Hkv, group, D] compute type, of keys by channels: those of the group not yet full
  #   kept                      int32 [B, Hkv, N], the place in the text of the token in a slot; below 0 for padding
  #   scores                    float32 [B, Hkv, N], attention received so far
  # and a rule, ints: sinks, recent, span (the last tokens that a query of the reading layer sees, by its window in a plan and
  # by StreamingLLM alike, 0: all), reach (0: positions are those of the text; else slots, and the position of a query towards
  # the sinks is reach - 1 at most), observed (the first column whose attention is added to scores, -1: none), averaged,
  # pooling, own_window (tokens before are of no use to any reader of the cache), group, own_sinks (but so many first ones
  # are), span_sinks (the first tokens that a query sees besides span). Columns count the text with its padding.
  #   slots, counts             for each layer the first slot to write (-1: in place of the least important token), and how
  #                             many slots it reads then
  #   alike                     for each layer the lowest one that sees the same tokens in the same slots
  #   in_order                  for each layer 1 if its slots have first tokens of the text and then the last ones, as in the
  #                             text, of no padded rows, else 0
  #   origin                    column that the rotary tables begin at

  # The place of each new token: int64 [1 or B, T].
  def places(self: __torch__.Ops, start: int, tokens: int, first: Tensor) -> Tensor:
    y = torch.unsqueeze(torch.arange(start, start + tokens, dtype=4, device=first.device), 0)
    if torch.numel(first) > 0:
      y = torch.sub(y, torch.unsqueeze(first, 1))
    return y

  # What goes first when room is needed for the token in column end - 1: float32 [B, Hkv, n], least important lowest.
  def importance(self: __torch__.Ops, kept: Tensor, scores: Tensor, end: int, first: Tensor, rule: List[int]) -> Tensor:
    sinks, recent, span, reach, observed, averaged, pooling, own_window, group, own_sinks, span_sinks, = rule
    now = torch.unsqueeze(self.places(end, 1, first), 2)
    if torch.numel(scores) > 0:
      y = scores
      if averaged != 0:
        y = torch.div(y, torch.clamp_min(torch.sub(now, kept), 1))
      if pooling > 1:
        older = torch.size(y, 2) - recent
        pooled = torch.avg_pool1d(torch.narrow(y, 2, 0, older), [pooling], [1], [pooling // 2])
        y = torch.cat([pooled, torch.narrow(y, 2, older, recent)], 2)
    else:
      y = torch.to(kept, 6)
    useless = torch.lt(kept, 0)
    if own_window > 0 and reach == 0:
      useless = torch.logical_or(useless, torch.logical_and(torch.ge(kept, own_sinks), torch.lt(kept, torch.sub(now, own_window))))
    stays = torch.logical_or(torch.lt(kept, sinks), torch.ge(kept, torch.sub(now, recent)))
    return torch.masked_fill(torch.masked_fill(y, stays, float("inf")), useless, -1.)

  # x [..., n, D] -> int8, within the bits that a cache keeps, and the scale of each token [..., n, 1]
  def shrink(self: __torch__.Ops, x: Tensor, stored: Tensor) -> Tuple[Tensor, Tensor]:
    most = 127.
    if stored.dtype == 0:
      most = 7.
    wide = torch.to(x, 6)
    scale = torch.div(torch.clamp_min(torch.amax(torch.abs(wide), [-1], True), 1.0e-20), most)
    return (torch.to(torch.round(torch.div(wide, scale)), 1), scale)

  # int8 [..., n, D] as a cache keeps it: of 4 bits, the first half of D in the low ones of a byte, the other in the high ones
  def packed(self: __torch__.Ops, x: Tensor, stored: Tensor) -> Tensor:
    y = x
    if stored.dtype == 0:
      half = torch.size(x, -1) // 2
      y = torch.to(torch.add(x, 8), 0)
      y = torch.add(torch.narrow(y, -1, 0, half), torch.mul(torch.narrow(y, -1, half, half), 16))
    return y

  # Back, as numbers of a type
  def unpacked(self: __torch__.Ops, x: Tensor, like: Tensor) -> Tensor:
    if x.dtype == 0:
      y = torch.cat([torch.bitwise_and(x, 15), torch.bitwise_right_shift(x, 4)], -1)
      y = torch.sub(torch.to(y, like.dtype), 8)
    else:
      y = torch.to(x, like.dtype)
    return y

  # Keys [B, Hkv, T, D] behind the filled slots, by channels: only whole groups are shrunk.
  def store_grouped(self: __torch__.Ops, keys: Tensor, scales: Tensor, open: Tensor, key: Tensor, slot: int, group: int) -> None:
    used = slot % group
    joined = torch.cat([torch.narrow(open, 2, 0, used), key], 2)
    rest = torch.size(joined, 2) % group
    whole = torch.size(joined, 2) - rest
    if whole > 0:
      blocks = torch.transpose(torch.unflatten(torch.narrow(joined, 2, 0, whole), 2, [whole // group, group]), 3, 4)
      shrunk, scale, = self.shrink(blocks, keys)
      _0 = torch.copy_(torch.narrow(keys, 2, slot - used, whole), self.packed(torch.flatten(torch.transpose(shrunk, 3, 4), 2, 3), keys))
      _1 = torch.copy_(torch.narrow(scales, 2, (slot - used) // group, whole // group), torch.squeeze(scale, 4))
    _2 = torch.copy_(torch.narrow(open, 2, 0, rest), torch.narrow(joined, 2, whole, rest))

  # [B, Hkv, T, D] into the slots from slot on
  def store_slots(self: __torch__.Ops, stored: Tensor, scales: Tensor, x: Tensor, slot: int) -> None:
    target = torch.narrow(stored, 2, slot, torch.size(x, 2))
    if torch.numel(scales) > 0:
      shrunk, scale, = self.shrink(x, stored)
      _0 = torch.copy_(target, self.packed(shrunk, stored))
      _1 = torch.copy_(torch.narrow(scales, 2, slot, torch.size(x, 2)), scale)
    else:
      _2 = torch.copy_(target, x)

  # [B, Hkv, 1, D] into one slot of each head, chosen [B, Hkv, 1, 1]
  def store_chosen(self: __torch__.Ops, stored: Tensor, scales: Tensor, x: Tensor, chosen: Tensor) -> None:
    slot = torch.expand(chosen, [-1, -1, -1, torch.size(stored, 3)])
    if torch.numel(scales) > 0:
      shrunk, scale, = self.shrink(x, stored)
      _0 = torch.scatter_(stored, 2, slot, self.packed(shrunk, stored))
      _1 = torch.scatter_(scales, 2, chosen, scale)
    else:
      _2 = torch.scatter_(stored, 2, slot, x)

  # Keys and values [B, Hkv, T, D] of the tokens up to column end - 1, at places int32 [1 or B, 1, T], into the cache.
  def remember(self: __torch__.Ops, key: Tensor, value: Tensor, state: List[Tensor], rule: List[int], slot: int, end: int, first: Tensor, places: Tensor) -> None:
    keys, values, key_scales, value_scales, open, kept, scores, = state
    if slot < 0:
      chosen = torch.argmin(self.importance(kept, scores, end, first, rule), 2, True)
      self.store_chosen(keys, key_scales, key, torch.unsqueeze(chosen, 3))
      self.store_chosen(values, value_scales, value, torch.unsqueeze(chosen, 3))
      _0 = torch.scatter_(kept, 2, chosen, torch.expand(places, torch.size(chosen)))
      if torch.numel(scores) > 0:
        _1 = torch.scatter_(scores, 2, chosen, 0)
    else:
      group = rule[8]
      if group > 0:
        self.store_grouped(keys, key_scales, open, key, slot, group)
      else:
        self.store_slots(keys, key_scales, key, slot)
      self.store_slots(values, value_scales, value, slot)
      _2 = torch.copy_(torch.narrow(kept, 2, slot, torch.size(key, 2)), places)

  # At least the first count slots as numbers of a type: [B, Hkv, count or N, D].
  def recall(self: __torch__.Ops, stored: Tensor, scales: Tensor, open: Tensor, count: int, group: int, like: Tensor) -> Tensor:
    if torch.numel(scales) == 0:
      y = stored
    elif group == 0:
      y = torch.mul(self.unpacked(torch.narrow(stored, 2, 0, count), like), torch.to(torch.narrow(scales, 2, 0, count), like.dtype))
    else:
      groups = count // group
      whole = groups * group
      blocks = torch.unflatten(self.unpacked(torch.narrow(stored, 2, 0, whole), like), 2, [groups, group])
      wide = torch.mul(blocks, torch.to(torch.unsqueeze(torch.narrow(scales, 2, 0, groups), 3), like.dtype))
      y = torch.cat([torch.flatten(wide, 2, 3), torch.narrow(open, 2, 0, count - whole)], 2)
    return y

  # What the new tokens do not see of slots [B or 1, Hkv or 1, n]: bool [B or 1, Hkv or 1, T, n]. Padding sees itself, as
  # in mask.
  def unseen(self: __torch__.Ops, kept: Tensor, places: Tensor, window: int, rule: List[int]) -> Tensor:
    sinks, recent, span, reach, observed, averaged, pooling, own_window, group, own_sinks, span_sinks, = rule
    key = torch.unsqueeze(kept, 2)
    query = torch.unsqueeze(torch.unsqueeze(places, 1), 3)
    hidden = torch.logical_or(torch.gt(key, query), torch.logical_and(torch.lt(key, 0), torch.ne(key, query)))
    if span > 0:
      hidden = torch.logical_or(hidden, torch.logical_and(torch.ge(key, span_sinks), torch.le(key, torch.sub(query, span))))
    if window > 0:
      behind = torch.le(key, torch.sub(query, window))
      if reach > 0:
        behind = torch.where(torch.lt(key, sinks), torch.le(key, torch.sub(torch.clamp_max(query, reach - 1), window)), behind)
      hidden = torch.logical_or(hidden, behind)
    return hidden

  # Whether fused attention does, which does not show scores.
  def fused(self: __torch__.Ops, rule: List[int], end: int, soft_cap: float) -> bool:
    reach = rule[3]
    observed = rule[4]
    return soft_cap == 0. and (reach == 0 or end <= reach) and (observed < 0 or end <= observed)

  # x [.., .., N, ...] -> [.., .., n, ...], its first slots of a number and those from low to high - 1
  def slots_of(self: __torch__.Ops, x: Tensor, first_ones: int, low: int, high: int) -> Tensor:
    y = torch.narrow(x, 2, low, high - low)
    if first_ones > 0:
      y = torch.cat([torch.narrow(x, 2, 0, first_ones), y], 2)
    return y

  # Fills two lists with what blocks of queries look at: blocks [queries, slots at the start, low, high (see slots_of)], and
  # masks with what is added to their scores, of the type of x: fused [1 or B*Hkv, 1, T, n] ([1 or B, 1 or Hkv, 1, n] for
  # T = 1), else [1 or B, 1 or Hkv, 1, T, n]; empty where a plain causal mask or none does.
  def add_blocks(self: __torch__.Ops, blocks: List[List[int]], masks: List[Tensor], x: Tensor, kept: Tensor, places: Tensor, window: int, rule: List[int], count: int, end: int, first: Tensor, in_order: int, fused: bool) -> None:
    sinks, recent, span, reach, observed, averaged, pooling, own_window, group, own_sinks, span_sinks, = rule
    batch, kv_heads, = torch.size(torch.select(kept, 2, 0))
    tokens = torch.size(places, 1)
    padded = torch.numel(first) > 0
    kept = torch.narrow(kept, 2, 0, count)
    if count == end or in_order != 0:
      # The slots of all heads are alike.
      kept = torch.narrow(kept, 1, 0, 1)
      if not padded:
        kept = torch.narrow(kept, 0, 0, 1)
    width = window
    width_sinks = 0
    if window == 0:
      width = span
      width_sinks = span_sinks
    # A layer that keeps just what the window of its reader spans keeps nothing else when one token follows.
    kept_is_seen = tokens == 1 and recent == width and sinks == width_sinks and count <= recent + sinks
    step = tokens
    narrows = in_order != 0 and width > 0 and end > width + width_sinks and fused
    if narrows:
      # Few enough for what lies between the first window's begin and the last query to be little more than a window.
      step = min(tokens, 64)
    for i in range((tokens + step - 1) // step):
      begin = end - tokens + i * step
      queries = min(step, end - begin)
      first_ones = 0
      low = 0
      high = begin + queries - end + count
      if narrows and begin + 1 - width - end + count > width_sinks:
        first_ones = width_sinks
        low = begin + 1 - width - end + count
      spans_all = width == 0 or begin + queries <= width + width_sinks or kept_is_seen or (queries == 1 and low > 0)
      if not padded and spans_all and (window == 0 or span == 0 or count <= span + span_sinks) and (queries == 1 or (begin == 0 and fused)):
        mask = torch.empty([0], dtype=x.dtype, device=x.device)
      else:
        hidden = self.unseen(self.slots_of(kept, first_ones, low, high), torch.narrow(places, 1, i * step, queries), window, rule)
        mask = torch.masked_fill(torch.zeros(torch.size(hidden), dtype=x.dtype, device=x.device), hidden, float("-inf"))
        if not fused:
          mask = torch.unsqueeze(mask, 2)
        elif tokens > 1:
          if torch.size(mask, 0) > 1 or torch.size(mask, 1) > 1:
            mask = torch.expand(mask, [batch, kv_heads, -1, -1])
          mask = torch.unsqueeze(torch.flatten(mask, 0, 1), 1)
      _0 = torch.append(blocks, [queries, first_ones, low, high])
      _1 = torch.append(masks, mask)

  # query [B, T, Hq, D], far the same turned for the sinks -> [B, T, Hq * D]; adds the attention to the scores of the cache
  def look(self: __torch__.Ops, query: Tensor, far: Tensor, state: List[Tensor], rule: List[int], count: int, end: int, first: Tensor, places: Tensor, blocks: List[List[int]], masks: List[Tensor], fused: bool, scale: float, soft_cap: float) -> Tensor:
    keys, values, key_scales, value_scales, open, kept, scores, = state
    batch, tokens, heads, size, = torch.size(query)
    kv_heads = torch.size(keys, 1)
    shared = heads // kv_heads
    key = self.recall(keys, key_scales, open, count, rule[8], query)
    value = self.recall(values, value_scales, open, count, 0, query)
    if not fused:
      sinks = rule[0]
      reach = rule[3]
      observed = rule[4]
      q = torch.reshape(torch.permute(torch.unflatten(query, 2, [kv_heads, shared]), [0, 2, 3, 1, 4]), [batch, kv_heads, shared * tokens, size])
      key = torch.narrow(key, 2, 0, count)
      raw = torch.matmul(q, torch.transpose(key, 2, 3))
      if reach > 0 and end > reach:
        q = torch.reshape(torch.permute(torch.unflatten(far, 2, [kv_heads, shared]), [0, 2, 3, 1, 4]), [batch, kv_heads, shared * tokens, size])
        fixed = torch.unsqueeze(torch.lt(torch.narrow(kept, 2, 0, count), sinks), 2)
        raw = torch.where(fixed, torch.matmul(q, torch.transpose(key, 2, 3)), raw)
      raw = torch.mul(raw, scale)
      if soft_cap > 0.:
        raw = torch.mul(torch.tanh(torch.div(raw, soft_cap)), soft_cap)
      raw = torch.unflatten(raw, 2, [shared, tokens])
      if torch.numel(masks[0]) > 0:
        raw = torch.add(raw, masks[0])
      share = torch.softmax(raw, -1, dtype=6)
      if observed >= 0 and end > observed:
        votes = torch.sum(share, [2])
        if torch.numel(first) > 0 or end - tokens < observed:
          columns = torch.arange(end - tokens, end, dtype=4, device=first.device)
          votes = torch.mul(votes, torch.unsqueeze(torch.unsqueeze(torch.logical_and(torch.ge(columns, observed), torch.ge(places, 0)), 1), 3))
        _0 = torch.add_(torch.narrow(scores, 2, 0, count), torch.sum(votes, [2]))
      y = torch.matmul(torch.flatten(torch.to(share, query.dtype), 2, 3), torch.narrow(value, 2, 0, count))
    elif tokens == 1:
      queries, first_ones, low, high, = blocks[0]
      key = self.slots_of(key, first_ones, low, high)
      value = self.slots_of(value, first_ones, low, high)
      q = torch.reshape(query, [batch, kv_heads, shared, size])
      if torch.numel(masks[0]) == 0:
        y = torch.scaled_dot_product_attention(q, key, value, None, 0.0, False, scale=scale)
      else:
        y = torch.scaled_dot_product_attention(q, key, value, masks[0], 0.0, False, scale=scale)
    else:
      q = torch.reshape(torch.permute(torch.unflatten(query, 2, [kv_heads, shared]), [0, 2, 3, 1, 4]), [batch * kv_heads, shared, tokens, size])
      parts = annotate(List[Tensor], [])
      done = 0
      for i in range(torch.len(blocks)):
        queries, first_ones, low, high, = blocks[i]
        k = torch.expand(torch.unsqueeze(torch.flatten(self.slots_of(key, first_ones, low, high), 0, 1), 1), [-1, shared, -1, -1])
        v = torch.expand(torch.unsqueeze(torch.flatten(self.slots_of(value, first_ones, low, high), 0, 1), 1), [-1, shared, -1, -1])
        part = torch.narrow(q, 2, done, queries)
        if torch.numel(masks[i]) == 0:
          part = torch.scaled_dot_product_attention(part, k, v, None, 0.0, queries > 1, scale=scale)
        else:
          part = torch.scaled_dot_product_attention(part, k, v, masks[i], 0.0, False, scale=scale)
        _1 = torch.append(parts, part)
        done = done + queries
      y = parts[0]
      if torch.len(parts) > 1:
        y = torch.cat(parts, 2)
    if tokens > 1:
      y = torch.transpose(torch.reshape(y, [batch, heads, tokens, size]), 1, 2)
    return torch.reshape(y, [batch, tokens, heads * size])

  # As attention, over a state. What layers that see alike look at is one pair of lists, which the lowest of them fills.
  def compressed_attention(self: __torch__.Ops, x: Tensor, weights: List[Tensor], ints: List[int], floats: List[float], state: List[Tensor], rule: List[int], owns: int, slot: int, count: int, end: int, first: Tensor, places: Tensor, written: Tensor, blocks: List[List[int]], masks: List[Tensor], in_order: int, cosine: Tensor, sine: Tensor, far_cosine: Tensor, far_sine: Tensor) -> Tensor:
    norm1, norm1_b, qkv, qkv_b, q_norm, k_norm, o, o_b, post1, post1_b, norm2, norm2_b, up, up_b, down, down_b, post2, post2_b, router, = weights
    placement, norm_kind, heads, kv_heads, size, kind, window, rotary, qk_norm, qkv_biased, o_biased, up_biased, down_biased, gated, activation, experts, experts_per_token, normalised, own_hidden, = ints
    epsilon, scale, soft_cap, residual_scale, = floats
    projected = self.project(x, qkv, qkv_b, qkv_biased, size)
    query = torch.narrow(projected, 2, 0, heads)
    if qk_norm != 0:
      query = self.head_norm(query, q_norm, qk_norm, epsilon)
    turned = rotary >= 0 and rule[3] > 0 and end > rule[3]
    far = query
    if turned:
      far = self.rotate(query, far_cosine, far_sine)
    if owns != 0:
      value = torch.narrow(projected, 2, heads + kv_heads, kv_heads)
      if qk_norm != 0:
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
      self.remember(torch.transpose(key, 1, 2), torch.transpose(value, 1, 2), state, rule, slot, end, first, written)
    elif rotary >= 0:
      query = self.rotate(query, cosine, sine)
    fused = self.fused(rule, end, soft_cap)
    if torch.len(blocks) == 0:
      self.add_blocks(blocks, masks, x, state[5], places, window, rule, count, end, first, in_order, fused)
    y = self.look(query, far, state, rule, count, end, first, places, blocks, masks, fused, scale, soft_cap)
    return self.output(y, x, weights, ints)

  # As layers, over states: x [B, T, E] -> [B, T, E]. Reach is that of the rules that have one.
  def compressed_layers(self: __torch__.Ops, x: Tensor, low: int, high: int, start: int, first: Tensor, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], states: List[List[Tensor]], rules: List[List[int]], owns: List[int], slots: List[int], counts: List[int], alike: List[int], in_order: List[int], origin: int, reach: int, cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    tokens = torch.size(x, 1)
    end = start + tokens
    places = self.places(start, tokens, first)
    written = torch.to(torch.unsqueeze(places, 1), 3)
    cosine = annotate(List[Tensor], [])
    sine = annotate(List[Tensor], [])
    for i in range(torch.len(cosines)):
      _0 = torch.append(cosine, self.rows(cosines[i], start - origin, tokens, first))
      _1 = torch.append(sine, self.rows(sines[i], start - origin, tokens, first))
    # number -1: layers without rotary embedding, which do not look at it
    _2 = torch.append(cosine, x)
    _3 = torch.append(sine, x)
    far_cosine = cosine
    far_sine = sine
    if reach > 0 and end > reach:
      inside = torch.clamp(places, 0, reach - 1)
      far_cosine = annotate(List[Tensor], [])
      far_sine = annotate(List[Tensor], [])
      for i in range(torch.len(cosines)):
        _4 = torch.append(far_cosine, torch.unsqueeze(torch.embedding(cosines[i], inside), 2))
        _5 = torch.append(far_sine, torch.unsqueeze(torch.embedding(sines[i], inside), 2))
      _6 = torch.append(far_cosine, x)
      _7 = torch.append(far_sine, x)
    blocks = annotate(List[List[List[int]]], [])
    masks = annotate(List[List[Tensor]], [])
    for i in range(torch.len(states)):
      _8 = torch.append(blocks, annotate(List[List[int]], []))
      _9 = torch.append(masks, annotate(List[Tensor], []))
    for i in range(low, high):
      rotary = ints[i][7]
      entering = self.before_attention(x, weights[i], ints[i], floats[i])
      attended = self.compressed_attention(entering, weights[i], ints[i], floats[i], states[i], rules[i], owns[i], slots[i], counts[i], end, first, places, written, blocks[alike[i]], masks[alike[i]], in_order[i], cosine[rotary], sine[rotary], far_cosine[rotary], far_sine[rotary])
      x = self.after_attention(x, entering, attended, weights[i], ints[i], floats[i])
    return x

  # As fill, into the state of the layer: x [B, T, E] -> [B, 1, E]
  def compressed_fill(self: __torch__.Ops, x: Tensor, layer: int, start: int, first: Tensor, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], states: List[List[Tensor]], rules: List[List[int]], slots: List[int], origin: int, cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    tokens = torch.size(x, 1)
    y = self.before_attention(x, weights[layer], ints[layer], floats[layer])
    rotary = ints[layer][7]
    cosine = x
    sine = x
    if rotary >= 0:
      cosine = self.rows(cosines[rotary], start - origin, tokens, first)
      sine = self.rows(sines[rotary], start - origin, tokens, first)
    key, value, = self.keys_and_values(y, weights[layer], ints[layer], floats[layer], cosine, sine)
    written = torch.to(torch.unsqueeze(self.places(start, tokens, first), 1), 3)
    self.remember(key, value, states[layer], rules[layer], slots[layer], start + tokens, first, written)
    return torch.contiguous(torch.narrow(x, 1, tokens - 1, 1))

  # The slots that stay of the first count, in the order of the text: int64 [B, Hkv, wanted].
  def survivors(self: __torch__.Ops, state: List[Tensor], rule: List[int], count: int, wanted: int, end: int, first: Tensor) -> Tensor:
    keys, values, key_scales, value_scales, open, kept, scores, = state
    seen = scores
    if torch.numel(scores) > 0:
      seen = torch.narrow(scores, 2, 0, count)
    best, slots, = torch.topk(self.importance(torch.narrow(kept, 2, 0, count), seen, end, first, rule), wanted, -1)
    return torch.gather(slots, 2, torch.argsort(torch.gather(kept, 2, slots), -1))

  # The places of a prompt whose keys and values stand in the first slots: int32 [B, Hkv, N], those of the state.
  def set_places(self: __torch__.Ops, state: List[Tensor], tokens: int, first: Tensor) -> Tensor:
    written = torch.to(torch.unsqueeze(self.places(0, tokens, first), 1), 3)
    return torch.copy_(torch.narrow(state[5], 2, 0, tokens), written)

  # The first count slots of a state of the compute type into an empty one of integers; gives its places.
  def settle(self: __torch__.Ops, state: List[Tensor], whole: List[Tensor], rule: List[int], count: int, first: Tensor) -> Tensor:
    self.remember(torch.narrow(whole[0], 2, 0, count), torch.narrow(whole[1], 2, 0, count), state, rule, 0, count, first, torch.narrow(whole[5], 2, 0, count))
    if torch.numel(state[6]) > 0:
      _0 = torch.copy_(torch.narrow(state[6], 2, 0, count), torch.narrow(whole[6], 2, 0, count))
    return state[5]

  # x [B, Hkv, N, ...] -> [B, Hkv, capacity, ...] with the chosen slots [B, Hkv, n] of x first
  def pick(self: __torch__.Ops, x: Tensor, chosen: Tensor, capacity: int) -> Tensor:
    index = chosen
    if torch.dim(x) == 4:
      index = torch.expand(torch.unsqueeze(chosen, 3), [-1, -1, -1, torch.size(x, 3)])
    return self.grown(torch.gather(x, 2, index), torch.size(chosen, 2), capacity)

  # x [B, Hkv, N, ...] -> [B, Hkv, capacity, ...] with the first count slots of x
  def grown(self: __torch__.Ops, x: Tensor, count: int, capacity: int) -> Tensor:
    sides = [0, capacity - count]
    if torch.dim(x) == 4:
      sides = [0, 0, 0, capacity - count]
    return torch.constant_pad_nd(torch.narrow(x, 2, 0, count), sides, 0)

  # Turns the keys of the first count slots back by a number of columns, those of sinks excepted.
  def turn_back(self: __torch__.Ops, state: List[Tensor], rule: List[int], count: int, columns: int, cosine: Tensor, sine: Tensor) -> Tensor:
    keys, values, key_scales, value_scales, open, kept, scores, = state
    # tables may carry a factor, which the keys have already
    along = torch.select(cosine, 0, columns)
    across = torch.select(sine, 0, columns)
    factor = torch.sqrt(torch.add(torch.square(along), torch.square(across)))
    along = torch.reshape(torch.div(along, factor), [1, 1, 1, -1])
    across = torch.reshape(torch.neg(torch.div(across, factor)), [1, 1, 1, -1])
    key = torch.narrow(self.recall(keys, key_scales, open, count, 0, cosine), 2, 0, count)
    fixed = torch.unsqueeze(torch.lt(torch.narrow(kept, 2, 0, count), rule[0]), 3)
    self.store_slots(keys, key_scales, torch.where(fixed, key, self.rotate(key, along, across)), 0)
    return keys
