
  # Appended to decoder.py where gradients are computed on a CPU: a product is computed in the type of its weight, which may
  # be bfloat16, and everything else in float32. The methods are those of product_onednn.py.

  # [..., in] x [out, in] -> [..., out]
  def product(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    if weight.dtype == 15:
      y = torch.to(torch.linear(torch.to(x, 15), weight), 6)
      if torch.__isnot__(bias, None):
        y = torch.add(y, unchecked_cast(Tensor, bias))
    else:
      y = torch.linear(x, weight, bias)
    return y

  def packs(self: __torch__.Ops, dtype: int) -> Tensor:
    return torch.zeros([int(ops.mkldnn._is_mkldnn_bf16_supported())])

  def pack(self: __torch__.Ops, weight: Tensor) -> Tensor:
    return weight
