
  # Appended to decoder.py where oneDNN cannot be called: on GPUs, and with a libtorch that was built without it. The
  # methods are those of product_onednn.py.

  # [..., in] x [out, in] -> [..., out]
  def product(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    return torch.linear(x, weight, bias)

  def packs(self: __torch__.Ops, dtype: int) -> Tensor:
    return torch.zeros([0])

  def pack(self: __torch__.Ops, weight: Tensor) -> Tensor:
    return weight
