  # Loaded behind decoder.py: weighted ridge regression of a projection [E, F] with a bias from sums over tokens; called by
  # RidgeFit.java. Letters: N tokens, F inputs, E outputs. The inputs are extended by a column of ones for the bias.

  # [N, F] in any type -> float32 [N, F + 1]
  def ridge_extended(self: __torch__.Ops, x: Tensor) -> Tensor:
    y = torch.to(x, 6)
    return torch.cat([y, torch.ones([torch.size(y, 0), 1], dtype=6, device=y.device)], 1)

  # Adds N tokens: products in float32, their sum in float64.
  #   inputs   [.., F]; targets float32 [.., E]; weights float32 [..]
  #   gram     float64 [F + 1, F + 1] += sum of w x x'; cross float64 [F + 1, E] += sum of w x y'
  #   squares  float64 [] += sum of w |y|^2
  def ridge_add(self: __torch__.Ops, inputs: Tensor, targets: Tensor, weights: Tensor, gram: Tensor, cross: Tensor, squares: Tensor) -> Tensor:
    x = self.ridge_extended(torch.reshape(inputs, [-1, torch.size(inputs, -1)]))
    y = torch.reshape(targets, [-1, torch.size(targets, -1)])
    root = torch.unsqueeze(torch.sqrt(torch.reshape(weights, [-1])), 1)
    x = torch.mul(x, root)
    y = torch.mul(y, root)
    across = torch.contiguous(torch.transpose(x, 0, 1))
    columns = torch.size(x, 1)
    block = (columns + 3) // 4
    low = 0
    # The gram matrix is symmetric: a quarter of its rows at a time, from the diagonal on.
    while low < columns:
      rows = min(block, columns - low)
      part = self.product(torch.narrow(across, 0, low, rows), torch.narrow(across, 0, low, columns - low), None)
      _0 = torch.add_(torch.narrow(torch.narrow(gram, 0, low, rows), 1, low, columns - low), part)
      low = low + rows
    _1 = torch.add_(cross, self.product(across, torch.contiguous(torch.transpose(y, 0, 1)), None))
    return torch.add_(squares, torch.sum(torch.mul(y, y), dtype=7))

  # The whole of a gram matrix whose upper triangle is filled.
  def ridge_whole(self: __torch__.Ops, gram: Tensor) -> Tensor:
    return torch.add(torch.triu(gram), torch.transpose(torch.triu(gram, 1), 0, 1))

  # float32 weight [E, F], bias [E] -> float64 [F + 1, E]
  def ridge_stacked(self: __torch__.Ops, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat([torch.transpose(torch.to(weight, 7), 0, 1), torch.unsqueeze(torch.to(bias, 7), 0)])

  # The weights that minimise the error plus, for each of two blocks of inputs, strength * (mean diagonal of the gram
  # matrix in the block) * |W - W_0|^2; the bias is free. What is solved for is the change, so that inputs that need none
  # get none. The first block has the given number of inputs; start and result float64 [F + 1, E]; the result is
  # empty where the sum of the matrices is not positive definite.
  def ridge_solve(self: __torch__.Ops, gram: Tensor, cross: Tensor, start: Tensor, strength: float, first: int) -> Tensor:
    inputs = torch.size(gram, 0) - 1
    symmetric = self.ridge_whole(gram)
    diagonal = torch.diagonal(symmetric)
    added = torch.zeros_like(diagonal)
    _0 = torch.fill_(torch.narrow(added, 0, 0, first), torch.mul(torch.mean(torch.narrow(diagonal, 0, 0, first)), strength))
    if first < inputs:
      rest = inputs - first
      _1 = torch.fill_(torch.narrow(added, 0, first, rest), torch.mul(torch.mean(torch.narrow(diagonal, 0, first, rest)), strength))
    factor, failed, = torch.linalg_cholesky_ex(torch.add(symmetric, torch.diag(added)))
    if int(failed) != 0:
      y = torch.zeros([0], dtype=7, device=gram.device)
    else:
      change = torch.cholesky_solve(torch.sub(cross, torch.matmul(symmetric, start)), factor)
      y = torch.add(start, change)
    return y

  # The weighted squared error of weights [F + 1, E], float64 [].
  def ridge_error(self: __torch__.Ops, gram: Tensor, cross: Tensor, squares: Tensor, weights: Tensor) -> Tensor:
    predicted = torch.matmul(self.ridge_whole(gram), weights)
    return torch.add(squares, torch.sum(torch.mul(weights, torch.sub(predicted, torch.mul(cross, 2)))))

  # float64 [F + 1, E] -> float32 [E, F]
  def ridge_weight(self: __torch__.Ops, stacked: Tensor) -> Tensor:
    return torch.contiguous(torch.transpose(torch.to(torch.narrow(stacked, 0, 0, torch.size(stacked, 0) - 1), 6), 0, 1))

  # float64 [F + 1, E] -> float32 [E]
  def ridge_bias(self: __torch__.Ops, stacked: Tensor) -> Tensor:
    return torch.to(torch.select(stacked, 0, torch.size(stacked, 0) - 1), 6, False, True)
