
  # Loaded behind decoder.py, whose letters and arguments hold here too: what methods need that compute gradients. Called by
  # LayerGradients.java. With autograd the engine passes nothing but tensors, so ints and floats travel in float64 tensors.
  # Tensors that were made without autograd cannot be kept for a gradient, copies can.

  # Copies of a layer's tensors, or of those outside the layers: matrices of products in bfloat16 where that can be multiplied, all
  # others float32, the router (18) too.
  def gradient_copies(self: __torch__.Ops, tensors: List[Tensor]) -> List[Tensor]:
    products = 6
    if torch.numel(self.packs(15)) > 0:
      products = 15
    y = annotate(List[Tensor], [])
    for i in range(torch.len(tensors)):
      tensor = self.plain(tensors[i])
      dtype = 6
      if torch.dim(tensor) == 2 and torch.numel(tensor) > 65536 and i != 18:
        dtype = products
      _0 = torch.append(y, torch.clone(torch.to(tensor, dtype)))
    return y

  # The ints and floats of a layer: float64 [23]
  def gradient_numbers(self: __torch__.Ops, layer: int, ints: List[List[int]], floats: List[List[float]]) -> Tensor:
    return torch.cat([torch.tensor(ints[layer], dtype=7), torch.tensor(floats[layer], dtype=7)])

  # Those outside the layers: float64 [8]
  def gradient_model_numbers(self: __torch__.Ops, ints: List[int], floats: List[float]) -> Tensor:
    return torch.cat([torch.tensor(ints, dtype=7), torch.tensor(floats, dtype=7)])

  def gradient_ints(self: __torch__.Ops, numbers: Tensor, low: int, high: int) -> List[int]:
    y = annotate(List[int], [])
    for i in range(low, high):
      _0 = torch.append(y, int(torch.select(numbers, 0, i)))
    return y

  def gradient_floats(self: __torch__.Ops, numbers: Tensor, low: int, high: int) -> List[float]:
    y = annotate(List[float], [])
    for i in range(low, high):
      _0 = torch.append(y, float(torch.select(numbers, 0, i)))
    return y
