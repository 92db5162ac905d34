
  # Loaded behind decoder.py: the fit of a layer's queries to the keys of another layer; called by QueryFit.java. Letters and
  # arguments as in decoder.py; S of the T tokens are fitted to, at the positions int64 [S]; R = G * S rows of a key/value head; F inputs of the
  # query projection: E, and a column of ones where it has a bias. Distributions of attention are float32 [B * Hkv, R, T], 0
  # where a token does not see another.

  # x [B, T, E] before the layer -> what the queries are made from, float32 [B, S, F]
  def query_inputs(self: __torch__.Ops, x: Tensor, positions: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    y = torch.to(self.before_attention(torch.index_select(x, 1, positions), weights[layer], ints[layer], floats[layer]), 6)
    if ints[layer][9] != 0:
      y = torch.cat([y, torch.ones([torch.size(y, 0), torch.size(y, 1), 1], dtype=6, device=y.device)], -1)
    return y

  # [B, S, F] -> what the norm of queries multiplies them with [B, S, Hq, D]; empty where the layer has none
  def query_gains(self: __torch__.Ops, inputs: Tensor, queries: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    kind = ints[layer][8]
    epsilon = floats[layer][0]
    rows = self.query_rows(inputs, queries, ints[layer])
    weight = torch.to(weights[layer][4], 6)
    y = torch.zeros([0], dtype=6, device=inputs.device)
    if kind == 1:
      y = torch.mul(torch.rsqrt(torch.add(torch.mean(torch.mul(rows, rows), [-1], True), epsilon)), weight)
    elif kind == 2:
      y = torch.mul(torch.rsqrt(torch.add(torch.var(rows, [-1], False, True), epsilon)), weight)
    elif kind == 3:
      flat = torch.flatten(rows, 2, 3)
      size = torch.rsqrt(torch.add(torch.mean(torch.mul(flat, flat), [-1], True), epsilon))
      y = torch.reshape(torch.mul(size, weight), torch.size(rows))
    return y

  # inputs [B, S, F], queries [Hq * D, F] -> [B, S, Hq, D]
  def query_rows(self: __torch__.Ops, inputs: Tensor, queries: Tensor, numbers: List[int]) -> Tensor:
    return torch.reshape(self.product(inputs, queries, None), [torch.size(inputs, 0), torch.size(inputs, 1), numbers[2], numbers[4]])

  # The rows of a rotary table; an empty tensor where the layer does not rotate.
  def query_turns(self: __torch__.Ops, tables: List[Tensor], layer: int, positions: Tensor, ints: List[List[int]]) -> Tensor:
    y = torch.zeros([0], dtype=6, device=positions.device)
    if ints[layer][7] >= 0:
      y = torch.to(torch.unsqueeze(torch.unsqueeze(torch.index_select(tables[ints[layer][7]], 0, positions), 1), 0), 6)
    return y

  # Queries [B, S, Hq, D] with the gains of their norm held, rotated and scaled -> [B * Hkv, R, D]; linear in the queries.
  def query_turned(self: __torch__.Ops, rows: Tensor, gains: Tensor, numbers: List[int], scale: float, cosine: Tensor, sine: Tensor) -> Tensor:
    batch, tokens, heads, size, = torch.size(rows)
    y = rows
    if numbers[8] == 2:
      y = torch.sub(y, torch.mean(y, [-1], True))
    if numbers[8] != 0:
      y = torch.mul(y, gains)
    if torch.numel(cosine) > 0:
      y = self.rotate(y, cosine, sine)
    return torch.reshape(torch.mul(torch.transpose(y, 1, 2), scale), [batch * numbers[3], heads // numbers[3] * tokens, size])

  # The transpose of query_turned: [B * Hkv, R, D] -> [B, S, Hq, D]
  def query_unturned(self: __torch__.Ops, turned: Tensor, gains: Tensor, numbers: List[int], scale: float, cosine: Tensor, sine: Tensor) -> Tensor:
    heads = numbers[2]
    size = numbers[4]
    groups = heads // numbers[3]
    y = torch.mul(torch.transpose(torch.reshape(turned, [torch.size(turned, 0) // numbers[3], heads, torch.size(turned, 1) // groups, size]), 1, 2), scale)
    if torch.numel(cosine) > 0:
      y = self.rotate(y, cosine, torch.neg(sine))
    if numbers[8] != 0:
      y = torch.mul(y, gains)
    if numbers[8] == 2:
      y = torch.sub(y, torch.mean(y, [-1], True))
    return y

  # The transpose of query_turned behind that of query_rows: [B * Hkv, R, D], inputs [B, S, F] -> [Hq * D, F]
  def query_gathered(self: __torch__.Ops, turned: Tensor, inputs: Tensor, gains: Tensor, numbers: List[int], scale: float, cosine: Tensor, sine: Tensor) -> Tensor:
    batch, tokens, columns, = torch.size(inputs)
    y = self.query_unturned(turned, gains, numbers, scale, cosine, sine)
    across = torch.contiguous(torch.transpose(torch.flatten(torch.flatten(y, 0, 1), 1, 2), 0, 1))
    return self.product(across, torch.contiguous(torch.transpose(torch.reshape(inputs, [batch * tokens, columns]), 0, 1)), None)

  # Scores [B * Hkv, R, T] -> distributions
  def query_softmax(self: __torch__.Ops, scores: Tensor, positions: Tensor, numbers: List[int], soft_cap: float) -> Tensor:
    tokens = torch.size(scores, 2)
    y = scores
    if soft_cap > 0.0:
      y = torch.mul(torch.tanh(torch.div(y, soft_cap)), soft_cap)
    columns = torch.unsqueeze(torch.arange(0, tokens, dtype=4, device=y.device), 0)
    queries = torch.unsqueeze(positions, 1)
    hidden = torch.gt(columns, queries)
    if numbers[6] > 0:
      hidden = torch.logical_or(hidden, torch.le(columns, torch.sub(queries, numbers[6])))
    hidden = torch.repeat(hidden, [numbers[2] // numbers[3], 1])
    return torch.softmax(torch.masked_fill(y, hidden, float("-inf")), -1)

  # The attention of a layer as the checkpoint has it: x [B, T, E] before the layer -> [B * Hkv, R, T]
  def query_reference(self: __torch__.Ops, x: Tensor, positions: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    norm1, norm1_b, qkv, qkv_b, q_norm, k_norm, o, o_b, post1, post1_b, norm2, norm2_b, up, up_b, down, down_b, post2, post2_b, router, = weights[layer]
    placement, norm_kind, heads, kv_heads, size, kind, window, rotary, qk_norm, qkv_biased, o_biased, up_biased, down_biased, gated, activation, experts, experts_per_token, normalised, own_hidden, = ints[layer]
    epsilon, scale, soft_cap, residual_scale, = floats[layer]
    all = torch.arange(0, torch.size(x, 1), dtype=4, device=x.device)
    projected = self.project(self.before_attention(x, weights[layer], ints[layer], floats[layer]), qkv, qkv_b, qkv_biased, size)
    query = torch.index_select(torch.narrow(projected, 2, 0, heads), 1, positions)
    key = torch.narrow(projected, 2, heads, kv_heads)
    if qk_norm != 0:
      query = self.head_norm(query, q_norm, qk_norm, epsilon)
      key = self.head_norm(key, k_norm, qk_norm, epsilon)
    query = torch.to(query, 6)
    key = torch.to(key, 6)
    if rotary >= 0:
      query = self.rotate(query, self.query_turns(cosines, layer, positions, ints), self.query_turns(sines, layer, positions, ints))
      key = self.rotate(key, self.query_turns(cosines, layer, all, ints), self.query_turns(sines, layer, all, ints))
    rows = torch.reshape(torch.mul(torch.transpose(query, 1, 2), scale), [torch.size(x, 0) * kv_heads, heads // kv_heads * torch.size(positions, 0), size])
    columns = torch.reshape(torch.permute(key, [0, 2, 3, 1]), [torch.size(x, 0) * kv_heads, size, torch.size(x, 1)])
    return self.query_softmax(torch.matmul(rows, columns), positions, ints[layer], soft_cap)

  # The attention that queries [Hq * D, F] give on keys [B, Hkv, T, D] -> [B * Hkv, R, T]
  def query_attention(self: __torch__.Ops, inputs: Tensor, queries: Tensor, keys: Tensor, positions: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    gains = self.query_gains(inputs, queries, layer, weights, ints, floats, cosines, sines)
    cosine = self.query_turns(cosines, layer, positions, ints)
    sine = self.query_turns(sines, layer, positions, ints)
    turned = self.query_turned(self.query_rows(inputs, queries, ints[layer]), gains, ints[layer], floats[layer][1], cosine, sine)
    scores = torch.matmul(turned, torch.transpose(torch.to(torch.flatten(keys, 0, 1), 6), 1, 2))
    return self.query_softmax(scores, positions, ints[layer], floats[layer][2])

  def query_log(self: __torch__.Ops, distribution: Tensor) -> Tensor:
    return torch.log(torch.clamp_min(distribution, 1e-37))

  # Sum over all rows of KL(wanted || given), float64 []
  def query_divergence(self: __torch__.Ops, wanted: Tensor, given: Tensor) -> Tensor:
    return torch.sum(torch.mul(wanted, torch.sub(self.query_log(wanted), self.query_log(given))), dtype=7)

  # What scores should change by, weighted. In the first step the difference of the scores themselves, which holds far from
  # the solution; then the slope of the divergence.
  def query_residual(self: __torch__.Ops, wanted: Tensor, given: Tensor, first: int) -> Tensor:
    if first != 0:
      apart = torch.sub(self.query_log(wanted), self.query_log(given))
      weighted = torch.mul(wanted, apart)
      y = torch.sub(weighted, torch.mul(wanted, torch.sum(weighted, [-1], True)))
    else:
      y = torch.sub(wanted, given)
    return y

  # residual [B * Hkv, R, T] -> what queries should change by [Hq * D, F]
  def query_slope(self: __torch__.Ops, residual: Tensor, inputs: Tensor, gains: Tensor, keys: Tensor, positions: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    cosine = self.query_turns(cosines, layer, positions, ints)
    sine = self.query_turns(sines, layer, positions, ints)
    turned = torch.matmul(residual, torch.to(torch.flatten(keys, 0, 1), 6))
    return self.query_gathered(turned, inputs, gains, ints[layer], floats[layer][1], cosine, sine)

  # The matrix of second derivatives times a change of the queries [Hq * D, F], under distributions [B * Hkv, R, T]
  def query_curvature(self: __torch__.Ops, change: Tensor, distribution: Tensor, inputs: Tensor, gains: Tensor, keys: Tensor, positions: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    cosine = self.query_turns(cosines, layer, positions, ints)
    sine = self.query_turns(sines, layer, positions, ints)
    columns = torch.to(torch.flatten(keys, 0, 1), 6)
    turned = self.query_turned(self.query_rows(inputs, change, ints[layer]), gains, ints[layer], floats[layer][1], cosine, sine)
    weighted = torch.mul_(torch.matmul(turned, torch.transpose(columns, 1, 2)), distribution)
    _0 = torch.addcmul_(weighted, distribution, torch.sum(weighted, [-1], True), value=-1)
    return self.query_gathered(torch.matmul(weighted, columns), inputs, gains, ints[layer], floats[layer][1], cosine, sine)

  # The second derivatives of a head by its queries before rotation, summed over tokens: [Hq, D, D]. K' (diag(m) - m m') K is
  # the covariance of K' (root(m) e - m root(m)' e) where e are independent signs, [S, T]; each token draws one.
  def query_blocks(self: __torch__.Ops, distribution: Tensor, signs: Tensor, gains: Tensor, keys: Tensor, positions: Tensor, layer: int, weights: List[List[Tensor]], ints: List[List[int]], floats: List[List[float]], cosines: List[Tensor], sines: List[Tensor]) -> Tensor:
    cosine = self.query_turns(cosines, layer, positions, ints)
    sine = self.query_turns(sines, layer, positions, ints)
    drawn = torch.mul(torch.sqrt(distribution), torch.repeat(signs, [ints[layer][2] // ints[layer][3], 1]))
    _0 = torch.addcmul_(drawn, distribution, torch.sum(drawn, [-1], True), value=-1)
    turned = torch.matmul(drawn, torch.to(torch.flatten(keys, 0, 1), 6))
    y = torch.flatten(self.query_unturned(turned, gains, ints[layer], floats[layer][1], cosine, sine), 0, 1)
    return torch.matmul(torch.permute(y, [1, 2, 0]), torch.transpose(y, 0, 1))

  # inputs [B, S, F] -> the sum of their products [F, F]
  def query_gram(self: __torch__.Ops, inputs: Tensor) -> Tensor:
    across = torch.contiguous(torch.transpose(torch.flatten(inputs, 0, 1), 0, 1))
    return self.product(across, across, None)

  # Symmetric [.., N, N] -> eigenvectors as columns and, in one more row, eigenvalues, which are not negative: [.., N + 1, N]
  def query_eigen(self: __torch__.Ops, matrix: Tensor) -> Tensor:
    values, vectors, = torch.linalg_eigh(torch.to(matrix, 7))
    return torch.to(torch.cat([vectors, torch.unsqueeze(torch.clamp_min(values, 0), -2)], -2), 6)

  # (blocks (x) inputs / tokens + damping)^-1 times a change of the queries [Hq * D, F]; blocks [Hq, D + 1, D] and inputs
  # [F + 1, F] from query_eigen
  def query_conditioned(self: __torch__.Ops, change: Tensor, blocks: Tensor, inputs: Tensor, tokens: int, damping: float) -> Tensor:
    size = torch.size(blocks, 2)
    columns = torch.size(inputs, 1)
    left = torch.narrow(blocks, 1, 0, size)
    right = torch.narrow(inputs, 0, 0, columns)
    scale = torch.div(torch.mul(torch.unsqueeze(torch.select(blocks, 1, size), 2), torch.select(inputs, 0, columns)), tokens)
    scale = torch.add(scale, damping)
    y = torch.matmul(torch.matmul(torch.transpose(left, 1, 2), torch.reshape(change, [-1, size, columns])), right)
    y = torch.matmul(torch.matmul(left, torch.div(y, scale)), torch.transpose(right, 0, 1))
    return torch.reshape(y, torch.size(change))
