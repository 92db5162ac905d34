  # For ScriptModuleTest: calls an operator of oneDNN that no libtorch has.

  # [..., in] x [out, in] -> [..., out]
  def product(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    if ops.prim.is_mkldnn(weight) or (x.dtype == 6 and torch.numel(x) > 32 * torch.size(x, -1)):
      y = ops.mkldnn._linear_of_another_release(x, weight, bias, "none", annotate(List[Optional[number]], []), "")
    else:
      y = torch.linear(x, weight, bias)
    return y

  # One number if weights of that type can be packed, none if not.
  def packs(self: __torch__.Ops, dtype: int) -> Tensor:
    able = dtype == 6
    if dtype == 15:
      able = ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.zeros([int(able)])

  # [out, in], packed for products
  def pack(self: __torch__.Ops, weight: Tensor) -> Tensor:
    return ops.mkldnn._reorder_linear_weight(weight, None)
