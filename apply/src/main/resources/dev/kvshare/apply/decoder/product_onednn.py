
  # Appended to decoder.py where oneDNN can be called. torch.linear gives float32 products to MKL, which on CPUs of other
  # makers than its own leaves half of the vector unit idle. Seen with the layers of a 135M model on one Zen 5 core:
  #   rows              1            16            512
  #   torch.linear      16 GB/s      53 GFLOP/s    97 GFLOP/s
  #   oneDNN, plain     17 GB/s      47 GFLOP/s   200 GFLOP/s
  #   oneDNN, packed    28 GB/s     124 GFLOP/s   219 GFLOP/s
  # A packed weight is an opaque tensor in oneDNN's own blocked layout: it has a size, but no rows that could be narrowed.

  # [..., in] x [out, in] -> [..., out]
  def product(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    if ops.prim.is_mkldnn(weight) or (x.dtype == 6 and torch.numel(x) > 32 * torch.size(x, -1)):
      y = ops.mkldnn._linear_pointwise(x, weight, bias, "none", annotate(List[Optional[number]], []), "")
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
